"""NF4 with double quantization is bitsandbytes' own, bit for bit."""

import numpy as np
import pytest
import torch
from bitsandbytes import functional as bnb

from lowrank import Kernels
from nf4_cases import CASES, quantize


@pytest.fixture(scope="module", params=["fast", "reference"])
def kernels(request):
    return Kernels(backend=request.param)


@pytest.mark.parametrize("name", CASES)
def test_bits(kernels, name):
    values = CASES[name]()
    ours, theirs = kernels.nf4_quantize(values), quantize(values)
    for part in ("offset", "nested_absmax", "absmax_codes", "codes"):
        assert np.array_equal(ours[part].view(np.uint8), theirs[part].view(np.uint8)), part


@pytest.mark.parametrize("name", CASES)
def test_dequantized(kernels, name):
    values = CASES[name]()
    theirs = quantize(values)
    ours = kernels.nf4_dequantize(theirs, values.size)
    assert np.array_equal(ours.view(np.uint32), theirs["dequantized"].view(np.uint32))


def test_many_random_shapes(kernels):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shape = rng.integers(1, 200, size=2)
        values = (rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 4)).astype(np.float32).ravel()
        ours, theirs = kernels.nf4_quantize(values), quantize(values)
        for part in ("offset", "nested_absmax", "absmax_codes", "codes"):
            assert np.array_equal(ours[part].view(np.uint8), theirs[part].view(np.uint8)), (seed, tuple(shape), part)


def test_cases_reach_the_nested_blocks():
    state = bnb.quantize_4bit(torch.from_numpy(CASES["large"]()), quant_type="nf4", compress_statistics=True, blocksize=64)[1]
    assert state.nested and state.state2.absmax.numel() > 1
