#!/usr/bin/env python3
"""Training steps of the CUDA library against those of the CPU library, and decoding, through the C interface, on small random models; and
training by all GPUs of the machine together, where NCCL is installed, against that by one.

    tools/gpu/check.py [--cuda LIBRARY] [--cpu LIBRARY] [--ranks N]

Needs numpy alone. Prints a line a case; ends with `N passed, N failed`. With build/liblowrank_emulated.so it needs no GPU; ranks are then
wanted by number, with build/test/cuda_nccl_test_library.so as LOWRANK_NCCL.
"""
from __future__ import annotations

import argparse
import ctypes as c
import itertools
import multiprocessing
import os
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracle"))
import lowrank
import models

BUILD = lowrank.REPOSITORY / "libs/kernels/build"
STEPS = 3
MICRO = 5  # micro-batches of a step by several ranks
RANK_SECONDS = 300
IO_ERROR = 3  # lr_status


def batch_of(lengths: list[int], vocab: int, seed: int) -> lowrank.Batch:
    random = np.random.default_rng(seed)
    tokens = random.integers(0, vocab, sum(lengths), dtype=np.int32)
    targets = np.roll(tokens, -1)
    targets[::5] = -100
    return lowrank.Batch(tokens, targets, np.cumsum([0, *lengths], dtype=np.int32))


class State:
    """What lr_adapter_state_export gives, and back."""

    def __init__(self, adapter: lowrank.Adapter):
        self.adapter, lib = adapter, adapter.kernels.lib
        size = c.c_uint64()
        adapter.kernels.check(lib.lr_adapter_state_size(adapter.handle, c.byref(size)))
        self.bytes = np.empty(size.value, np.uint8)
        adapter.kernels.check(lib.lr_adapter_state_export(adapter.handle, lowrank.pointer(self.bytes), size))

    def restore(self) -> None:
        lib = self.adapter.kernels.lib
        self.adapter.kernels.check(lib.lr_adapter_state_import(self.adapter.handle, lowrank.pointer(self.bytes), c.c_uint64(len(self.bytes))))


def weights(adapter: lowrank.Adapter) -> bytes:
    return b"".join(values.tobytes() for values in adapter.read().values())


def run(library: Path, compute: str, file: Path, batch: lowrank.Batch, checkpointing: bool, **options) -> tuple[list[float], bool]:
    """The losses of a few steps, and whether a resume repeats the last one to the byte."""
    kernels = lowrank.Kernels(compute=compute, library=library)
    adapter = lowrank.Base(kernels, file).adapter(8, 16, **options)
    losses = []
    for step in range(STEPS):
        if step == STEPS - 1:
            state = State(adapter)
        losses.append(adapter.base.train_step(batch, adapter, 1 / len(batch.tokens), checkpointing, seed=step).sum)
        adapter.optimizer_step(1e-3, 1.0)
    after = weights(adapter)
    state.restore()
    adapter.base.train_step(batch, adapter, 1 / len(batch.tokens), not checkpointing, seed=STEPS - 1)
    adapter.optimizer_step(1e-3, 1.0)
    return losses, weights(adapter) == after


def offloaded(library: Path, file: Path, batch: lowrank.Batch) -> bool:
    """Whether steps have the same losses and weights with everything offloaded to pinned memory, and where all layers are kept or computed again."""
    outcomes = []
    for setting, checkpointing in itertools.product(("off", "on"), (True, False)):
        os.environ["LOWRANK_OFFLOAD"] = setting
        kernels = lowrank.Kernels(compute="bf16", library=library)
        adapter = lowrank.Base(kernels, file).adapter(64, 16, optimizer="adamw8bit")
        losses = []
        for step in range(STEPS):
            losses.append(adapter.base.train_step(batch, adapter, 1 / len(batch.tokens), checkpointing, seed=step).sum)
            adapter.optimizer_step(1e-3, 1.0)
        outcomes.append((losses, weights(adapter)))
    del os.environ["LOWRANK_OFFLOAD"]
    return all(outcome == outcomes[0] for outcome in outcomes)


def decoded(library: Path, file: Path, vocab: int) -> bool:
    """Whether decoding by CUDA graphs gives the bytes of kernels that are started one by one."""
    random = np.random.default_rng(3)
    tokens = [random.integers(0, vocab, length, dtype=np.int32) for length in (41, 38, 60)]
    outcomes = []
    for setting in ("off", "on"):
        os.environ["LOWRANK_CUDA_GRAPHS"] = setting
        base = lowrank.Base(lowrank.Kernels(compute="bf16", library=library), file)
        adapter = base.adapter(8, 16)
        for name, values in adapter.read().items():
            adapter.write(name, values + 0.05)
        outcomes.append(base.cached_logits(list(zip(tokens, (adapter, None, adapter))), 30).tobytes())
    del os.environ["LOWRANK_CUDA_GRAPHS"]
    return outcomes[0] == outcomes[1]


def gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may say of this machine's GPUs, one each; as the driver lists them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        return visible.split(",")
    try:
        listed = subprocess.run(["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return listed.stdout.split()


def train_as(library: Path, file: Path, rank: int, ranks: int, group_id: bytes | None) -> bytes:
    """Weights after a few steps of MICRO micro-batches, of which this rank computes its own; without an id it is alone."""
    kernels = lowrank.Kernels(compute="bf16", library=library)
    adapter, lib = lowrank.Base(kernels, file).adapter(8, 16, dropout=0.1), kernels.lib
    group = c.c_void_p()
    if group_id is not None:
        kernels.check(lib.lr_group_join(kernels.handle, group_id, c.c_uint32(rank), c.c_uint32(ranks), c.byref(group)))
    for step in range(STEPS):
        for first in range(0, MICRO, ranks):
            number = step * MICRO + first + rank
            if first + rank < MICRO:
                batch = batch_of([37, 5 + number], adapter.base.info["vocab"], number)
                adapter.base.train_step(batch, adapter, 1 / (MICRO * len(batch.tokens)), True, seed=number)
            if group_id is not None:
                kernels.check(lib.lr_adapter_sum_gradients(adapter.handle, group, c.c_uint32(first + ranks >= MICRO), None))
        adapter.optimizer_step(1e-3, 1.0)
    after = weights(adapter)
    if group_id is not None:
        lib.lr_group_leave(group)
    return after


def send_weights(pipe: Connection, gpu: str | None, *args) -> None:
    """A rank's process."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    pipe.send(train_as(*args))


def has_sent(pipe: Connection, want: bytes) -> bool:
    try:
        return pipe.poll(RANK_SECONDS) and pipe.recv() == want
    except EOFError:  # it has said why
        return False


def together(library: Path, file: Path, ranks: int) -> bool | None:
    """Whether all ranks, a process and a GPU each, have the weights of one with all micro-batches. None: there is no NCCL."""
    kernels, group_id = lowrank.Kernels(library=library), c.create_string_buffer(128)
    status = kernels.lib.lr_group_id(kernels.handle, group_id)
    if status == IO_ERROR:
        return None
    kernels.check(status)
    devices: list[str | None] = [*gpus()[:ranks]] or [None] * ranks
    spawn, started = multiprocessing.get_context("spawn"), []
    for rank, gpu in enumerate(devices):
        here, there = spawn.Pipe()
        process = spawn.Process(target=send_weights, args=(there, gpu, library, file, rank, ranks, group_id.raw), daemon=True)
        process.start()
        there.close()
        started.append((process, here))
    want = train_as(library, file, 0, 1, None)
    same = [has_sent(here, want) for _, here in started]
    for process, _ in started:
        process.join(RANK_SECONDS if all(same) else 0)
        process.kill()
    return all(same)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuda", type=Path, default=BUILD / "liblowrank_cuda.so")
    parser.add_argument("--cpu", type=Path, default=BUILD / "liblowrank_kernels.so")
    parser.add_argument("--ranks", type=int, default=min(8, len(gpus())), help="GPUs that train together; all, up to 8")
    args = parser.parse_args()
    if 0 < len(gpus()) < args.ranks:
        parser.error(f"--ranks {args.ranks}: there are {len(gpus())} GPUs")
    passed = failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = models.write("tiny", folder / "model")
        batch = batch_of([37, 5, 70], config["vocab_size"], 1)
        for format, double in (("nf4", True), ("nf4", False), ("fp4", True), ("int8", False), ("bf16", False)):
            file = folder / f"{format}-{double}.lrb"
            lowrank.Kernels(library=args.cpu).open_base(folder / "model", file, format, double)
            for compute, tolerance in (("f32", 1e-4), ("bf16", 5e-3)):
                for name, options in (("LoRA", {}), ("dropout, AdamW in 8 bits", {"dropout": 0.1, "optimizer": "adamw8bit"}), ("DoRA", {"dora": True})):
                    if name != "LoRA" and (format, compute) != ("nf4", "bf16"):
                        continue
                    want, _ = run(args.cpu, "f32", file, batch, True, **options)
                    got, same = run(args.cuda, compute, file, batch, True, **options)
                    off = max(abs(a - b) / abs(b) for a, b in zip(got, want))
                    good = off <= tolerance and same
                    passed, failed = passed + good, failed + (not good)
                    print(f"{'ok    ' if good else 'FAILED'} {format}{' double' if double else ''} {compute} {name}: loss off by {off:.1e}, "
                          f"resumed {'to the byte' if same else 'to OTHER BYTES'}", flush=True)
        config = models.write("tiny", folder / "deep", layers=6)
        lowrank.Kernels(library=args.cpu).open_base(folder / "deep", folder / "deep.lrb", "nf4", True)
        for name, good in (
            ("offloaded to pinned memory", offloaded(args.cuda, folder / "deep.lrb", batch_of([37, 5, 70], config["vocab_size"], 1))),
            ("decoding by graphs", decoded(args.cuda, folder / "deep.lrb", config["vocab_size"])),
        ):
            passed, failed = passed + good, failed + (not good)
            print(f"{'ok    ' if good else 'FAILED'} {name}: {'the same bytes' if good else 'OTHER BYTES'}", flush=True)
        if args.ranks > 0:
            same = together(args.cuda, folder / "nf4-True.lrb", args.ranks)
            passed, failed = passed + (same is True), failed + (same is False)
            print(f"{'skipped' if same is None else 'ok    ' if same else 'FAILED'} {args.ranks} ranks by NCCL: "
                  f"{'there is none' if same is None else 'the bytes of one' if same else 'OTHER BYTES, or none'}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
