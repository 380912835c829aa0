"""Versions exported: merged weights against PEFT's merge_and_unload."""

import subprocess

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import peer
from checks import relative
from lowrank import REPOSITORY

KINDS = {"lora": {}, "rslora": {"use_rslora": True, "rank_pattern": {"q_proj": 7}, "alpha_pattern": {"down_proj": 3.0}},
         "dora": {"use_dora": True}, "bias": {"bias": "all"}}
TOKENS = torch.arange(30).reshape(2, 15) * 3 % 101


def export(format: str, *paths) -> None:
    subprocess.run(["node", "--require", "./tools/typescript.cjs", "tools/oracle/exports.ts", format, *paths], cwd=REPOSITORY, check=True,
                   timeout=120)


def adapted(folder, into, **config):
    """The model of `folder` in float32 with an adapter of random weights, which is saved."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model = peer.add_adapter(model, **config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "magnitude" in name:
                parameter.mul_(torch.empty_like(parameter).uniform_(0.8, 1.2))
            elif name.endswith(".bias") and parameter.requires_grad:
                parameter.add_(0.1)
    model.save_pretrained(into)
    return model.eval()


def logits(model) -> np.ndarray:
    with torch.no_grad():
        return model(TOKENS).logits.numpy()


def check_merged(folder, tmp_path, dtype: torch.dtype, tolerance: float, **config):
    model = adapted(folder, tmp_path / "adapter", **config)
    export("merged", folder, tmp_path / "adapter", tmp_path / "merged")
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", attn_implementation="eager")
    assert ours.dtype == dtype
    theirs = model.merge_and_unload()
    assert relative(logits(ours.float()), logits(theirs)) < tolerance
    wanted = theirs.state_dict()
    for name, value in ours.float().state_dict().items():
        assert relative(value.numpy(), wanted[name].numpy()) < tolerance, name


@pytest.mark.parametrize("name", peer.CONFIGS)
def test_merged_model_is_pefts(tmp_path, name):
    peer.write_model(peer.CONFIGS[name](), tmp_path / "model", dtype=torch.float32, shard="100KB")
    check_merged(tmp_path / "model", tmp_path, torch.float32, 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_adapter(tmp_path, kind):
    peer.write_model(peer.CONFIGS["llama3-rope"](), tmp_path / "model", dtype=torch.float32)
    check_merged(tmp_path / "model", tmp_path, torch.float32, 1e-5, **KINDS[kind])


def test_bfloat16_is_rounded_once(tmp_path):
    peer.write_model(peer.CONFIGS["llama"](), tmp_path / "model", shard="100KB")
    model = adapted(tmp_path / "model", tmp_path / "adapter")
    export("merged", tmp_path / "model", tmp_path / "adapter", tmp_path / "merged")
    wanted = model.merge_and_unload().state_dict()
    shards = sorted((tmp_path / "merged").glob("*.safetensors"))
    assert len(shards) > 1
    differing = total = 0
    for shard in shards:
        for name, value in load_file(shard).items():
            assert value.dtype == torch.bfloat16
            differing += int((value != wanted[name].to(torch.bfloat16)).sum())
            total += value.numel()
    # Where float32 and double sums fall on different sides of the middle between two bfloat16 numbers.
    assert differing < total * 1e-4
