"""Tensors that quantization is checked on, and bitsandbytes' answer to them."""

from __future__ import annotations

import numpy as np
import torch
from bitsandbytes import functional as bnb

import bitsandbytes_cpu  # noqa: F401


def normal(n: int, seed: int, scale: float = 0.02) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(n) * scale).astype(np.float32)


def bf16(values: np.ndarray) -> np.ndarray:
    """Rounded to bfloat16, as a weight that comes out of a checkpoint."""
    return torch.from_numpy(values).to(torch.bfloat16).float().numpy()


CASES = {
    "one": lambda: normal(1, 1),
    "odd": lambda: normal(63, 2),
    "one block": lambda: normal(64, 3),
    "ragged blocks": lambda: normal(64 * 5 + 17, 4),
    "bf16": lambda: bf16(normal(64 * 96, 5)),
    "large": lambda: normal(64 * 256 * 2 + 64 * 3 + 2, 6),
    "zeros": lambda: np.zeros(130, np.float32),
    "zero block": lambda: np.concatenate([normal(64, 7), np.zeros(64, np.float32), normal(64, 8)]),
    "huge": lambda: normal(256, 9, 1e30),
    "tiny": lambda: normal(256, 10, 1e-30),
    "subnormal": lambda: normal(256, 11, 1e-41),
    "outlier": lambda: np.concatenate([normal(200, 12), np.array([50.0], np.float32), normal(55, 13)]),
    "same": lambda: np.full(192, 0.125, np.float32),
    # exactly on and beside the middles between neighbouring codes
    "ties": lambda: np.concatenate([np.array([1.0], np.float32), middles(), np.nextafter(middles(), np.float32(2)),
                                    np.nextafter(middles(), np.float32(-2)), np.zeros(18, np.float32)]),
}


def middles(format: str = "nf4") -> np.ndarray:
    code = np.sort(bnb.get_4bit_type(format, device="cpu").numpy().astype(np.float32))
    return ((code[1:] + code[:-1]) / 2).astype(np.float32)


CASES["fp4 ties"] = lambda: np.concatenate([np.array([1.0], np.float32), middles("fp4"), np.nextafter(middles("fp4"), np.float32(2)),
                                            np.nextafter(middles("fp4"), np.float32(-2)), np.zeros(18, np.float32)])


def quantize(values: np.ndarray, format: str = "nf4", double_quant: bool = True) -> dict[str, np.ndarray]:
    """values [rows, cols] → the parts of lr_quantized that the format has, and `dequantized`."""
    tensor = torch.from_numpy(values)
    if format == "int8":
        codes, scales, _ = bnb.int8_vectorwise_quant(tensor.to(torch.float16))
        # as MatMul8bitLt's backward pass does it
        dequantized = codes.float().mul_(scales.unsqueeze(1).mul(1.0 / 127.0))
        return {"codes": codes.numpy().copy(), "absmax": scales.numpy().copy(), "dequantized": dequantized.numpy().copy()}
    codes, state = bnb.quantize_4bit(tensor, quant_type=format, compress_statistics=double_quant, blocksize=64)
    out = {"codes": codes.numpy().ravel().copy()}
    if double_quant:
        out |= {"absmax_codes": state.absmax.numpy().copy(), "nested_absmax": state.state2.absmax.numpy().copy(),
                "offset": state.offset.numpy().reshape(1).copy()}
    else:
        out["absmax"] = state.absmax.numpy().copy()
    return out | {"dequantized": bnb.dequantize_4bit(codes, state).numpy().reshape(values.shape).copy()}
