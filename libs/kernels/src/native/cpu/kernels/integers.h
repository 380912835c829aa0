// Values as integers that share a scale, and products in bfloat16 of them for instruction sets that have none: operands become integers of 12 bits and a sign, of which a vector multiplies and adds
// twice as many as of floats. Values that are neighbours in k share a scale, in each row of A and each column of B; their products are
// summed exactly, 32 bits wide, and then added to floats. So a row gets the same bytes whatever other rows are there. What is rounded is off by
// 2⁻¹³ of the greatest of its neighbours at most: among values like those of activations and weights, less than bfloat16 rounds (ADR 51).
#pragma once
#include <limits>

#include "tile.h"

namespace lr::LR_ISA {

// What makes integers of values, and values of integers.
struct IntegerScale {
  float factor, back;
};
// For integers up to kMost. not_finite: 0, or not where one of the values is not finite: then all of them become NaN.
template <int32_t kMost>
static inline IntegerScale integer_scale(float greatest, float not_finite) {
  if (not_finite != 0) return {0, std::numeric_limits<float>::quiet_NaN()};
  // Values that are too small for their factor to be a float count as 0.
  if (greatest < kMost * std::numeric_limits<float>::min()) return {0, 0};
  return {kMost / greatest, greatest * (1.0f / kMost)};
}

// The greatest magnitudes of vectors, lane by lane.
struct Greatest {
  V magnitude = zero(), not_finite = zero();
  void take(V values) {
    magnitude = max(magnitude, max(values, zero() - values));
    not_finite = not_finite + (values - values);
  }
};
// The same of all n values, a multiple of W.
template <int32_t kMost>
static inline IntegerScale scale_of(const float* values, int64_t n) {
  Greatest greatest;
  for (int64_t i = 0; i < n; i += W) greatest.take(load(values + i));
  return integer_scale<kMost>(largest(greatest.magnitude), sum(greatest.not_finite));
}

#if !defined(__AVX512BF16__)
#if defined(__AVX512F__)
static inline I as_ints(V v) { return _mm512_castps_si512(v); }
static inline V as_lanes(I v) { return _mm512_castsi512_ps(v); }
// 2W values rounded to integers of 16 bits, in their order; and lane by lane that of `second` above that of `first`.
static inline I round_neighbours(V low, V high) {
  const auto words = [](V values) { return _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(values)); };
  return _mm512_inserti64x4(_mm512_castsi256_si512(words(low)), words(high), 1);
}
static inline I round_pairs(V first, V second) {
  return _mm512_mask_blend_epi16(0xAAAAAAAA, _mm512_cvtps_epi32(first), _mm512_slli_epi32(_mm512_cvtps_epi32(second), 16));
}
#else
static inline I as_ints(V v) { return _mm256_castps_si256(v); }
static inline V as_lanes(I v) { return _mm256_castsi256_ps(v); }
static inline I round_neighbours(V low, V high) {
  return _mm256_permute4x64_epi64(_mm256_packs_epi32(_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high)), 0xD8);
}
static inline I round_pairs(V first, V second) {
  return _mm256_blend_epi16(_mm256_cvtps_epi32(first), _mm256_slli_epi32(_mm256_cvtps_epi32(second), 16), 0xAA);
}
#endif

struct Integers {
  static constexpr bool kAsIs = false;
  static constexpr int kPack = 2;
  static constexpr int64_t kRows = kTileRows, kLaneStep = W;
  static constexpr int64_t kNeighbours = 128;  // that share a scale
  static constexpr int64_t kScaledLanes = kNeighbours / kPack;
  static constexpr int64_t kSliceScales = 4;
  static constexpr int32_t kGreatest = 4095;
  static_assert(kNeighbours * kGreatest * kGreatest <= std::numeric_limits<int32_t>::max());
  struct Registers {};

  // [n] floats into n / 2 lanes, and their scales behind them; n is a multiple of 2 W.
  static inline void convert(const float* values, int64_t n, float* out) {
    float scales[kSliceScales];
    for (int64_t first = 0; first < n; first += kNeighbours) {
      const int64_t end = least(first + kNeighbours, n);
      const IntegerScale scale = scale_of<kGreatest>(values + first, end - first);
      const V factor = set(scale.factor);
      for (int64_t i = first; i < end; i += 2 * W)
        store(out + i / 2, as_lanes(round_neighbours(load(values + i) * factor, load(values + i + W) * factor)));
      scales[first / kNeighbours] = scale.back;
    }
    std::memcpy(out + n / 2, scales, static_cast<size_t>(ceil_div(n, kNeighbours)) * sizeof(float));
  }

  // As pack_block does (gemm.h), elements that lie across k: kPackedCols columns at a time, kNeighbours of each, by way of buffer
  // [kNeighbours, kPackedCols].
  static constexpr int64_t kPackedCols = 64;  // whole quantization blocks
  template <class B>
  static inline void pack_across(const B& source, int64_t k, int64_t depth, int64_t col, int64_t cols, float* packed, int64_t panel_lanes,
                                 float* buffer) {
    const int64_t lanes = ceil_div(depth, 2 * W) * W;
    for (int64_t group = 0; group < cols; group += kPackedCols) {
      const int64_t present = least(kPackedCols, cols - group);
      const int64_t width = ceil_div(present, kTileCols) * kTileCols;
      for (int64_t lane = 0; lane < lanes; lane += kScaledLanes) {
        const int64_t count = least(kScaledLanes, lanes - lane);
        for (int64_t i = 0; i < 2 * count; ++i) {
          float* line = buffer + i * kPackedCols;
          const int64_t there = 2 * lane + i < depth ? present : 0;
          if (there > 0) source.line(k + 2 * lane + i, col + group, there, line);
          for (int64_t j = there; j < width; ++j) line[j] = 0;
        }
        for (int64_t j = 0; j < width; j += W) {
          float* panel = packed + (group + j) / kTileCols * kTileCols * panel_lanes + (group + j) % kTileCols;
          const V factor = store_scales(buffer + j, 2 * count, panel + (lanes + lane / kScaledLanes) * kTileCols);
          for (int64_t i = 0; i < count; ++i) {
            const float* pair = buffer + 2 * i * kPackedCols + j;
            store(panel + (lane + i) * kTileCols, as_lanes(round_pairs(load(pair) * factor, load(pair + kPackedCols) * factor)));
          }
        }
      }
    }
  }

  // gemm.h; the scales of `rows` and of b lie behind their lanes.
  static inline void product(const Rows& rows, int64_t, const float* b, int64_t lanes, int64_t width, bool add, float* out, const float* next) {
    if (width <= W) {
      tile<1>(rows, b, lanes, add, out, next);
    } else {
      tile<2>(rows, b, lanes, add, out, next);
    }
  }

 private:
  // Scales of W columns of `count` values, kPackedCols apart, go to `back`; returns the columns' factors.
  static inline V store_scales(const float* values, int64_t count, float* back) {
    Greatest greatest;
    for (int64_t i = 0; i < count; ++i) greatest.take(load(values + i * kPackedCols));
    float magnitude[W], not_finite[W], factors[W];
    store(magnitude, greatest.magnitude);
    store(not_finite, greatest.not_finite);
    for (int64_t i = 0; i < W; ++i) {
      const IntegerScale scale = integer_scale<kGreatest>(magnitude[i], not_finite[i]);
      factors[i] = scale.factor;
      back[i] = scale.back;
    }
    return load(factors);
  }

  // out[kTileRows, NV · W] (rows kTileCols apart) = or += rows · b. Inlined so that the compiler sees how far apart rows are: without additions for
  // their addresses a step is as short as its products.
  template <int NV>
  [[gnu::always_inline]] static inline void tile(const Rows& rows, const float* b, int64_t lanes, bool add, float* out, const float* next) {
    const float *a_scales = rows.data + lanes, *b_scales = b + lanes * kTileCols;
    for (int64_t lane = 0; lane < lanes; lane += kScaledLanes, ++a_scales, b_scales += kTileCols) {
      const int64_t end = least(lane + kScaledLanes, lanes);
      I sums[kTileRows][NV];
      for (int m = 0; m < kTileRows; ++m)
        for (int v = 0; v < NV; ++v) sums[m][v] = set_int(0);
      for (int64_t i = lane; i < end; i += LinesAhead::kEvery) {
        LinesAhead{next}.fetch();
        next += LinesAhead::kLine;
#pragma GCC unroll 8
        for (int64_t j = 0; j < LinesAhead::kEvery; ++j) {
          I columns[NV];
#pragma GCC unroll 2
          for (int v = 0; v < NV; ++v) columns[v] = as_ints(load(b + (i + j) * kTileCols + v * W));
#pragma GCC unroll 8
          for (int m = 0; m < kTileRows; ++m) {
            const I element = as_ints(set(rows.at(m, i + j)));
#pragma GCC unroll 2
            for (int v = 0; v < NV; ++v) sums[m][v] = held_back(add_products(sums[m][v], element, columns[v]));
          }
        }
      }
#pragma GCC unroll 8
      for (int m = 0; m < kTileRows; ++m)
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) {
          float* p = out + m * kTileCols + v * W;
          const V scale = set(a_scales[m * rows.stride]) * load(b_scales + v * W);
          store(p, fma(to_float(sums[m][v]), scale, add || lane > 0 ? load(p) : zero()));
        }
    }
  }
};
#endif

}  // namespace lr::LR_ISA
