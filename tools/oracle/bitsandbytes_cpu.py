"""Makes bitsandbytes 0.50.2 compute the same on every CPU. Where a machine has AVX-512 it does not of itself:

- 4-bit rows whose width is a multiple of 16 but not of a block of 64 are dequantized wrongly: its own plain implementation takes
  the place of the vectorised one.
- Layers out of training multiply in bfloat16 whatever the compute dtype: switched off, as on a machine without AVX512-BF16.

Importing this is enough. The benchmark's peer leaves both alone: its widths are multiples of 64, and it trains."""

from __future__ import annotations

import warnings

import bitsandbytes.nn.modules
import torch
import torch._dynamo
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from bitsandbytes.backends.utils import _get_4bit_code

torch._dynamo.config.disable = True  # compiling that implementation takes longer than all it is asked to do here
bitsandbytes.nn.modules.has_avx512bf16 = lambda: False


def _dequantize(a: torch.Tensor, absmax: torch.Tensor, blocksize: int, quant_type: str, shape, dtype: torch.dtype) -> torch.Tensor:
    code = _get_4bit_code(quant_type, a.device)
    return _dequantize_4bit_compute(a.view(torch.uint8).reshape(-1), absmax, code, blocksize, shape, dtype)


_library = torch.library.Library("bitsandbytes", "IMPL")  # the registration ends with this object
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it replaces one is the point
    _library.impl("dequantize_4bit", _dequantize, "CPU", allow_override=True)
