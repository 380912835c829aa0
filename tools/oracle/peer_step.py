"""The peer of bench/train.mjs: QLoRA steps with transformers + PEFT + bitsandbytes on the CPU.

    python tools/oracle/peer_step.py MODEL BATCHES.json --dtype bf16 --steps 3 --warmup 1 [--checkpointing] [--rank 16]

BATCHES.json holds {"rows": R, "length": L, "batches": [[token, …R·L], …]}: every row is one sequence of L tokens and each token but
a row's last is predicted. A step is forward, backward, clipping and AdamW. Prints one JSON line: seconds of each step, losses,
peak resident bytes of the process.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def peak_bytes() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("batches", type=Path)
    parser.add_argument("--dtype", choices=["f32", "bf16"], required=True)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[args.dtype]

    model = AutoModelForCausalLM.from_pretrained(
        args.model, dtype=dtype, device_map="cpu", attn_implementation="sdpa",
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype))
    model.config.use_cache = False
    if args.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model = get_peft_model(model, LoraConfig(
        r=args.rank, lora_alpha=2 * args.rank, lora_dropout=0.0, target_modules=TARGETS, task_type="CAUSAL_LM"))
    model.train()
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=2e-4, weight_decay=0.0)

    data = json.loads(args.batches.read_text())
    batches = [torch.tensor(batch).view(data["rows"], data["length"]) for batch in data["batches"]]
    seconds, losses = [], []
    for step in range(args.warmup + args.steps):
        batch = batches[step % len(batches)]
        started = time.perf_counter()
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        elapsed = time.perf_counter() - started
        losses.append(loss.item())
        if step >= args.warmup:
            seconds.append(elapsed)
    print(json.dumps({"seconds": seconds, "losses": losses, "peakBytes": peak_bytes()}))


if __name__ == "__main__":
    main()
