"""Fine-tunes samples/base on samples/data with transformers + PEFT + bitsandbytes and prints what changes.

    python tools/sample-base/check.py [--base samples/base] [--data samples/data] [--epochs 4] [--rate 2e-3]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", type=Path, default=Path("samples/base"))
    parser.add_argument("--data", type=Path, default=Path("samples/data"))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--rows", type=int, default=16)
    args = parser.parse_args()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    model = AutoModelForCausalLM.from_pretrained(
        args.base, dtype=torch.float32, device_map="cpu", quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32))

    def encode(row):
        prompt = tokenizer.apply_chat_template(row["messages"][:-1], add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template(row["messages"], tokenize=False).rstrip("\n")
        ids = tokenizer.encode(whole, add_special_tokens=False)
        skip = len(tokenizer.encode(prompt, add_special_tokens=False))
        return ids, [-100] * skip + ids[skip:]

    def load(name):
        return [encode(json.loads(line)) for line in (args.data / name).read_text().splitlines()]

    def batch(rows):
        length = max(len(ids) for ids, _ in rows)
        pad = lambda values, fill: torch.tensor([v + [fill] * (length - len(v)) for v in values])
        return {"input_ids": pad([ids for ids, _ in rows], 0), "labels": pad([labels for _, labels in rows], -100),
                "attention_mask": pad([[1] * len(ids) for ids, _ in rows], 0)}

    def heldout_loss():
        model.eval()
        with torch.no_grad():
            return model(**batch(load("heldout.jsonl"))).loss.item()

    def answers():
        model.eval()
        for prompt in json.loads((args.data / "prompts.json").read_text()):
            text = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False)
            ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
            out = model.generate(input_ids=ids, max_new_tokens=40, do_sample=False)
            print(f"  {prompt} → {tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)!r}")

    print(f"before: held-out loss {heldout_loss():.3f}")
    answers()
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, task_type="CAUSAL_LM", target_modules="all-linear"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=args.rate, weight_decay=0.0)
    rows = load("train.jsonl")
    started = time.time()
    steps = 0
    for _ in range(args.epochs):
        order = torch.randperm(len(rows)).tolist()
        for start in range(0, len(rows), args.rows):
            model.train()
            model(**batch([rows[i] for i in order[start:start + args.rows]])).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            steps += 1
    print(f"after {steps} steps, {time.time() - started:.0f} s: held-out loss {heldout_loss():.3f}")
    answers()


if __name__ == "__main__":
    main()
