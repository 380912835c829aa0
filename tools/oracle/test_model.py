"""Decoder, gradients and 50 optimizer steps against transformers + PEFT + bitsandbytes, in float32 on an NF4 base."""

import numpy as np
import pytest

import peer
from checks import check_step, relative


@pytest.mark.parametrize("name", peer.CONFIGS)
def test_logits_and_gradients(kernels, folders, tmp_path, name):
    theirs = peer.with_adapter(folders[name])
    base = kernels.open_base(folders[name], tmp_path / "base")
    batch = peer.make_batch(base.info["vocab"], [5, 17, 1, 30], seed=3)
    adapter = base.adapter(peer.RANK, peer.ALPHA, peer.lora(theirs))

    expected = peer.forward(theirs, batch).detach().numpy()
    assert relative(base.logits(batch, adapter), expected) < 1e-4
    with theirs.disable_adapter():
        assert relative(base.logits(batch, None), peer.forward(theirs, batch).detach().numpy()) < 1e-4

    loss = peer.loss_sum(theirs, batch) / peer.loss_tokens(batch)
    loss.backward()
    check_step(base, adapter, batch, loss.item(), peer.lora(theirs, gradients=True))


def test_fifty_steps(kernels, folders, tmp_path):
    """Losses within 1% at every step, last weights with cosine ≥ 0.99 in every matrix."""
    theirs = peer.with_adapter(folders["llama"])
    base = kernels.open_base(folders["llama"], tmp_path / "base")
    adapter = base.adapter(peer.RANK, peer.ALPHA, peer.lora(theirs))
    batches = peer.trace_batches(base.info["vocab"])

    expected = peer.train(theirs, batches)
    ours = adapter.train(batches, peer.RATE, peer.MAX_NORM)

    assert expected[-1] < expected[0] - 0.3, "the trace must be of something that learns"
    np.testing.assert_allclose(ours, expected, rtol=0.01)
    weights = adapter.read()
    for module, last in peer.lora(theirs).items():
        a, b = weights[module].ravel().astype(np.float64), last.ravel().astype(np.float64)
        assert a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) >= 0.99, module
