"""What llama.cpp itself makes of exported GGUF files: logits of merged models and of base + adapter, and tokens, against transformers.

Optional, as llama.cpp has to be compiled: llama-cpp-python in an environment of its own, whose Python LLAMA_CPP_PYTHON names (README.md).
"""

import json
import os
import subprocess

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from test_exports import GGUF_CONFIGS, KINDS, adapted, export, write_byte_fallback_tokenizer, write_gguf_model

PYTHON = os.environ["LLAMA_CPP_PYTHON"]
# Longer than the windows of the models that have one.
TOKENS = torch.arange(80).reshape(2, 40) * 7 % 1009
TEXTS = ["<|im_start|>user\nHow many apples? 12 + 30.<|im_end|>\n", "naïve café — 你好 \t x", "it's we'll  spaces   ", "1234567 a\n\n\nb", "aaaa  bb"]
# Mean KL in nats, share of tokens with the same likeliest next token.
LIMITS = {"gguf-f16": (1e-4, 0.97), "gguf-q8_0": (2e-2, 0.9)}


def ask(folder, model, **more) -> tuple[np.ndarray, dict]:
    asked = {"model": str(model), "tokens": TOKENS.tolist(), "logits": str(folder / "logits.npy"), **more}
    done = subprocess.run([PYTHON, "peer_llama_cpp.py"], input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    return np.load(asked["logits"]), json.loads(done.stdout.splitlines()[-1])


def wanted_logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS).logits


def compare(ours: np.ndarray, wanted: torch.Tensor) -> tuple[float, float, float]:
    """Mean KL(wanted ‖ ours) in nats, share of equal likeliest tokens, largest difference over the largest logit."""
    read = torch.from_numpy(ours)
    p, q = wanted.log_softmax(-1), read.log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1).mean().item()
    same = (wanted.argmax(-1) == read.argmax(-1)).float().mean().item()
    return kl, same, ((read - wanted).abs().max() / wanted.abs().max()).item()


def check(ours: np.ndarray, wanted: torch.Tensor, format: str) -> None:
    kl, same, largest = compare(ours, wanted)
    print(f"\n{os.environ['PYTEST_CURRENT_TEST'].split('::')[-1]}: KL {kl:.2e}, same {same:.4f}, largest difference {largest:.2e}")
    most, least = LIMITS[format]
    assert kl <= most and same >= least


@pytest.mark.parametrize("format", LIMITS)
@pytest.mark.parametrize("name", GGUF_CONFIGS)
def test_merged_model(tmp_path, name, format):
    write_gguf_model(name, tmp_path / "model")
    model = adapted(tmp_path / "model", tmp_path / "adapter")
    export(format, tmp_path / "model", tmp_path / "adapter", tmp_path / "model.gguf")
    ours, _ = ask(tmp_path, tmp_path / "model.gguf")
    check(ours, wanted_logits(model.merge_and_unload()), format)


@pytest.mark.parametrize("kind", ["lora", "rslora"])
@pytest.mark.parametrize("name", GGUF_CONFIGS)
def test_base_with_adapter(tmp_path, name, kind):
    folder = tmp_path / "model"
    write_gguf_model(name, folder)
    adapted(folder, tmp_path / "nothing", zero=True)
    export("gguf-f16", folder, tmp_path / "nothing", tmp_path / "base.gguf")
    config = KINDS[kind] if name != "phi3" or kind == "lora" else {"use_rslora": True, "rank_pattern": {"qkv_proj": 7}}
    model = adapted(folder, tmp_path / "adapter", **config)
    export("gguf-adapter", folder, tmp_path / "adapter", tmp_path / "adapter.gguf")
    bare, _ = ask(tmp_path, tmp_path / "base.gguf")
    ours, _ = ask(tmp_path, tmp_path / "base.gguf", adapter=str(tmp_path / "adapter.gguf"))
    check(bare, wanted_logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")), "gguf-f16")
    wanted = wanted_logits(model)
    check(ours, wanted, "gguf-f16")
    # The adapter does something, which is what is compared.
    assert compare(bare, wanted)[0] > 100 * compare(ours, wanted)[0]


@pytest.mark.parametrize("kind", ["byte-level", "byte fallback"])
def test_tokens(tmp_path, kind):
    folder = tmp_path / "model"
    write_gguf_model("llama" if kind == "byte-level" else "mistral", folder)
    if kind == "byte fallback":
        write_byte_fallback_tokenizer(folder)
    adapted(folder, tmp_path / "adapter")
    export("gguf-f16", folder, tmp_path / "adapter", tmp_path / "model.gguf")
    texts = TEXTS if kind == "byte-level" else TEXTS[1:]
    _, answered = ask(tmp_path, tmp_path / "model.gguf", texts=texts)
    theirs = AutoTokenizer.from_pretrained(folder)
    assert answered["texts"] == [theirs.encode(text, add_special_tokens=False) for text in texts]
    assert answered["begins"] == theirs.encode("a")
    assert answered["template"] == theirs.chat_template
