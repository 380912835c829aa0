"""Makes libs/kernels/test/fixtures: what transformers + PEFT + bitsandbytes answer, for tests that run without Python.

    tools/oracle/.venv/bin/python tools/oracle/fixtures.py [--check]

    nf4.safetensors            <case>/{values,codes,absmax_codes,nested_absmax,offset,dequantized}
    <model>/                   a Hugging Face folder with random weights: llama (sharded), llama3-rope, qwen2, gemma2,
                               gemma3, phi3
    <model>.safetensors        tokens, targets, starts; logits [T, vocab] with the adapter, base_logits without it; loss [1] mean
                               over tokens with a target; weight/<module>.lora_{A,B} and gradient/<module>.lora_{A,B} of that loss
    trace.safetensors          50 optimizer steps on llama: initial/… and final/<module>.lora_{A,B}, loss [50],
                               <step>.<micro-batch>/{tokens,targets,starts}
    settings.json              rank, alpha, learning rate, … of the above, and the versions that made it

With --check, makes everything in memory and compares with the files.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

import peer
from lowrank import REPOSITORY, Batch
from quantization_cases import CASES, quantize

OUT = REPOSITORY / "libs/kernels/test/fixtures"
# In the fixture, a case has to be small: the live oracle checks the others.
SMALL = [name for name in CASES if name not in ("large", "fp4 ties")]


def batch_tensors(batch: Batch, prefix: str = "") -> dict[str, np.ndarray]:
    return {f"{prefix}tokens": batch.tokens, f"{prefix}targets": batch.targets, f"{prefix}starts": batch.starts}


def prefixed(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}/{name}": np.ascontiguousarray(value) for name, value in tensors.items()}


def nf4() -> dict[str, np.ndarray]:
    out = {}
    for name in SMALL:
        values = CASES[name]()
        out |= prefixed(name, {"values": values, **quantize(values)})
    return out


def model_answers(folder: Path) -> dict[str, np.ndarray]:
    model = peer.with_adapter(folder)
    batch = peer.make_batch(model.config.vocab_size, [5, 17, 1, 30], seed=3)
    out = batch_tensors(batch) | prefixed("weight", peer.lora(model))
    with model.disable_adapter(), torch.no_grad():
        out["base_logits"] = peer.forward(model, batch).numpy()
    out["logits"] = peer.forward(model, batch).detach().numpy()
    loss = peer.loss_sum(model, batch) / peer.loss_tokens(batch)
    loss.backward()
    out["loss"] = np.array([loss.item()], np.float64)
    return out | prefixed("gradient", peer.lora(model, gradients=True))


def trace(folder: Path) -> dict[str, np.ndarray]:
    model = peer.with_adapter(folder)
    out = prefixed("initial", peer.lora(model))
    batches = peer.trace_batches(model.config.vocab_size)
    for step, micro_batches in enumerate(batches):
        for index, batch in enumerate(micro_batches):
            out |= batch_tensors(batch, f"{step}.{index}/")
    out["loss"] = np.array(peer.train(model, batches), np.float64)
    return out | prefixed("final", peer.lora(model))


def make(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    save_file(nf4(), out / "nf4.safetensors")
    for name in peer.CONFIGS:
        peer.write_named(name, out / name)
        save_file(model_answers(out / name), out / f"{name}.safetensors")
    save_file(trace(out / "llama"), out / "trace.safetensors")
    packages = ["torch", "transformers", "peft", "bitsandbytes"]
    (out / "settings.json").write_text(json.dumps({
        "madeBy": "tools/oracle/fixtures.py", "versions": {p: importlib.metadata.version(p) for p in packages},
        "rank": peer.RANK, "alpha": peer.ALPHA, "steps": peer.STEPS, "accumulation": peer.ACCUMULATION,
        "learningRate": peer.RATE, "maxGradNorm": peer.MAX_NORM}, indent=2) + "\n")


def differences(a: Path, b: Path) -> list[str]:
    """Names of tensors that differ by more than rounding; integers and NF4 exactly."""
    out = []
    for file in sorted(a.glob("**/*.safetensors")):
        theirs = load_file(b / file.relative_to(a)) if "model" not in file.name else None
        if theirs is None:
            continue
        for name, value in load_file(file).items():
            exact = value.dtype.kind in "iu" or file.name == "nf4.safetensors"
            same = np.array_equal(value, theirs[name]) if exact else np.allclose(value, theirs[name], rtol=1e-3, atol=1e-5)
            if not same:
                out.append(f"{file.name}: {name}")
    return out


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(2)
    if not args.check:
        make(OUT)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        wrong = differences(OUT, Path(folder))
    print("\n".join(wrong) if wrong else "fixtures agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
