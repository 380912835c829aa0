// The quantized storages of bitsandbytes: their constants, the scale of a block or row, and the parts of quantization that every
// backend shares. Functions are static where kernels use them: each instruction set gets its own copy (cpu/kernels/vec.h).
#pragma once
#include <array>
#include <cstdint>

#include "ops.h"

namespace lr::quant {

inline constexpr int64_t kBlock = 64;         // values of a 4-bit storage that share one scale
inline constexpr int64_t kNestedBlock = 256;  // scales that share one nested scale

// A 4-bit data type: the level of each code, and how a value in [-1, 1] finds its code.
struct FourBit {
  std::array<float, 16> levels;     // by code
  std::array<uint8_t, 16> order;    // codes by ascending level
  std::array<float, 15> midpoints;  // between levels that follow each other in `order`; a value on one takes the lower level
};

constexpr FourBit make_four_bit(const std::array<float, 16>& levels, const std::array<uint8_t, 16>& order) {
  FourBit type{levels, order, {}};
  for (int i = 0; i < 15; ++i) type.midpoints[i] = (levels[order[i]] + levels[order[i + 1]]) / 2;
  return type;
}

// NF4: quantiles of the standard normal, scaled to [-1, 1], with an exact zero (Dettmers et al. 2023, appendix E).
inline constexpr FourBit kNf4 = make_four_bit(
    {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
     -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
     0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});

// FP4: a sign and three bits that mean 0, 1/192, 2/3, 1, 1/3, 1/2, 1/6, 1/4. Zero has two codes: in the order that bitsandbytes
// 0.50 sorts them, the one with the sign bit is taken for small positive values and 0 for everything from the next level up to
// zero itself.
inline constexpr FourBit kFp4 = make_four_bit(
    {0.0f, 0.0625f / 12, 8.0f / 12, 1.0f, 4.0f / 12, 0.5f, 2.0f / 12, 0.25f, -0.0f, -0.0625f / 12, -8.0f / 12, -1.0f, -4.0f / 12,
     -0.5f, -2.0f / 12, -0.25f},
    {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3});

static inline bool is_four_bit(Storage storage) { return storage == Storage::NF4 || storage == Storage::FP4; }
static inline bool is_quantized(Storage storage) { return is_four_bit(storage) || storage == Storage::INT8; }
// Of a 4-bit storage; NF4 for every other, whose codes nobody reads.
static inline const FourBit& four_bit(Storage storage) { return storage == Storage::FP4 ? kFp4 : kNf4; }

// The 8-bit dynamic data type (Dettmers 2015, "8-bit approximations for parallelism in deep learning"), ascending: seven decades,
// each with twice the levels of the one below, ±10^(e-6) times the midpoints of evenly spaced fractions; 0 and 1. Without a sign,
// its bit doubles the fractions.
std::array<float, 256> make_dynamic_levels(bool with_sign);
// The signed one.
const std::array<float, 256>& dynamic_levels();

// Scale of block `block` of a 4-bit matrix. Double-quantized: two roundings, as the product and the sum are separate operations
// in bitsandbytes.
static inline float block_scale(const Scales& scales, int64_t block, const std::array<float, 256>& dynamic) {
  if (scales.absmax != nullptr) return scales.absmax[block];
  const float product = dynamic[scales.absmax_codes[block]] * scales.nested_absmax[block / kNestedBlock];
  return product + scales.offset;
}

// What the codes of row `row` of an INT8 matrix are multiplied with, rounded as in bitsandbytes' backward pass.
static inline float row_scale(const Scales& scales, int64_t row) { return scales.absmax[row] * (1.0f / 127); }

// 4-bit code of flat element i: the first of a pair lies in the high half of its byte.
static inline int code_at(const void* codes, int64_t i) {
  const uint8_t pair = static_cast<const uint8_t*>(codes)[i / 2];
  return i % 2 == 0 ? pair >> 4 : pair & 15;
}

// ---- parts of quantization that every backend shares

// Scale of a block of n ≤ 64 values.
float block_absmax(const float* values, int64_t n);
// Codes of one block, n ≤ 64 values with scale absmax, packed into codes [ceil(n/2)].
void quantize_block(const FourBit& type, const float* values, int64_t n, float absmax, uint8_t* codes);
// Double quantization of the scales: absmax [blocks] becomes absmax_codes, nested_absmax and offset. absmax is overwritten.
void quantize_scales(float* absmax, int64_t blocks, uint8_t* absmax_codes, float* nested_absmax, float* offset);
// Codes of one row of an INT8 matrix; returns its largest magnitude. Values pass through IEEE half precision, as bitsandbytes
// converts a matrix to it first (LLM.int8(), Dettmers et al. 2022, section 2); NaN when half precision cannot hold one of them.
float quantize_row(const float* values, int64_t n, int8_t* codes);

}  // namespace lr::quant
