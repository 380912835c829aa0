#!/usr/bin/env python3
"""One decode step for many sequences on a GPU, on random weights of known shapes: tokens a second of the bare base, of one adapter for all
rows, and of an adapter for each row; and with kernels started one by one instead of by graphs.

    tools/gpu/decode.py [--shape 1b|8b|70b] [--layers N] [--batches 1,8,64,256] [--past T] [--rank R] [--steps S] [--profile] [--out FILE]

Needs numpy; --profile needs PyTorch.
"""
from __future__ import annotations

import argparse
import ctypes as c
import json
import os
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
PAGE = 16  # tokens
DECODE = 1  # lr_run_kind


class Decoding:
    """A cache that holds `past` tokens of so many sequences, whatever they are."""

    def __init__(self, base: lowrank.Base, batch: int, past: int):
        self.base, self.batch, self.lib = base, batch, base.kernels.lib
        pages = past // PAGE + 1
        self.cache = c.c_void_p()
        base.kernels.check(self.lib.lr_cache_create(base.handle, c.c_uint32(PAGE), c.c_uint32(batch * pages), c.byref(self.cache)))
        random = np.random.default_rng(1)
        self.arrays = {
            "tokens": random.integers(0, base.info["vocab"], batch, dtype=np.int32), "starts": np.arange(batch + 1, dtype=np.int32),
            "past": np.full(batch, past, np.int32), "pages": random.permutation(batch * pages).astype(np.int32),
            "page_starts": np.arange(0, batch * pages + 1, pages, dtype=np.int32), "wanted": np.ones(batch, np.uint8),
        }
        self.logits = np.empty((batch, base.info["vocab"]), np.float32)

    def step(self, adapters: list[lowrank.Adapter]) -> None:
        """Adapters of the rows: none, one for all, or one each."""
        count = max(1, len(adapters))
        ends = [(i + 1) * self.batch // count for i in range(count)]
        rows = (lowrank.RowsStruct * count)(*(
            lowrank.RowsStruct(adapters[i].handle if adapters else None, ends[i - 1] if i else 0, ends[i]) for i in range(count)))
        arrays = (self.arrays[name].ctypes.data if name in self.arrays else None for name in lowrank.CachedBatch.ARRAYS)
        batch = lowrank.CachedBatch(*arrays, self.batch, self.batch)
        self.base.kernels.check(self.lib.lr_cache_run(self.cache, c.c_uint32(DECODE), c.byref(batch), rows, c.c_uint32(count), None,
                                                      lowrank.pointer(self.logits)))

    def seconds(self, adapters: list[lowrank.Adapter], steps: int) -> float:
        """Median of so many steps, after three that warm up."""
        taken = []
        for i in range(3 + steps):
            begin = time.perf_counter()
            self.step(adapters)
            taken.append(time.perf_counter() - begin)
        return sorted(taken[3:])[steps // 2]

    def close(self) -> None:
        self.lib.lr_cache_destroy(self.cache)


def random_adapter(base: lowrank.Base, rank: int) -> lowrank.Adapter:
    """With values in B too, a few of them repeated: a new adapter's B is zero."""
    adapter, few = base.adapter(rank, 2 * rank), np.random.default_rng(1).standard_normal(4099, np.float32) * 0.01
    for name, shape in adapter.shapes.items():
        if "lora_B" in name:
            adapter.write(name, np.resize(few, shape))
    return adapter


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=sorted(models.SHAPES), default="8b")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--batches", default="1,8,64,256")
    parser.add_argument("--past", type=int, default=256)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--profile", action="store_true", help="print the kernels of a step by their time")
    parser.add_argument("--cuda", type=Path, default=BUILD / "liblowrank_cuda.so")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    batches, results = [int(batch) for batch in args.batches.split(",")], []
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "base.lrb"
        models.write_base(args.shape, file, args.layers)
        for graphs in ("on", "off"):
            os.environ["LOWRANK_CUDA_GRAPHS"] = graphs
            kernels = lowrank.Kernels(compute="bf16", threads=0, library=args.cuda)
            base = lowrank.Base(kernels, file)
            adapters = [random_adapter(base, args.rank) for _ in range(max(batches))]
            for batch in batches:
                decoding = Decoding(base, batch, args.past)
                settings = {"base": [], "one adapter": adapters[:1], "an adapter each": adapters[:batch]}
                rates = {name: batch / decoding.seconds(chosen, args.steps) for name, chosen in settings.items()}
                results.append({"graphs": graphs, "batch": batch, "tokens_per_second": rates})
                print(f"graphs {graphs:3} batch {batch:4}: " + ", ".join(f"{name} {rate:.0f} tok/s" for name, rate in rates.items()), flush=True)
                if args.profile and graphs == "off":
                    profile.print_kernels(lambda: decoding.step(adapters[:batch]), 12)
                decoding.close()
            for adapter in adapters:
                kernels.lib.lr_adapter_destroy(adapter.handle)
            kernels.lib.lr_base_close(base.handle)
            kernels.lib.lr_context_destroy(kernels.handle)
    if args.out:
        args.out.write_text(json.dumps({"shape": args.shape, "layers": args.layers, "past": args.past, "results": results}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
