#!/usr/bin/env python3
"""Tokens a second, share of the limit and memory of QLoRA training steps on a GPU, on random weights of known shapes; and the same of
PyTorch with PEFT and bitsandbytes where they are installed (of a bfloat16 base where bitsandbytes is not), in the same run.

    tools/gpu/bench.py [--shape 1b|8b|70b] [--layers N] [--tokens T,…] [--length L] [--rank R] [--steps S] [--peak TFLOPS] [--profile] [--no-peers] [--out FILE]

A step is one forward and backward pass over T tokens in sequences of L, LoRA on every linear layer, and AdamW's update; of each T given, with checkpoints on the GPU and offloaded. With fewer
layers than the shape has, figures are those of the smaller model. The quantized base is written as it lies, of random codes; the peer quantizes a
checkpoint, which is written only where there is one and needs room on the disk (141 GB for 70B). The limit is that of nothing recomputed: (4N + 7·L·q·layers) FLOP a
token at --peak, the dense bfloat16 rate of the GPU; N counts the linear layers and the head. Needs numpy.
"""
from __future__ import annotations

import argparse
import ctypes as c
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracle"))
import lowrank
import models
import profile_kernels as profile

BUILD = lowrank.REPOSITORY / "libs/kernels/build"


def batch_of(tokens: int, length: int, vocab: int) -> lowrank.Batch:
    ids = np.random.default_rng(1).integers(0, vocab, tokens, dtype=np.int32)
    targets = np.roll(ids, -1)
    return lowrank.Batch(ids, targets, np.arange(0, tokens + 1, length, dtype=np.int32))


def measure(step, steps: int) -> dict:
    """Seconds of each of so many calls, after two that warm up."""
    for _ in range(2):
        step()
    seconds = []
    for _ in range(steps):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    return {"median": sorted(seconds)[len(seconds) // 2], "least": min(seconds), "most": max(seconds)}


def own(args, file: Path, batch: lowrank.Batch) -> list[dict]:
    rows = []
    for checkpointing, offload in itertools.product((False, True), ("auto", "checkpoints")):
        os.environ["LOWRANK_OFFLOAD"] = offload
        kernels = lowrank.Kernels(compute="bf16", threads=0, library=args.cuda)
        base = lowrank.Base(kernels, file)
        adapter = base.adapter(args.rank, 2 * args.rank)

        def step() -> None:
            base.train_step(batch, adapter, 1 / len(batch.tokens), checkpointing)
            adapter.optimizer_step(1e-4, 1.0)

        row = {"what": "lowrank" + (", checkpoints offloaded" if offload == "checkpoints" else ""), "checkpointing": checkpointing, "tokens": len(batch.tokens)}
        try:
            row["seconds"] = measure(step, args.steps)
            if args.profile:
                print(f"{row['what']}, checkpointing {'on' if checkpointing else 'off'}, {len(batch.tokens)} tokens:")
                profile.print_kernels(step)
            current, peak = c.c_uint64(), c.c_uint64()
            kernels.check(kernels.lib.lr_context_memory(kernels.handle, c.byref(current), c.byref(peak), c.c_uint32(0)))
            row["bytes"] = peak.value
        except RuntimeError as error:  # out of memory is an answer too
            row["error"] = str(error)
        rows.append(row)
        kernels.lib.lr_adapter_destroy(adapter.handle)
        kernels.lib.lr_base_close(base.handle)
        kernels.lib.lr_context_destroy(kernels.handle)
    return rows


def peers(args, folder: Path, layers: int, batches: list[lowrank.Batch]) -> list[dict]:
    try:
        import torch
        from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
        from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    except ImportError as error:
        return [{"what": "peft", "error": f"not installed: {error}"}]
    needed, free = models.checkpoint_bytes(args.shape, layers), shutil.disk_usage(folder.parent).free
    if needed > free:
        return [{"what": "peft", "error": f"its checkpoint of {needed / 2**30:.0f} GiB does not fit the {free / 2**30:.0f} GiB of the disk: use --layers"}]
    models.write(args.shape, folder, layers)
    try:
        import bitsandbytes  # noqa: F401

        quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                          bnb_4bit_compute_dtype=torch.bfloat16)
        what = "peft + bitsandbytes"
    except ImportError:
        quantization, what = None, "peft on a bf16 base"
    rows = []
    # Bare, and as PEFT's documentation and transformers' Trainer have it: prepared, which checkpoints, under autocast.
    for checkpointing, prepared in ((False, False), (True, False), (True, True)):
        model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=quantization, dtype=torch.bfloat16, device_map={"": 0})
        if prepared:
            model = prepare_model_for_kbit_training(model, gradient_checkpointing_kwargs={"use_reentrant": False})
        elif checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model = get_peft_model(model, LoraConfig(r=args.rank, lora_alpha=2 * args.rank, target_modules="all-linear", task_type="CAUSAL_LM"))
        model.train()  # it checkpoints only then
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

        for batch in batches:
            ids = torch.tensor(batch.tokens, device="cuda").long().view(-1, args.length)

            def step() -> None:
                with torch.autocast("cuda", torch.bfloat16, enabled=prepared):
                    loss = model(input_ids=ids, labels=ids).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                torch.cuda.synchronize()

            row = {"what": what + (", prepared" if prepared else ""), "checkpointing": checkpointing, "tokens": len(batch.tokens)}
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            try:
                row |= {"seconds": measure(step, args.steps), "bytes": torch.cuda.max_memory_allocated()}
            except torch.cuda.OutOfMemoryError as error:
                row["error"] = str(error).splitlines()[0]
            rows.append(row)
        del model, optimizer
        torch.cuda.empty_cache()
    return rows


def device_name() -> str:
    asked = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=sorted(models.SHAPES), default="8b")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--tokens", type=lambda text: [int(one) for one in text.split(",")], default=[4096], help="of a step; several with commas between")
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--peak", type=float, default=788.0, help="TFLOP/s of the GPU in bfloat16")
    parser.add_argument("--profile", action="store_true", help="print the kernels of a step by their time (needs PyTorch)")
    parser.add_argument("--no-peers", action="store_true", help="lowrank alone")
    parser.add_argument("--cuda", type=Path, default=BUILD / "liblowrank_cuda.so")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    hidden, _, _, _, all_layers, vocab = models.SHAPES[args.shape]
    layers = args.layers or all_layers
    flop = 4 * (models.parameters(args.shape, layers) + vocab * hidden) + 7 * args.length * hidden * layers
    with tempfile.TemporaryDirectory() as temporary:
        folder, file = Path(temporary) / "model", Path(temporary) / "base.lrb"
        models.write_base(args.shape, file, layers)
        batches = [batch_of(tokens // args.length * args.length, args.length, vocab) for tokens in args.tokens]
        rows = [row for batch in batches for row in own(args, file, batch)]
        file.unlink()  # the peer's checkpoint takes four times its room
        if not args.no_peers:
            rows += peers(args, folder, layers, batches)
    print(f"{device_name()}: {args.shape} with {layers} of {all_layers} layers, sequences of {args.length}, rank {args.rank}")
    for row in rows:
        name = f"  {row['what']:30} {row.get('tokens', 0):6} tokens, checkpointing {'on ' if row.get('checkpointing') else 'off'}"
        if "error" in row:
            print(f"{name}  {row['error']}")
            continue
        rate = row["tokens"] / row["seconds"]["median"]
        row |= {"tokens_per_second": rate, "share_of_limit": rate * flop / (args.peak * 1e12)}
        print(f"{name}  {rate:10.0f} tok/s  {100 * row['share_of_limit']:5.1f} % of the limit  {row['bytes'] / 2**30:6.2f} GiB")
    if args.out:
        args.out.write_text(json.dumps({"device": device_name(), "shape": args.shape, "layers": layers, "rows": rows}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
