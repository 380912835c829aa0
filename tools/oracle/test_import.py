"""A folder that PEFT has saved becomes a version: the bytes come back, the hub protocol serves them, and an evaluation measures the loss and the
answers that PEFT has on the same 4-bit base."""

import json
import subprocess
import time

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

import peer
from installation import clean_environment
from lowrank import REPOSITORY

BASE = REPOSITORY / "samples/base"
HELDOUT = REPOSITORY / "samples/data/heldout.jsonl"
CHATS = [json.loads(line)["messages"] for line in HELDOUT.read_text().splitlines()]
ROWS = 24
TOKENS = 24


def lowrank(installation, *args: object) -> str:
    command = ["node", "bin/lowrank.mjs", "--url", installation.url, "--key", installation.key, *map(str, args)]
    return subprocess.run(command, cwd=REPOSITORY, env=clean_environment(), check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An adapter as PEFT saves it, with other ranks and alphas for some layers, and weights that make a difference."""
    torch.manual_seed(5)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM", init_lora_weights=False,
                        rank_pattern={"v_proj": 6}, alpha_pattern={"down_proj": 3}, use_rslora=True)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.mul_(0.2)
    folder = tmp_path_factory.mktemp("saved")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def imported(installation, saved):
    out = lowrank(installation, "adapters", "import", saved, "--adapter", "theirs", "--base", "sample")
    assert out.startswith("Imported as theirs v1: ")
    return installation


def test_bytes_come_back(imported, saved, tmp_path):
    lowrank(imported, "pull", "theirs@v1", tmp_path / "pulled")
    names = sorted(path.name for path in (tmp_path / "pulled").iterdir())
    assert names == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    for name in names:
        assert (tmp_path / "pulled" / name).read_bytes() == (saved / name).read_bytes()


def evaluate(installation, body: dict) -> dict:
    path = "/api/v1/adapters/theirs/versions/v1/evaluations"
    job = installation.call(path, "POST", body)
    until = time.monotonic() + 240
    while (state := installation.call(f"/api/v1/jobs/{job['id']}"))["state"] not in ("succeeded", "failed", "cancelled"):
        assert time.monotonic() < until
        time.sleep(1)
    assert state["state"] == "succeeded", state["error"]
    return installation.call(path)["data"][0]


def test_evaluation_measures_what_peft_has(imported, saved, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    model = PeftModel.from_pretrained(peer.quantized(BASE), str(saved)).eval()
    total, count, answers = 0.0, 0, []
    for chat in CHATS[:ROWS]:
        prompt = tokenizer.apply_chat_template(chat[:-1], add_generation_prompt=True, return_dict=False)
        answer = tokenizer.encode(chat[-1]["content"], add_special_tokens=False) + [tokenizer.eos_token_id]
        ids = torch.tensor([prompt + answer])
        with torch.no_grad():
            logits = model(input_ids=ids[:, :-1]).logits[0].log_softmax(-1)
            total -= logits[len(prompt) - 1:].gather(1, ids[0, len(prompt):, None]).sum().item()
            count += len(answer)
            out = model.generate(input_ids=torch.tensor([prompt]), max_new_tokens=TOKENS, do_sample=False)
        answers.append(tokenizer.decode(out[0, len(prompt):], skip_special_tokens=True))

    # Rows whose answer is PEFT's own, so that nearly all should match; greedy answers may part at a near tie.
    own = tmp_path / "own.jsonl"
    own.write_text("".join(json.dumps({"messages": [*chat[:-1], {"role": "assistant", "content": answer}]}) + "\n"
                           for chat, answer in zip(CHATS, answers)))
    dataset = {name: json.loads(subprocess.run(
        ["curl", "-sf", "-H", f"Authorization: Bearer {imported.key}", "-F", f"file=@{file}", f"{imported.url}/api/v1/files"],
        check=True, stdout=subprocess.PIPE, text=True).stdout)["id"] for name, file in (("held", HELDOUT), ("own", own))}
    limits = {"maxRows": ROWS, "maxTokens": TOKENS, "sequenceLength": 512}

    (loss,) = evaluate(imported, {"dataset": dataset["held"], "measures": [{"metric": "loss"}], "limits": limits})["results"]
    assert loss["count"] == count
    assert loss["value"] == pytest.approx(total / count, rel=1e-2)

    (match,) = evaluate(imported, {"dataset": dataset["own"], "measures": [{"metric": "exact-match"}], "limits": limits})["results"]
    assert match["value"] >= 0.9, match["failures"]
