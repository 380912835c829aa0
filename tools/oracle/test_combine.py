"""Adapters combined into one: against PEFT's add_weighted_adapter, method for method."""

import json
import subprocess

import numpy as np
import peft.utils.merge_utils as merge_utils
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

import peer
from checks import relative
from lowrank import REPOSITORY

WEIGHTS = [0.7, -0.4]
DENSITY = 0.3
SETTINGS = {"weights": WEIGHTS, "density": DENSITY, "majoritySign": "total", "seed": 5}
TARGETS = ["q_proj", "v_proj", "down_proj"]
NAMES = ["first", "second"]


def adapted(ranks: list[int]):
    """A small model with an adapter of random weights for each rank."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(peer.CONFIGS["llama3-rope"]())
    configs = [LoraConfig(r=rank, lora_alpha=3 * rank + i, target_modules=TARGETS) for i, rank in enumerate(ranks)]
    model = get_peft_model(model, configs[0], adapter_name=NAMES[0])
    model.add_adapter(NAMES[1], configs[1])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    return model


def ours(folder, saved, **settings) -> dict[str, np.ndarray]:
    folder.mkdir(exist_ok=True)
    file = folder / "settings.json"
    file.write_text(json.dumps(SETTINGS | settings))
    subprocess.run(["node", "--require", "./tools/typescript.cjs", "tools/oracle/combine.ts", file, folder, *saved], cwd=REPOSITORY,
                   check=True, timeout=120)
    return load_file(folder / "adapter_model.safetensors")


def theirs(model, folder) -> dict[str, np.ndarray]:
    model.save_pretrained(folder, selected_adapters=["combined"])
    return load_file(folder / "combined" / "adapter_model.safetensors")


def save(model, folder) -> list:
    model.save_pretrained(folder, selected_adapters=NAMES)
    return [folder / name for name in NAMES]


def products(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: tensors[name.replace("lora_A", "lora_B")].astype(np.float64) @ a.astype(np.float64)
            for name, a in tensors.items() if "lora_A" in name}


@pytest.mark.parametrize("method", ["linear", "ties", "magnitude_prune", "cat"])
@pytest.mark.parametrize("sign", ["total", "frequency"])
def test_combines_as_peft_does(tmp_path, method, sign):
    model = adapted([4, 4] if method != "cat" else [4, 7])
    made = ours(tmp_path / "ours", save(model, tmp_path), method=method, majoritySign=sign)
    model.add_weighted_adapter(NAMES, WEIGHTS, "combined", method, density=DENSITY, majority_sign_method=sign)
    wanted = theirs(model, tmp_path)
    assert made.keys() == wanted.keys()
    for name, value in wanted.items():
        assert relative(made[name], value) < 1e-6, name


@pytest.mark.parametrize("rank", [3, 6, 11])
def test_svd_as_peft_does(tmp_path, rank):
    # Signs of singular vectors are free, so products are compared.
    model = adapted([4, 7])
    made = products(ours(tmp_path / "ours", save(model, tmp_path), method="svd", rank=rank))
    model.add_weighted_adapter(NAMES, WEIGHTS, "combined", "svd", svd_rank=rank)
    for name, value in products(theirs(model, tmp_path)).items():
        assert relative(made[name], value) < 1e-4, name


@pytest.mark.parametrize("method", ["dare_linear", "dare_ties"])
def test_dare_as_peft_does_with_the_same_draws(tmp_path, method, monkeypatch):
    model = adapted([4, 4])
    saved = save(model, tmp_path)
    # What is drawn shows where one adapter counts alone.
    drawn = {}
    for i, folder in enumerate(saved):
        alone = ours(tmp_path / f"alone{i}", saved, method="dare_linear", weights=[float(i == j) for j in range(2)])
        for name, value in load_file(folder / "adapter_model.safetensors").items():
            drawn[value.tobytes()] = alone[name] != 0
    kept = np.concatenate([mask.ravel() for mask in drawn.values()])
    assert abs(kept.mean() - DENSITY) < 4 * (DENSITY * (1 - DENSITY) / kept.size) ** 0.5

    def draw(tensor, density, rescale):
        mask = torch.from_numpy(drawn[tensor.contiguous().numpy().tobytes()])
        return tensor * mask / (density if rescale else 1)

    monkeypatch.setattr(merge_utils, "random_pruning", draw)
    made = ours(tmp_path / "ours", saved, method=method)
    model.add_weighted_adapter(NAMES, WEIGHTS, "combined", method, density=DENSITY)
    for name, value in theirs(model, tmp_path).items():
        assert relative(made[name], value) < 1e-6, name
