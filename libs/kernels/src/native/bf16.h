// bfloat16: the upper half of an IEEE binary32. Functions are static: each instruction set gets its own copy (cpu/kernels/vec.h).
#pragma once
#include <bit>
#include <cstdint>

namespace lr {

static inline float bf16_to_float(uint16_t value) { return std::bit_cast<float>(uint32_t{value} << 16); }

// Rounds to nearest, ties to even; NaN stays NaN.
static inline uint16_t float_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline float round_to_bf16(float value) { return bf16_to_float(float_to_bf16(value)); }

}  // namespace lr
