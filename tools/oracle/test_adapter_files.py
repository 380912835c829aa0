"""Adapter folders between Lowrank and PEFT: what a recipe makes, PEFT loads unchanged and computes the same; what PEFT saves, we do."""

import json
import subprocess

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

import peer
from checks import relative
from lowrank import REPOSITORY

FAST = {"optimizer": {"learningRate": 0.01}}
RECIPES = {
    "plain": {"lora": {"rank": 4}},
    "rslora": {"lora": {"rank": 4, "rsLora": True, "alpha": 6}},
    "choice": {"lora": {"rank": 4, "targets": ["q_proj", "k_proj", "down_proj"], "exclude": ["k_proj"], "layers": [1]}},
    "patterns": {"lora": {"rank": 4, "targets": r".*\.(q_proj|up_proj)", "exclude": r".*layers\.0\.mlp.*",
                          "rankPattern": {"q_proj": 8}, "alphaPattern": {r"layers\.1\.mlp\.up_proj": 3}}},
    "rank-rslora": {"lora": {"rank": 4, "rsLora": True, "rankPattern": {"self_attn.q_proj": 9, "^model.layers.0.mlp.up_proj": 2}}},
    "dora": {"lora": {"rank": 4, "dora": True, "dropout": 0.1}},
    "bias": {"lora": {"rank": 4, "bias": "lora_only", "targets": ["q_proj", "o_proj"]}},
    "bias-all": {"lora": {"rank": 4, "bias": "all", "dora": True, "targets": ["q_proj", "o_proj"]}},
    "pissa": {"lora": {"rank": 4, "init": "pissa", "dropout": 0.1}},
    "pissa-patterns": {"lora": {"rank": 4, "init": "pissa", "rsLora": True, "rankPattern": {"v_proj": 2}, "alphaPattern": {"o_proj": 5}}},
    "published-floats": {"lora": {"rank": 4, "dora": True, "dtype": "f32"}},
    "lora-plus-8bit": {"lora": {"rank": 4}, "optimizer": {"name": "adamw8bit", "loraPlusRatio": 4}},
}
SAVED = {
    "patterns": dict(r=4, lora_alpha=8, rank_pattern={"q_proj": 2}, alpha_pattern={"q_proj": 3, "mlp.up_proj": 5}, use_rslora=True),
    "dora": dict(r=4, lora_alpha=8, use_dora=True),
    "bias": dict(r=4, lora_alpha=8, bias="lora_only", target_modules=["q_proj", "up_proj"]),
    "bias-all": dict(r=4, lora_alpha=8, bias="all", target_modules=["q_proj", "up_proj"]),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    peer.write_named("llama3-rope", folder)  # it has biases everywhere
    return folder


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    made = [peer.make_batch(160, [9, 20, 3], seed) for seed in range(6)]
    file = tmp_path_factory.mktemp("batches") / "batches.json"
    file.write_text(json.dumps([{k: getattr(b, k).tolist() for k in ("tokens", "targets", "starts")} for b in made]))
    return made[0], file


def ours(model, file, out, *how) -> np.ndarray:
    subprocess.run(["node", "--require", "./tools/typescript.cjs", "tools/oracle/adapters.ts", model, file, out, *how], cwd=REPOSITORY,
                   check=True, timeout=300)
    return np.fromfile(out / "logits.f32", np.float32).reshape(-1, 160)


@pytest.mark.parametrize("name", RECIPES)
def test_peft_loads_what_a_recipe_makes(model, batches, tmp_path, name):
    batch, file = batches
    recipe = {"optimizer": {}} | RECIPES[name]
    recipe["optimizer"] = FAST["optimizer"] | recipe["optimizer"]
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    logits = ours(model, file, tmp_path, tmp_path / "recipe.json")
    quantized = peer.quantized(model)
    with torch.no_grad():
        bare = peer.forward(quantized, batch).numpy()
        loaded = PeftModel.from_pretrained(quantized, str(tmp_path)).eval()
        theirs = peer.forward(loaded, batch).numpy()
    assert relative(logits, theirs) < 1e-4
    assert relative(bare, theirs) > 0.01
    # PEFT ignores tensors that it has no place for and leaves at random what it misses: neither happens.
    saved = load_file(tmp_path / "adapter_model.safetensors")
    placed = {name.replace(".default", "").replace("magnitude_vector.weight", "magnitude_vector"): value.numpy()
              for name, value in loaded.state_dict().items()}
    for tensor, value in saved.items():
        assert value.dtype == (torch.float32 if recipe["lora"].get("dtype") == "f32" or value.dim() == 1 else torch.bfloat16), tensor
        assert np.array_equal(placed[tensor], value.float().numpy()), tensor
    assert {n for n in placed if "lora_" in n} == {n for n in saved if "lora_" in n}


@pytest.mark.parametrize("name", SAVED)
def test_we_load_what_peft_saves(model, batches, tmp_path, name):
    batch, file = batches
    torch.manual_seed(3)
    theirs = get_peft_model(peer.quantized(model), LoraConfig(**({"target_modules": "all-linear"} | SAVED[name]),
                                                              task_type="CAUSAL_LM"))
    with torch.no_grad():
        for parameter in (p for p in theirs.parameters() if p.requires_grad):
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.05))
        theirs.eval()
        expected = peer.forward(theirs, batch).numpy()
    theirs.save_pretrained(str(tmp_path / "saved"))
    assert relative(ours(model, file, tmp_path, "--load", tmp_path / "saved"), expected) < 1e-4
