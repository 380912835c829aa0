"""Every architecture on random small configurations against transformers + PEFT + bitsandbytes, in float32 on an NF4 base."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import architectures
import peer
from checks import check_step, relative
from lowrank import Batch

# Of PEFT's, the language model's only: gemma3 has linear layers in its vision tower.
LINEARS = r"(?!.*vision_tower).*\.layers\.\d+\.(self_attn|mlp)\.\w+_proj"


@dataclass
class Answers:
    folder: Path
    batch: Batch
    weights: dict
    base_logits: np.ndarray
    logits: np.ndarray
    loss: float
    gradients: dict


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    @functools.cache
    def of(family: str, seed: int) -> Answers:
        folder = tmp_path_factory.mktemp(f"{family}-{seed}")
        # Odd seeds keep the weights in bfloat16, which rounds gemma's factor on embeddings; even ones in float32.
        peer.write_model(architectures.make(family, seed), folder, seed, dtype=torch.bfloat16 if seed % 2 else torch.float32)
        theirs = peer.with_adapter(folder, target_modules=LINEARS)
        text = theirs.config.get_text_config()
        batch = peer.make_batch(text.vocab_size, architectures.LENGTHS, seed=3)
        with torch.no_grad(), theirs.disable_adapter():
            base_logits = peer.forward(theirs, batch).numpy()
        logits = peer.forward(theirs, batch).detach().numpy()
        loss = peer.loss_sum(theirs, batch) / peer.loss_tokens(batch)
        loss.backward()
        return Answers(folder, batch, peer.lora(theirs), base_logits, logits, loss.item(), peer.lora(theirs, gradients=True))

    return of


@pytest.mark.parametrize("family,seed", architectures.CASES)
def test_logits_and_gradients(kernels, answers, tmp_path, family, seed):
    theirs = answers(family, seed)
    base = kernels.open_base(theirs.folder, tmp_path / "base")
    adapter = base.adapter(peer.RANK, peer.ALPHA, theirs.weights)
    assert set(adapter.shapes) == set(theirs.weights), "the same linear layers by the same names"
    assert relative(base.logits(theirs.batch, None), theirs.base_logits) < 1e-4
    assert relative(base.logits(theirs.batch, adapter), theirs.logits) < 1e-4

    check_step(base, adapter, theirs.batch, theirs.loss, theirs.gradients)


@pytest.mark.parametrize("family,seed", architectures.CASES)
def test_session(kernels, answers, tmp_path, family, seed):
    """Prompt, single tokens and a longer piece: past the window, and past the positions of pre-training."""
    theirs = answers(family, seed)
    base = kernels.open_base(theirs.folder, tmp_path / "base")
    adapter = base.adapter(peer.RANK, peer.ALPHA, theirs.weights)
    begin, end = theirs.batch.starts[-2:]
    cuts = [9, 10, 11, 30, 31, 40, int(end - begin)]
    ours = base.session_logits(theirs.batch.tokens[begin:end], cuts, int(end - begin), adapter)
    assert relative(ours[-1], theirs.logits[-1]) < 1e-4
    rope = json.loads((theirs.folder / "config.json").read_text()).get("rope_parameters", {}).get("rope_type")
    if rope not in ("dynamic", "longrope"):  # there, earlier logits are of a shorter sequence, which turns otherwise
        assert relative(ours, theirs.logits[begin + np.array(cuts) - 1]) < 1e-4


def test_settings_of_transformers_4(kernels, answers, tmp_path):
    """gemma3 as on the hub: RoPE settings at the top, a pattern instead of layer types, the older names of tensors."""
    theirs = answers("gemma3", 1)
    config = json.loads((theirs.folder / "config.json").read_text())
    text = config["text_config"]
    full, local = (text["rope_parameters"][kind] for kind in ("full_attention", "sliding_attention"))
    for key in ("rope_parameters", "layer_types"):
        del text[key]
    text |= {"rope_theta": full.pop("rope_theta"), "rope_local_base_freq": local["rope_theta"], "rope_scaling": full,
             "sliding_window_pattern": 3}
    folder = tmp_path / "older"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(theirs.folder / "model.safetensors")
    new = any(name.startswith("model.language_model.") for name in tensors)
    renamed = {}
    for name, value in tensors.items():
        old, current = ("language_model.model.", "model.language_model.")
        name = name.replace(current, old) if new else name.replace(old, current)
        renamed[name] = value
    save_file(renamed, folder / "model.safetensors")
    base = kernels.open_base(folder, tmp_path / "base")
    assert relative(base.logits(theirs.batch, None), theirs.base_logits) < 1e-4


def test_packed_sequences_turn_by_their_own_length(kernels, answers, tmp_path):
    for family, seed in (("llama", 2), ("phi3", 2)):
        theirs = answers(family, seed)
        base = kernels.open_base(theirs.folder, tmp_path / family)
        packed = base.logits(theirs.batch, None)
        for a, b in zip(theirs.batch.starts[:-1], theirs.batch.starts[1:]):
            alone = Batch(theirs.batch.tokens[a:b].copy(), theirs.batch.targets[a:b].copy(), np.array([0, b - a], np.int32))
            assert np.array_equal(base.logits(alone, None), packed[a:b])
