"""The kernel library through ctypes, for the oracle only. Signatures follow libs/kernels/include/lowrank_kernels.h."""

from __future__ import annotations

import ctypes as c
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = REPOSITORY / "libs/kernels/build/liblowrank_kernels.so"
BACKENDS = {"fast": 0, "reference": 1}
COMPUTES = {"f32": 0, "bf16": 1}


class ContextOptions(c.Structure):
    _fields_ = [("threads", c.c_uint32), ("backend", c.c_uint32), ("isa", c.c_uint32), ("compute", c.c_uint32)]


class LoraTarget(c.Structure):
    _fields_ = [("name", c.c_char_p), ("rank", c.c_uint32), ("scale", c.c_float)]


class BatchStruct(c.Structure):
    _fields_ = [("tokens", c.c_void_p), ("targets", c.c_void_p), ("starts", c.c_void_p), ("n_tokens", c.c_uint32),
                ("n_sequences", c.c_uint32)]


class RowsStruct(c.Structure):
    _fields_ = [("adapter", c.c_void_p), ("begin", c.c_uint32), ("end", c.c_uint32), ("loss_scale", c.c_float),
                ("dropout_seed", c.c_uint64)]


class StepOptions(c.Structure):
    _fields_ = [("checkpoint_activations", c.c_uint32), ("loss_chunk", c.c_uint32)]


class LossStruct(c.Structure):
    _fields_ = [("sum", c.c_double), ("tokens", c.c_uint64), ("correct", c.c_uint64)]


class AdamW(c.Structure):
    _fields_ = [("learning_rate", c.c_float), ("beta1", c.c_float), ("beta2", c.c_float), ("epsilon", c.c_float),
                ("weight_decay", c.c_float), ("max_grad_norm", c.c_float)]


@dataclass
class Batch:
    """Packed sequences: tokens [T], targets [T] (next token or -100), starts [S + 1], all int32."""

    tokens: np.ndarray
    targets: np.ndarray
    starts: np.ndarray

    def struct(self) -> BatchStruct:
        return BatchStruct(self.tokens.ctypes.data, self.targets.ctypes.data, self.starts.ctypes.data, len(self.tokens),
                           len(self.starts) - 1)


class Kernels:
    def __init__(self, backend: str = "fast", compute: str = "f32", threads: int = 2):
        self.lib = c.CDLL(str(LIBRARY))
        self.lib.lr_context_error.restype = c.c_char_p
        self.lib.lr_context_error.argtypes = [c.c_void_p]
        self.handle = c.c_void_p()
        options = ContextOptions(threads, BACKENDS[backend], 0, COMPUTES[compute])
        self.check(self.lib.lr_context_create(c.byref(options), c.byref(self.handle)))

    def check(self, status: int) -> None:
        if status != 0:
            raise RuntimeError(f"status {status}: {self.lib.lr_context_error(self.handle).decode()}")

    def nf4_quantize(self, values: np.ndarray) -> dict[str, np.ndarray]:
        n = values.size
        blocks = -(-n // 64)
        out = {"codes": np.empty(-(-n // 2), np.uint8), "absmax_codes": np.empty(blocks, np.uint8),
               "nested_absmax": np.empty(-(-blocks // 256), np.float32), "offset": np.empty(1, np.float32)}
        self.check(self.lib.lr_nf4_quantize(self.handle, pointer(values), c.c_uint64(n), *(pointer(a) for a in out.values())))
        return out

    def nf4_dequantize(self, q: dict[str, np.ndarray], n: int) -> np.ndarray:
        out = np.empty(n, np.float32)
        self.check(self.lib.lr_nf4_dequantize(self.handle, pointer(q["codes"]), pointer(q["absmax_codes"]),
                                              pointer(q["nested_absmax"]), c.c_float(float(q["offset"][0])), c.c_uint64(n), pointer(out)))
        return out

    def open_base(self, folder: Path, file: Path) -> "Base":
        self.check(self.lib.lr_base_quantize(self.handle, str(folder).encode(), str(file).encode(), None, None, None))
        return Base(self, file)


class Base:
    def __init__(self, kernels: Kernels, file: Path):
        self.kernels = kernels
        self.handle = c.c_void_p()
        kernels.check(kernels.lib.lr_base_open(kernels.handle, str(file).encode(), c.byref(self.handle)))
        needed = c.c_size_t()
        kernels.lib.lr_base_info(self.handle, None, c.c_size_t(0), c.byref(needed))
        text = c.create_string_buffer(needed.value)
        kernels.check(kernels.lib.lr_base_info(self.handle, text, needed, c.byref(needed)))
        self.info = json.loads(text.value)

    def adapter(self, rank: int, alpha: float, weights: dict[str, np.ndarray], dropout: float = 0.0) -> "Adapter":
        """An adapter on every linear layer; weights by `<module>.lora_A` [rank, in] and `<module>.lora_B` [out, rank]."""
        return Adapter(self, rank, alpha, weights, dropout)

    def logits(self, batch: Batch, adapter: "Adapter | None") -> np.ndarray:
        """[T, vocab]"""
        out = np.empty((len(batch.tokens), self.info["vocab"]), np.float32)
        rows = RowsStruct(adapter.handle if adapter else None, 0, len(batch.tokens), 1.0, 0)
        lib = self.kernels.lib
        self.kernels.check(lib.lr_logits(self.handle, c.byref(batch.struct()), c.byref(rows), c.c_uint32(1), pointer(out)))
        return out

    def session_logits(self, tokens: np.ndarray, cuts: list[int], capacity: int, adapter: "Adapter | None") -> np.ndarray:
        """[len(cuts), vocab]: logits after the tokens up to each cut, appended to one session."""
        lib, check = self.kernels.lib, self.kernels.check
        session = c.c_void_p()
        check(lib.lr_session_create(self.handle, adapter.handle if adapter else None, c.c_uint32(capacity), c.byref(session)))
        out = np.empty((len(cuts), self.info["vocab"]), np.float32)
        for row, begin, end in zip(out, [0, *cuts[:-1]], cuts):
            part = np.ascontiguousarray(tokens[begin:end])
            check(lib.lr_session_append(session, pointer(part), c.c_uint32(len(part)), None))
            check(lib.lr_session_logits(session, pointer(row)))
        lib.lr_session_destroy(session)
        return out

    def train_step(self, batch: Batch, adapter: "Adapter", loss_scale: float, checkpointing: bool = False) -> LossStruct:
        rows = RowsStruct(adapter.handle, 0, len(batch.tokens), loss_scale, 0)
        loss = LossStruct()
        options = StepOptions(int(checkpointing), 0)
        self.kernels.check(self.kernels.lib.lr_train_step(
            self.handle, c.byref(batch.struct()), c.byref(rows), c.c_uint32(1), c.byref(options), None, c.byref(loss)))
        return loss


class Adapter:
    def __init__(self, base: Base, rank: int, alpha: float, weights: dict[str, np.ndarray], dropout: float):
        self.base, self.kernels = base, base.kernels
        self.linears = base.info["linears"]
        targets = (LoraTarget * len(self.linears))(*(LoraTarget(l["name"].encode(), rank, alpha / rank) for l in self.linears))
        self.shapes = {}
        for linear in self.linears:
            self.shapes[f"{linear['name']}.lora_A"] = (rank, linear["in"])
            self.shapes[f"{linear['name']}.lora_B"] = (linear["out"], rank)
        self.handle = c.c_void_p()
        self.kernels.check(self.kernels.lib.lr_adapter_create(
            base.handle, targets, c.c_uint32(len(self.linears)), c.c_float(dropout), c.c_uint64(1), c.byref(self.handle)))
        for index, (name, shape) in enumerate(self.shapes.items()):
            values = np.ascontiguousarray(weights[name], np.float32)
            assert values.shape == shape, name
            self.kernels.check(self.kernels.lib.lr_adapter_write(
                self.handle, c.c_uint32(0), c.c_uint32(index), pointer(values), c.c_uint64(values.size)))

    def read(self, kind: int = 0) -> dict[str, np.ndarray]:
        """kind 0: weights, 1: gradients."""
        out = {}
        for index, (name, shape) in enumerate(self.shapes.items()):
            out[name] = np.empty(shape, np.float32)
            self.kernels.check(self.kernels.lib.lr_adapter_read(
                self.handle, c.c_uint32(kind), c.c_uint32(index), pointer(out[name]), c.c_uint64(out[name].size)))
        return out

    def optimizer_step(self, learning_rate: float, max_grad_norm: float) -> float:
        settings = AdamW(learning_rate, 0.9, 0.999, 1e-8, 0.0, max_grad_norm)
        norm = c.c_float()
        self.kernels.check(self.kernels.lib.lr_adapter_optimizer_step(self.handle, c.byref(settings), c.byref(norm)))
        return norm.value


def pointer(array: np.ndarray) -> c.c_void_p:
    assert array.flags.c_contiguous
    return c.c_void_p(array.ctypes.data)
