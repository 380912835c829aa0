// The constants of NF4 and the scale of one block, shared by every backend.
#pragma once
#include <array>
#include <cstdint>

#include "ops.h"

namespace lr::nf4 {

inline constexpr int64_t kBlock = 64;         // values that share one scale
inline constexpr int64_t kNestedBlock = 256;  // scales that share one nested scale

// The 16 levels: quantiles of the standard normal, scaled to [-1, 1], with an exact zero (Dettmers et al. 2023, appendix E).
inline constexpr std::array<float, 16> kLevels = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
    -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

// The 8-bit dynamic data type (Dettmers 2015, "8-bit approximations for parallelism in deep learning"), ascending: seven decades,
// each with twice the levels of the one below, ±10^(e-6) times the midpoints of evenly spaced fractions; 0 and 1. Without a sign,
// its bit doubles the fractions.
std::array<float, 256> make_dynamic_levels(bool with_sign);
// The signed one.
const std::array<float, 256>& dynamic_levels();

// Scale of block `block` of a tensor: two roundings, as the product and the sum are separate operations in bitsandbytes.
static inline float block_scale(const Nf4& w, int64_t block, const std::array<float, 256>& dynamic) {
  const float product = dynamic[w.absmax_codes[block]] * w.nested_absmax[block / kNestedBlock];
  return product + w.offset;
}

// Code of flat element i: the first of a pair lies in the high half of its byte.
static inline int code_at(const Nf4& w, int64_t i) { return i % 2 == 0 ? w.codes[i / 2] >> 4 : w.codes[i / 2] & 15; }

// ---- parts of quantization that every backend shares

// Scale of a block of n ≤ 64 values.
float block_absmax(const float* values, int64_t n);
// Codes of block `block`, n ≤ 64 values with scale absmax, packed into codes [ceil(n/2)].
void quantize_block(const float* values, int64_t n, float absmax, uint8_t* codes);
// Double quantization of the scales: absmax [blocks] becomes absmax_codes, nested_absmax and offset. absmax is overwritten.
void quantize_scales(float* absmax, int64_t blocks, uint8_t* absmax_codes, float* nested_absmax, float* offset);

}  // namespace lr::nf4
