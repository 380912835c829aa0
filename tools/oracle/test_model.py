"""Decoder, gradients and 50 optimizer steps against transformers + PEFT + bitsandbytes, in float32 on an NF4 base."""

import numpy as np
import pytest

import peer
from lowrank import Kernels


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    out = {}
    for name in peer.CONFIGS:
        out[name] = tmp_path_factory.mktemp(name)
        peer.write_named(name, out[name])
    return out


@pytest.fixture(scope="module", params=["fast", "reference"])
def kernels(request):
    return Kernels(backend=request.param)


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


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

    total = peer.loss_tokens(batch)
    loss = peer.loss_sum(theirs, batch) / total
    loss.backward()
    for checkpointing in (False, True):
        ours = base.train_step(batch, adapter, 1 / total, checkpointing)
        assert ours.tokens == total
        assert ours.sum / total == pytest.approx(loss.item(), rel=1e-5)
        gradients = adapter.read(1)
        for module, expected in peer.lora(theirs, gradients=True).items():
            assert relative(gradients[module], expected) < 1e-3, module
        kernels.check(kernels.lib.lr_adapter_zero_gradients(adapter.handle))


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
