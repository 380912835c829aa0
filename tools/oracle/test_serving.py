"""Rows of one batch in the paged cache, of the bare base, of adapters of several ranks and of mixes, against transformers + PEFT."""

import numpy as np
import pytest
import torch
from peft import LoraConfig

import architectures
import peer
from checks import relative
from test_architectures import LINEARS

DECODED = 3
MIX = {"default": 0.7, "second": -0.4}
FAMILIES = sorted({family for family, _ in architectures.CASES})


def weights_of(model: torch.nn.Module, adapter: str) -> dict[str, np.ndarray]:
    suffix = f".{adapter}.weight"
    return {name.removeprefix("base_model.model.").removesuffix(suffix): parameter.detach().float().numpy().copy()
            for name, parameter in model.named_parameters() if name.endswith(suffix)}


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_mixed_batch(kernels, tmp_path, family):
    seed = next(seed for other, seed in architectures.CASES if other == family)
    folder = tmp_path / "model"
    peer.write_model(architectures.make(family, seed), folder, seed)
    theirs = peer.with_adapter(folder, target_modules=LINEARS)
    torch.manual_seed(9)
    theirs.add_adapter("second", LoraConfig(r=2 * peer.RANK, lora_alpha=peer.ALPHA, target_modules=LINEARS, task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_B.second" in name:
                parameter.normal_(0, 0.05)
    theirs.add_weighted_adapter(list(MIX), list(MIX.values()), "mix", combination_type="cat")
    theirs.eval()

    base = kernels.open_base(folder, tmp_path / "base")
    ours = {None: None, "default": base.adapter(peer.RANK, peer.ALPHA, weights_of(theirs, "default")),
            "second": base.adapter(2 * peer.RANK, peer.ALPHA, weights_of(theirs, "second")),
            # The sum of ranks, at scale 1: what PEFT's `cat` and a server make of a mix.
            "mix": base.adapter(3 * peer.RANK, 3 * peer.RANK, weights_of(theirs, "mix"))}
    rng = np.random.default_rng(4)
    lengths = [9, 21, 14, 30, 8, 17, 25, 11, 19, 13]  # more rows than are decoded one by one
    vocabulary = theirs.config.get_text_config().vocab_size
    rows = [(rng.integers(0, vocabulary, length).astype(np.int32), list(ours)[i % len(ours)]) for i, length in enumerate(lengths)]
    logits = base.cached_logits([(tokens, ours[name]) for tokens, name in rows], DECODED)
    for (tokens, name), row in zip(rows, logits):
        with torch.no_grad():
            if name is None:
                with theirs.disable_adapter():
                    expected = theirs(input_ids=torch.from_numpy(tokens).long()[None]).logits[0]
            else:
                theirs.set_adapter(name)
                expected = theirs(input_ids=torch.from_numpy(tokens).long()[None]).logits[0]
        assert relative(row, expected[-1 - DECODED:].numpy()) < 1e-4, name
