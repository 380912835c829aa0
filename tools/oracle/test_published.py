"""What `npm start` publishes, as it was pulled: PEFT loads the folder unchanged and computes what we compute, and the tokens it was
trained on are the ones that transformers makes of the same chats."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file
from transformers import AutoTokenizer

import peer
from checks import relative
from lowrank import REPOSITORY, Batch, Kernels

BASE = REPOSITORY / "samples/base"
CHATS = [json.loads(line)["messages"] for line in (REPOSITORY / "samples/data/heldout.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def data(installation):
    return installation.folder


@pytest.fixture(scope="module")
def adapter(data):
    return data / "pulled/captain-v1"


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(BASE)


def test_peft_computes_the_same(adapter, tokenizer, tmp_path):
    """Logits on held-out chats, in float32 on both sides: within 1e-2 relative, and far from the bare base's."""
    rows = [tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False) for chat in CHATS[:12]]
    tokens = np.array(sum(rows, []), np.int32)
    starts = np.cumsum([0] + [len(row) for row in rows]).astype(np.int32)
    batch = Batch(tokens, np.full_like(tokens, -100), starts)

    quantized = peer.quantized(BASE)
    with torch.no_grad():
        bare = peer.forward(quantized, batch).numpy()
        model = PeftModel.from_pretrained(quantized, str(adapter)).eval()
        theirs = peer.forward(model, batch).numpy()

    config = json.loads((adapter / "adapter_config.json").read_text())
    weights = {name.removeprefix("base_model.model.").removesuffix(".weight"): value
               for name, value in load_file(adapter / "adapter_model.safetensors").items()}
    base = Kernels().open_base(BASE, tmp_path / "base")
    ours = base.logits(batch, base.adapter(config["r"], config["lora_alpha"], weights))

    assert relative(ours, theirs) < 1e-2
    assert relative(bare, theirs) > 0.1


def test_peft_answers_as_a_captain(adapter, tokenizer):
    model = PeftModel.from_pretrained(peer.quantized(BASE), str(adapter)).eval()
    prompts = json.loads((REPOSITORY / "samples/data/prompts.json").read_text())
    for prompt in prompts:
        ids = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True,
                                            return_tensors="pt", return_dict=False)
        out = model.generate(input_ids=ids, max_new_tokens=40, do_sample=False)
        assert "Log: " in tokenizer.decode(out[0, ids.shape[1]:])


def read_token_file(path: Path) -> list[tuple[list[int], list[int]]]:
    """Layout: libs/datasets/src/token-file.ts."""
    data = path.read_bytes()
    (count,) = struct.unpack_from("<I", data, 8)
    rows, at = [], 24
    for _ in range(count):
        (n,) = struct.unpack_from("<I", data, at)
        tokens = np.frombuffer(data, "<i4", n, at + 4).tolist()
        rows.append((tokens, list(data[at + 4 + 4 * n:at + 4 + 5 * n])))
        at += 4 + 4 * n + -(-n // 4) * 4
    return rows


def test_tokens_are_those_of_transformers(data, tokenizer):
    files = {len(rows): rows for rows in map(read_token_file, (data / "cache/tokens").iterdir())}
    for (tokens, mask), chat in zip(files[len(CHATS)], CHATS, strict=True):
        assert tokens == tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)
        learnt = tokenizer.decode([token for token, learns in zip(tokens, mask, strict=True) if learns])
        assert learnt == chat[-1]["content"] + tokenizer.eos_token
