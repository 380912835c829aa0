"""NF4 and FP4 with and without double quantization, and int8, are bitsandbytes' own, bit for bit."""

import numpy as np
import pytest
import torch
from bitsandbytes import functional as bnb

from lowrank import QUANTIZED_PARTS
from quantization_cases import CASES, quantize

FORMATS = [("nf4", True), ("nf4", False), ("fp4", True), ("fp4", False), ("int8", False)]


def matrix(name: str) -> np.ndarray:
    """The case as one row, or as rows of 64 where it has several blocks: rows matter to int8 only."""
    values = CASES[name]()
    return values.reshape(-1, 64) if values.size % 64 == 0 else values.reshape(1, -1)


def assert_same(ours: dict, theirs: dict, where) -> None:
    for part in QUANTIZED_PARTS:
        assert (part in ours) == (part in theirs), (where, part)
        if part in ours:
            assert np.array_equal(ours[part].view(np.uint8), theirs[part].view(np.uint8)), (where, part)


def representable(values: np.ndarray, format: str) -> np.ndarray:
    """int8 passes through half precision, whose infinities this library refuses."""
    return np.clip(values, -65504, 65504) if format == "int8" else values


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("format,double_quant", FORMATS)
def test_bits(kernels, name, format, double_quant):
    values = representable(matrix(name), format)
    assert_same(kernels.quantize(values, format, double_quant), quantize(values, format, double_quant), name)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("format,double_quant", FORMATS)
def test_dequantized(kernels, name, format, double_quant):
    values = representable(matrix(name), format)
    theirs = quantize(values, format, double_quant)
    ours = kernels.dequantize(theirs, format, double_quant, values.shape)
    wanted = theirs["dequantized"]
    if format == "fp4":  # bitsandbytes' own ways of dequantizing differ in the sign of FP4's second zero
        ours, wanted = ours + 0.0, wanted + 0.0
    assert np.array_equal(ours.view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize("format,double_quant", FORMATS)
def test_many_random_shapes(kernels, format, double_quant):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shape = rng.integers(1, 200, size=2)
        values = (rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 4)).astype(np.float32)
        assert_same(kernels.quantize(values, format, double_quant), quantize(values, format, double_quant), (seed, tuple(shape)))


def test_cases_reach_the_nested_blocks():
    state = bnb.quantize_4bit(torch.from_numpy(CASES["large"]()), quant_type="nf4", compress_statistics=True, blocksize=64)[1]
    assert state.nested and state.state2.absmax.numel() > 1
