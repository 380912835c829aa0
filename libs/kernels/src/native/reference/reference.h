// The plain backend: one operation per file, one thread, sums in double. It is what the fast operations are tested against.
#pragma once
#include "bf16.h"
#include "quantization.h"
#include "over_floats.h"

namespace lr::reference {

#include "operations.inc"

// Element (row, col) of a weight, whatever its storage.
inline float element(const Weight& w, int64_t row, int64_t col) {
  const int64_t i = row * w.cols + col;
  if (w.storage == Storage::F32) return static_cast<const float*>(w.data)[i];
  if (w.storage == Storage::BF16) return bf16_to_float(static_cast<const uint16_t*>(w.data)[i]);
  if (w.storage == Storage::INT8) return static_cast<const int8_t*>(w.data)[i] * quant::row_scale(w.scales, row);
  const float level = quant::four_bit(w.storage).levels[quant::code_at(w.data, i)];
  return level * quant::block_scale(w.scales, i / quant::kBlock, quant::dynamic_levels());
}

// An operand of a big product, in the type the run asks for.
inline double operand(const Run& run, float value) { return run.compute == Compute::BF16 ? round_to_bf16(value) : value; }

// Element i of a pair's A and B, whatever they are kept in.
inline float element_of_a(const Lora& l, int64_t i) { return l.a_bf16 == nullptr ? l.a[i] : bf16_to_float(l.a_bf16[i]); }
inline float element_of_b(const Lora& l, int64_t i) { return l.b_bf16 == nullptr ? l.b[i] : bf16_to_float(l.b_bf16[i]); }

// What dropout multiplies element i of its stream with: 0, or 1 / (1 - p).
inline float dropout_factor(const Lora& l, int64_t i) {
  if (l.dropout == 0) return 1;
  return philox_uniform(l.dropout_key, static_cast<uint64_t>(i)) < l.dropout ? 0 : 1 / (1 - l.dropout);
}

}  // namespace lr::reference
