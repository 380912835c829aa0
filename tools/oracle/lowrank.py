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
BIASES = {"none": 0, "lora_only": 1, "all": 2}
OPTIMIZERS = {"adamw": 0, "adamw8bit": 1}
VECTORS = ("lora_magnitude_vector", "bias")
FORMATS = {"nf4": 0, "fp4": 1, "int8": 2, "bf16": 3, "f32": 4}


class ContextOptions(c.Structure):
    _fields_ = [("threads", c.c_uint32), ("backend", c.c_uint32), ("isa", c.c_uint32), ("compute", c.c_uint32)]


class Quantization(c.Structure):
    _fields_ = [("format", c.c_uint32), ("double_quant", c.c_uint32)]

    def __init__(self, format: str, double_quant: bool):
        super().__init__(FORMATS[format], int(double_quant))


QUANTIZED_PARTS = ("codes", "absmax", "absmax_codes", "nested_absmax", "offset")


class Quantized(c.Structure):
    _fields_ = [(part, c.c_void_p) for part in QUANTIZED_PARTS]

    def __init__(self, parts: dict[str, np.ndarray]):
        super().__init__(*(pointer(parts[part]) if part in parts else None for part in QUANTIZED_PARTS))


class LoraTarget(c.Structure):
    _fields_ = [("name", c.c_char_p), ("rank", c.c_uint32), ("scale", c.c_float), ("dora", c.c_uint32), ("bf16", c.c_uint32)]


class AdapterOptions(c.Structure):
    _fields_ = [("dropout", c.c_float), ("bias", c.c_uint32), ("optimizer", c.c_uint32), ("init", c.c_uint32),
                ("init_iterations", c.c_uint32), ("seed", c.c_uint64)]


class BatchStruct(c.Structure):
    _fields_ = [("tokens", c.c_void_p), ("targets", c.c_void_p), ("starts", c.c_void_p), ("n_tokens", c.c_uint32),
                ("n_sequences", c.c_uint32)]


class RowsStruct(c.Structure):
    _fields_ = [("adapter", c.c_void_p), ("begin", c.c_uint32), ("end", c.c_uint32), ("loss_scale", c.c_float),
                ("dropout_seed", c.c_uint64), ("label_smoothing", c.c_float), ("neftune_alpha", c.c_float)]


class Preference(c.Structure):
    _fields_ = [("objective", c.c_uint32), ("beta", c.c_float), ("label_smoothing", c.c_float), ("reference", c.c_void_p)]


class PreferenceLoss(c.Structure):
    _fields_ = [("sum", c.c_double), ("chosen_reward", c.c_double), ("rejected_reward", c.c_double), ("chosen_nll", c.c_double),
                ("chosen_tokens", c.c_uint64), ("pairs", c.c_uint64), ("correct", c.c_uint64)]


class CachedBatch(c.Structure):
    ARRAYS = ("tokens", "starts", "past", "pages", "page_starts", "rope_lengths", "wanted")
    _fields_ = [*((name, c.c_void_p) for name in ARRAYS), ("n_tokens", c.c_uint32), ("n_sequences", c.c_uint32)]


class StepOptions(c.Structure):
    _fields_ = [("checkpoint_activations", c.c_uint32), ("loss_chunk", c.c_uint32)]


class LossStruct(c.Structure):
    _fields_ = [("sum", c.c_double), ("tokens", c.c_uint64), ("correct", c.c_uint64)]


class AdamW(c.Structure):
    _fields_ = [("learning_rate", c.c_float), ("beta1", c.c_float), ("beta2", c.c_float), ("epsilon", c.c_float),
                ("weight_decay", c.c_float), ("max_grad_norm", c.c_float), ("b_rate_ratio", c.c_float)]


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
    def __init__(self, backend: str = "fast", compute: str = "f32", threads: int = 2, library: Path = LIBRARY):
        self.lib = c.CDLL(str(library))
        self.lib.lr_context_error.restype = c.c_char_p
        self.lib.lr_context_error.argtypes = [c.c_void_p]
        self.handle = c.c_void_p()
        options = ContextOptions(threads, BACKENDS[backend], 0, COMPUTES[compute])
        self.check(self.lib.lr_context_create(c.byref(options), c.byref(self.handle)))

    def check(self, status: int) -> None:
        if status != 0:
            raise RuntimeError(f"status {status}: {self.lib.lr_context_error(self.handle).decode()}")

    def quantize(self, values: np.ndarray, format: str, double_quant: bool) -> dict[str, np.ndarray]:
        """values [rows, cols] → the parts of lr_quantized that the format has."""
        rows, cols = values.shape
        blocks = -(-values.size // 64)
        out = {"codes": np.empty(-(-values.size // 2), np.uint8)}
        if format == "int8":
            out = {"codes": np.empty(values.shape, np.int8), "absmax": np.empty(rows, np.float32)}
        elif double_quant:
            out |= {"absmax_codes": np.empty(blocks, np.uint8), "nested_absmax": np.empty(-(-blocks // 256), np.float32),
                    "offset": np.empty(1, np.float32)}
        else:
            out["absmax"] = np.empty(blocks, np.float32)
        self.check(self.lib.lr_quantize(self.handle, c.byref(Quantization(format, double_quant)), pointer(values), c.c_uint64(rows),
                                        c.c_uint64(cols), c.byref(Quantized(out))))
        return out

    def dequantize(self, parts: dict[str, np.ndarray], format: str, double_quant: bool, shape: tuple[int, int]) -> np.ndarray:
        out = np.empty(shape, np.float32)
        self.check(self.lib.lr_dequantize(self.handle, c.byref(Quantization(format, double_quant)), c.byref(Quantized(parts)),
                                          c.c_uint64(shape[0]), c.c_uint64(shape[1]), pointer(out)))
        return out

    def read_json(self, call: str, handle: c.c_void_p) -> dict:
        needed = c.c_size_t()
        function = getattr(self.lib, call)
        function(handle, None, c.c_size_t(0), c.byref(needed))
        text = c.create_string_buffer(needed.value)
        self.check(function(handle, text, needed, c.byref(needed)))
        return json.loads(text.value)

    def open_base(self, folder: Path, file: Path, format: str = "nf4", double_quant: bool = True) -> "Base":
        self.check(self.lib.lr_base_quantize(self.handle, str(folder).encode(), str(file).encode(),
                                             c.byref(Quantization(format, double_quant)), None, None, None))
        return Base(self, file)


class Base:
    def __init__(self, kernels: Kernels, file: Path):
        self.kernels = kernels
        self.handle = c.c_void_p()
        kernels.check(kernels.lib.lr_base_open(kernels.handle, str(file).encode(), c.byref(self.handle)))
        self.info = kernels.read_json("lr_base_info", self.handle)

    def adapter(self, rank: int, alpha: float, weights: dict[str, np.ndarray] | None = None, **options) -> "Adapter":
        """An adapter on the linear layers (of these last `names`), with `weights` by `<module>.<role>` in place of its initial ones."""
        return Adapter(self, rank, alpha, weights or {}, **options)

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

    def cached_logits(self, sequences: list[tuple[np.ndarray, "Adapter | None"]], decoded: int, page_tokens: int = 4) -> np.ndarray:
        """[sequences, 1 + decoded, vocab]: logits of the last tokens. All sequences go through one cache together: first their prompts,
        then `decoded` steps of one token each. Frequencies that depend on the length are those of whole sequences."""
        lib, check = self.kernels.lib, self.kernels.check
        lengths = [len(tokens) for tokens, _ in sequences]
        pages = [-(-length // page_tokens) for length in lengths]
        cache = c.c_void_p()
        check(lib.lr_cache_create(self.handle, c.c_uint32(page_tokens), c.c_uint32(sum(pages)), c.byref(cache)))
        # The last page of the cache goes to the first sequence, so that pages and sequences are in different orders.
        arrays = {"pages": np.arange(sum(pages), dtype=np.int32)[::-1].copy(), "page_starts": offsets(pages),
                  "rope_lengths": np.array(lengths, np.int32), "wanted": np.ones(len(sequences), np.uint8)}
        out = np.empty((1 + decoded, len(sequences), self.info["vocab"]), np.float32)
        past = np.zeros(len(sequences), np.int32)
        for step, logits in enumerate(out):
            end = np.array(lengths, np.int32) - decoded + step
            arrays |= {"tokens": np.concatenate([tokens[a:b] for (tokens, _), a, b in zip(sequences, past, end)]).astype(np.int32),
                       "starts": offsets(end - past), "past": past}
            rows = (RowsStruct * len(sequences))(*(
                RowsStruct(adapter.handle if adapter else None, a, b)
                for (_, adapter), a, b in zip(sequences, arrays["starts"], arrays["starts"][1:])))
            batch = CachedBatch(*(arrays[name].ctypes.data for name in CachedBatch.ARRAYS), len(arrays["tokens"]), len(sequences))
            check(lib.lr_cache_run(cache, c.c_uint32(min(step, 1)), c.byref(batch), rows, c.c_uint32(len(sequences)), None,
                                   pointer(logits)))
            past = end
        lib.lr_cache_destroy(cache)
        return out.transpose(1, 0, 2)

    def sequence_logps(self, batch: Batch, adapter: "Adapter | None") -> np.ndarray:
        """[S]"""
        out = np.empty(len(batch.starts) - 1, np.float64)
        rows = RowsStruct(adapter.handle if adapter else None, 0, len(batch.tokens), 1.0, 0)
        self.kernels.check(self.kernels.lib.lr_sequence_logps(
            self.handle, c.byref(batch.struct()), c.byref(rows), c.c_uint32(1), None, pointer(out), None))
        return out

    def preference_step(self, batch: Batch, adapter: "Adapter", loss_scale: float, preference: Preference,
                        checkpointing: bool = False) -> PreferenceLoss:
        rows = RowsStruct(adapter.handle, 0, len(batch.tokens), loss_scale, 0)
        loss = PreferenceLoss()
        options = StepOptions(int(checkpointing), 0)
        self.kernels.check(self.kernels.lib.lr_preference_step(
            self.handle, c.byref(batch.struct()), c.byref(rows), c.c_uint32(1), c.byref(preference), c.byref(options), None,
            c.byref(loss)))
        return loss

    def train_step(self, batch: Batch, adapter: "Adapter", loss_scale: float, checkpointing: bool = False,
                   seed: int = 0, label_smoothing: float = 0, neftune_alpha: float = 0) -> LossStruct:
        rows = RowsStruct(adapter.handle, 0, len(batch.tokens), loss_scale, seed, label_smoothing, neftune_alpha)
        loss = LossStruct()
        options = StepOptions(int(checkpointing), 0)
        self.kernels.check(self.kernels.lib.lr_train_step(
            self.handle, c.byref(batch.struct()), c.byref(rows), c.c_uint32(1), c.byref(options), None, c.byref(loss)))
        return loss


class Adapter:
    def __init__(self, base: Base, rank: int, alpha: float, weights: dict[str, np.ndarray], dropout: float = 0.0,
                 dora: bool = False, bias: str = "none", optimizer: str = "adamw", pissa_iterations: int | None = None,
                 names: list[str] | None = None):
        self.base, self.kernels = base, base.kernels
        linears = [l for l in base.info["linears"] if names is None or l["name"].split(".")[-1] in names]
        targets = (LoraTarget * len(linears))(*(LoraTarget(l["name"].encode(), rank, alpha / rank, int(dora)) for l in linears))
        options = AdapterOptions(dropout, BIASES[bias], OPTIMIZERS[optimizer], int(pissa_iterations is not None),
                                 pissa_iterations or 0, 1)
        self.handle = c.c_void_p()
        self.kernels.check(self.kernels.lib.lr_adapter_create(
            base.handle, targets, c.c_uint32(len(linears)), c.byref(options), c.byref(self.handle)))
        self.shapes = {
            f"{t['module']}.{t['role']}": (t["rows"],) if t["role"] in VECTORS else (t["rows"], t["cols"])
            for t in self.kernels.read_json("lr_adapter_info", self.handle)["tensors"]}
        for name, values in weights.items():
            self.write(name, values)

    def write(self, name: str, values: np.ndarray, kind: int = 0) -> None:
        values = np.ascontiguousarray(values, np.float32)
        assert values.shape == self.shapes[name], name
        self.kernels.check(self.kernels.lib.lr_adapter_write(
            self.handle, c.c_uint32(kind), c.c_uint32(list(self.shapes).index(name)), pointer(values), c.c_uint64(values.size)))

    def read(self, kind: int = 0) -> dict[str, np.ndarray]:
        """kind 0: weights, 1: gradients, 2 and 3: AdamW's moments."""
        out = {}
        for index, (name, shape) in enumerate(self.shapes.items()):
            out[name] = np.empty(shape, np.float32)
            self.kernels.check(self.kernels.lib.lr_adapter_read(
                self.handle, c.c_uint32(kind), c.c_uint32(index), pointer(out[name]), c.c_uint64(out[name].size)))
        return out

    def optimizer_step(self, learning_rate: float, max_grad_norm: float, b_rate_ratio: float = 1.0,
                       weight_decay: float = 0.0) -> float:
        settings = AdamW(learning_rate, 0.9, 0.999, 1e-8, weight_decay, max_grad_norm, b_rate_ratio)
        norm = c.c_float()
        self.kernels.check(self.kernels.lib.lr_adapter_optimizer_step(self.handle, c.byref(settings), c.byref(norm)))
        return norm.value

    def train(self, batches: list[list[Batch]], learning_rate: float, max_grad_norm: float, **optimizer) -> list[float]:
        """Mean loss per token of each optimizer step, as peer.train."""
        means = []
        for micro_batches in batches:
            total = sum(int((b.targets != -100).sum()) for b in micro_batches)
            losses = [self.base.train_step(b, self, 1 / total) for b in micro_batches]
            self.optimizer_step(learning_rate, max_grad_norm, **optimizer)
            means.append(sum(loss.sum for loss in losses) / total)
        return means


def offsets(lengths) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def pointer(array: np.ndarray) -> c.c_void_p:
    assert array.flags.c_contiguous
    return c.c_void_p(array.ctypes.data)
