#include "quantization.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace lr::quant {
namespace {

// Smallest divisor bitsandbytes uses for a block, so that a block of zeros divides by no zero.
constexpr float kSmallestAbsmax = 1e-38f;

// Point i of n evenly spaced floats from 0.1 to 1, each half counted from its own end as torch.linspace does.
float tenth_to_one(int n, int i) {
  const float step = (1.0f - 0.1f) / static_cast<float>(n - 1);
  return i < n / 2 ? std::fma(step, static_cast<float>(i), 0.1f) : std::fma(-step, static_cast<float>(n - 1 - i), 1.0f);
}

// The nearest dynamic code for each of 65,536 evenly spaced values in [-1, 1]: bitsandbytes looks codes up at that resolution.
using CodeTable = std::array<uint8_t, 65536>;

CodeTable make_code_table() {
  const std::array<float, 256>& levels = dynamic_levels();
  CodeTable table;
  int code = 0;
  for (int i = 0; i < 65536; ++i) {
    const float value = -1.0f + (2.0f * static_cast<float>(i)) / 65535.0f;
    while (code < 255 && 0.5f * (levels[code] + levels[code + 1]) < value) ++code;
    table[i] = static_cast<uint8_t>(code);
  }
  return table;
}

uint8_t dynamic_code(float value) {
  static const CodeTable table = make_code_table();
  // In this order NaN, of scales that are not finite, becomes -1 and not an index from nowhere.
  const float half = (std::min(std::max(-1.0f, value), 1.0f) + 1.0f) * 0.5f;
  return table[static_cast<uint16_t>(std::fma(half, 65535.0f, 0.5f))];
}

int code_of(const FourBit& type, float value) {
  int place = 0;
  for (const float midpoint : type.midpoints) place += midpoint < value;
  return type.order[place];
}

// Rounded to a whole number, to nearest even; |value| < 2^22, as the sum keeps no fraction then.
float to_whole(float value) {
  constexpr float kShift = 0x1.8p23f;
  return (value + kShift) - kShift;
}

// A float rounded to IEEE half precision, to nearest even, kept as a float; infinite from 65520 on.
float round_to_half(float value) {
  const float magnitude = std::fabs(value);
  if (!(magnitude < 65520.0f)) return magnitude == magnitude ? std::copysign(HUGE_VALF, value) : value;
  if (magnitude < 0x1p-14f) return to_whole(value * 0x1p24f) * 0x1p-24f;  // subnormal halves are multiples of 2^-24
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return std::bit_cast<float>((bits + 0xFFF + (bits >> 13 & 1)) & ~0x1FFFu);
}

// Σ values[n] in the order of torch's float sum: vectors of 8 lanes, four side by side, each a cascade of running sums
// (pytorch, aten/src/ATen/native/cpu/SumKernel.cpp). torch splits 32,768 numbers and more over its threads, which changes
// the last bit with their count; this is the order of one thread.
float cascade_sum(const float* values, int64_t n) {
  constexpr int kLanes = 8, kVectors = 4, kLevelCount = 4, kRow = kLanes * kVectors;
  if (n < kLanes) {  // torch takes its scalar path: the same cascade over single floats, four side by side
    float sums[kVectors] = {};
    for (int64_t i = 0; i < n / kVectors * kVectors; ++i) sums[i % kVectors] += values[i];
    for (int64_t i = n / kVectors * kVectors; i < n; ++i) sums[0] += values[i];
    return ((sums[0] + sums[1]) + sums[2]) + sums[3];
  }
  const int64_t vectors = n / kLanes, rows = vectors / kVectors;
  int log2 = 0;  // ceil(log2(rows))
  while ((int64_t{1} << log2) < rows) ++log2;
  const int power = std::max(4, log2 / kLevelCount);
  const int64_t step = int64_t{1} << power;

  float sums[kLevelCount][kRow] = {};
  int64_t row = 0;
  while (row + step <= rows) {
    for (int64_t j = 0; j < step; ++j, ++row)
      for (int k = 0; k < kRow; ++k) sums[0][k] += values[row * kRow + k];
    for (int level = 1; level < kLevelCount; ++level) {
      for (int k = 0; k < kRow; ++k) {
        sums[level][k] += sums[level - 1][k];
        sums[level - 1][k] = 0;
      }
      if ((row & ((step - 1) << (level * power))) != 0) break;
    }
  }
  for (; row < rows; ++row)
    for (int k = 0; k < kRow; ++k) sums[0][k] += values[row * kRow + k];
  for (int level = 1; level < kLevelCount; ++level)
    for (int k = 0; k < kRow; ++k) sums[0][k] += sums[level][k];

  for (int64_t i = rows * kVectors; i < vectors; ++i)
    for (int k = 0; k < kLanes; ++k) sums[0][k] += values[i * kLanes + k];
  for (int vector = 1; vector < kVectors; ++vector)
    for (int k = 0; k < kLanes; ++k) sums[0][k] += sums[0][vector * kLanes + k];
  float sum = 0;
  for (int64_t i = vectors * kLanes; i < n; ++i) sum += values[i];
  for (int k = 0; k < kLanes; ++k) sum += sums[0][k];
  return sum;
}

}  // namespace

std::array<float, 256> make_dynamic_levels(bool with_sign) {
  constexpr int kDecades = 7;
  std::array<float, 256> levels;
  size_t count = 0;
  for (int e = 0; e < kDecades; ++e) {
    const auto power = static_cast<float>(std::pow(10.0, e - (kDecades - 1)));
    const int bounds = (with_sign ? 1 << e : 2 << e) + 1;
    for (int i = 0; i + 1 < bounds; ++i) {
      const float level = power * ((tenth_to_one(bounds, i) + tenth_to_one(bounds, i + 1)) / 2.0f);
      levels[count++] = level;
      if (with_sign) levels[count++] = -level;
    }
  }
  levels[count++] = 0.0f;
  levels[count++] = 1.0f;
  std::sort(levels.begin(), levels.end());
  return levels;
}

const std::array<float, 256>& dynamic_levels() {
  static const std::array<float, 256> levels = make_dynamic_levels(true);
  return levels;
}

float block_absmax(const float* values, int64_t n) {
  float absmax = 0;
  for (int64_t i = 0; i < n; ++i) absmax = std::max(absmax, std::fabs(values[i]));
  // bitsandbytes stores the raised scale for a last block shorter than 64, the plain one for whole blocks.
  return n < kBlock ? std::max(absmax, kSmallestAbsmax) : absmax;
}

void quantize_block(const FourBit& type, const float* values, int64_t n, float absmax, uint8_t* codes) {
  const float inverse = 1.0f / std::max(absmax, kSmallestAbsmax);
  const auto code = [&](int64_t i) {
    if (i == n) return code_of(type, 0);  // fills the last byte of an odd count
    const float scaled = n < kBlock ? values[i] / absmax : values[i] * inverse;  // as bitsandbytes: the two round differently
    return code_of(type, std::clamp(scaled, -1.0f, 1.0f));
  };
  for (int64_t i = 0; i < n; i += 2) codes[i / 2] = static_cast<uint8_t>(code(i) << 4 | code(i + 1));
}

void quantize_scales(float* absmax, int64_t blocks, uint8_t* absmax_codes, float* nested_absmax, float* offset) {
  *offset = cascade_sum(absmax, blocks) / static_cast<float>(blocks);
  for (int64_t i = 0; i < blocks; ++i) absmax[i] -= *offset;
  for (int64_t begin = 0; begin < blocks; begin += kNestedBlock) {
    const int64_t end = std::min(begin + kNestedBlock, blocks);
    float largest = 0;
    for (int64_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(absmax[i]));
    nested_absmax[begin / kNestedBlock] = largest;
    const float inverse = 1.0f / largest;
    for (int64_t i = begin; i < end; ++i) absmax_codes[i] = largest == 0 ? 0 : dynamic_code(absmax[i] * inverse);
  }
}

float quantize_row(const float* values, int64_t n, int8_t* codes) {
  float absmax = 0;
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) {
    const float magnitude = std::fabs(round_to_half(values[i]));
    finite = finite && magnitude < HUGE_VALF;
    absmax = std::max(absmax, magnitude);
  }
  // torch divides a number by a tensor as reciprocal times number: two roundings.
  const float inverse = (1.0f / absmax) * 127.0f;
  const bool has_codes = finite && absmax > 0;
  for (int64_t i = 0; i < n; ++i) codes[i] = has_codes ? static_cast<int8_t>(to_whole(round_to_half(values[i]) * inverse)) : 0;
  return finite ? absmax : NAN;
}

}  // namespace lr::quant
