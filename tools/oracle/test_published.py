"""What `npm start` publishes, as it was pulled, and a state that a job has kept on its way, promoted: PEFT loads the folders unchanged and
computes what we compute. The tokens that were trained on are the ones that transformers makes of the same chats."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
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


@pytest.fixture(scope="module")
def batch(tokenizer):
    """Some held-out chats."""
    rows = [tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False) for chat in CHATS[:12]]
    tokens = np.array(sum(rows, []), np.int32)
    return Batch(tokens, np.full_like(tokens, -100), np.cumsum([0] + [len(row) for row in rows]).astype(np.int32))


def peft_logits(folder: Path, batch: Batch) -> np.ndarray:
    with torch.no_grad():
        return peer.forward(PeftModel.from_pretrained(peer.quantized(BASE), str(folder)).eval(), batch).numpy()


def our_logits(folder: Path, batch: Batch, base_file: Path) -> np.ndarray:
    config = json.loads((folder / "adapter_config.json").read_text())
    weights = {name.removeprefix("base_model.model.").removesuffix(".weight"): value.float().numpy()
               for name, value in load_file(folder / "adapter_model.safetensors").items()}
    base = Kernels().open_base(BASE, base_file)
    return base.logits(batch, base.adapter(config["r"], config["lora_alpha"], weights))


def test_peft_computes_the_same(adapter, batch, tmp_path):
    """Logits, in float32 on both sides: within 1e-2 relative, and far from the bare base's."""
    theirs = peft_logits(adapter, batch)
    with torch.no_grad():
        bare = peer.forward(peer.quantized(BASE), batch).numpy()
    assert relative(our_logits(adapter, batch, tmp_path / "base"), theirs) < 1e-2
    assert relative(bare, theirs) > 0.1


def test_peft_loads_a_kept_state(installation, batch, tmp_path):
    """The state after step 8 of 16: what a version of it says, and its logits, which are neither the bare base's nor those of the end."""
    # Other tests upload others, and delete this one.
    dataset = installation.upload(REPOSITORY / "samples/data/train.jsonl")
    recipe = {"training": {"steps": 16, "sequenceLength": 256}, "optimizer": {"learningRate": 2e-3},
              "checkpoints": {"everySteps": 8, "keep": 2}, "evaluation": {"fraction": 0}}
    job = installation.call("/api/v1/jobs", "POST",
                            {"baseModel": "sample", "dataset": dataset, "adapter": "kept", "recipe": recipe})["id"]
    installation.until_succeeded(job)
    kept = installation.call(f"/api/v1/jobs/{job}/checkpoints")["data"]
    assert {one["step"]: one["version"] for one in kept} == {16: 1, 8: None}
    version = installation.call(f"/api/v1/jobs/{job}/checkpoints/8/promote", "POST")
    assert (version["number"], version["checkpointStep"]) == (2, 8)

    end, middle = (installation.pull("kept", number, tmp_path) for number in (1, 2))
    theirs = peft_logits(middle, batch)
    assert relative(our_logits(middle, batch, tmp_path / "base"), theirs) < 1e-3
    with torch.no_grad():
        bare = peer.forward(peer.quantized(BASE), batch).numpy()
    for other in (bare, peft_logits(end, batch)):
        assert relative(other, theirs) > 0.1


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
