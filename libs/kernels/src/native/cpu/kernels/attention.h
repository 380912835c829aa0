// What the forward and backward pass of attention share.
#pragma once
#include "kernels.h"
#include "weights.h"

namespace lr::LR_ISA {

constexpr int64_t kKeyBlock = 64;     // keys at a time: their scores with a block of queries stay in the first cache
constexpr int64_t kQueryBlock = 48;  // whole tiles of 16, of 8 and of 6 rows

// Products of attention take operands as floats, or as pairs of bfloat16 where the instruction set multiplies those. Sums,
// softmax and outputs are floats either way.
#if defined(__AVX512BF16__)
using AttentionBf16 = Paired;
#else
using AttentionBf16 = Exact;
#endif

// Calls f.operator()<Operand>() with the operands of heads that are D wide. Tiles of bfloat16 want whole ones of D.
template <class F>
static inline void with_operands(const Run& run, [[maybe_unused]] int64_t D, const F& f) {
  if (run.compute == Compute::F32) return f.template operator()<Exact>();
#if defined(__AMX_BF16__)
  if (D % (Tiled::kPack * Tiled::kLaneStep) == 0) return f.template operator()<Tiled>();
#endif
  f.template operator()<AttentionBf16>();
}

// out[rows, cols] = or += A[rows, lanes] · B[lanes, cols], as `multiply`; A beyond its rows and lanes as `amx_multiply` wants it.
template <class Operand>
static inline void product(const Rows& a, int64_t rows, const float* b, int64_t ldb, int64_t lanes, int64_t cols, bool add, float* out,
                           int64_t out_stride) {
#if defined(__AMX_BF16__)
  if constexpr (Operand::kLaneStep == kAmxLanes) return amx_multiply(a, rows, b, ldb, lanes, cols, add, out, out_stride);
#endif
  multiply<Operand>(a, rows, b, ldb, lanes, cols, add, out, out_stride);
}

// Rows of a tile where the diagonal crosses a block.
template <class Operand>
constexpr int64_t kDiagonalRows = Operand::kLaneStep > 1 ? 16 : kTileRows;

// Lanes that n elements of k take.
template <class Operand>
static inline int64_t lanes_of(int64_t n) {
  return ceil_div(n, Operand::kPack);
}

// The least multiple of whole vectors, and of what a product takes at a time, that is not below n; 0 for n below 0.
template <class Operand>
static inline int64_t whole(int64_t n) {
  constexpr int64_t step = Operand::kLaneStep > 1 ? Operand::kPack * Operand::kLaneStep : W;
  return most(ceil_div(n, step), 0) * step;
}

// Lanes lane … lane+W-1 of a row of n values, factor times, as a product takes them; 0 beyond n.
template <class Operand>
static inline V lanes_at(const float* row, int64_t lane, int64_t n, float factor) {
  return Operand::lanes(row, lane, n, factor);
}
template <class Operand>
static inline V lanes_at(const uint16_t* row, int64_t lane, int64_t n, float factor) {
  constexpr int64_t kMost = Operand::kPack * W;
  row += lane * Operand::kPack;
  n -= lane * Operand::kPack;
  if (n <= 0) return zero();
#if defined(__AVX512BF16__)
  if constexpr (std::is_base_of_v<Paired, Operand>)
    if (factor == 1) return load_pairs(row, least(n, kMost));
#endif
  float values[kMost];
  for (int64_t i = 0; i < kMost; i += W) store(values + i, i < n ? get(row + i, least(n - i, W)) : zero());
  return Operand::lanes(values, 0, kMost, factor);
}

// Rows [0, n) of x, which row(i) finds, D wide, as B along D: packed[lanes of D][kKeyBlock], missing ones zero.
template <class Operand, class Row>
static void pack_columns(const Row& row, int64_t n, int64_t D, float* packed) {
  const int64_t lanes = lanes_of<Operand>(D);
  for (int64_t lane = 0; lane < lanes; lane += W) {
    const int64_t depth = least(W, lanes - lane);
    for (int64_t key = 0; key < kKeyBlock; key += W) {
      V block[W];
      for (int64_t j = 0; j < W; ++j) block[j] = key + j < n ? lanes_at<Operand>(row(key + j), lane, D, 1) : zero();
      transpose(block);
      for (int64_t j = 0; j < depth; ++j) store(packed + (lane + j) * kKeyBlock + key, block[j]);
    }
  }
}

// The same rows, factor times, as A along D: out[n], rows out_stride apart, which may be where they are.
template <class Operand, class Row>
static void pack_rows_along(const Row& row, int64_t n, int64_t D, float factor, float* out, int64_t out_stride) {
  const int64_t lanes = lanes_of<Operand>(D);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t lane = 0; lane < lanes; lane += W)
      store_part(out + i * out_stride + lane, lanes_at<Operand>(row(i), lane, D, factor), least(W, lanes - lane));
}

// The same rows along n: out[lanes of n][D], which may be where they are. Products that take many lanes find zeros up to a multiple of them.
template <class Operand, class Row>
static void pack_rows_across(const Row& row, int64_t n, int64_t D, float* out) {
  for (int64_t i = 0; i < n; i += Operand::kPack) {
    const bool both = Operand::kPack == 2 && i + 1 < n;
    const auto *first = row(i), *second = both ? row(i + 1) : first;
    for (int64_t d = 0; d < D; d += W) {
      const int64_t width = least(W, D - d);
      const V values = Operand::join(load_part(first + d, width), both ? load_part(second + d, width) : zero());
      store_part(out + i / Operand::kPack * D + d, values, width);
    }
  }
  const int64_t lanes = lanes_of<Operand>(n), whole_lanes = ceil_div(lanes, Operand::kLaneStep) * Operand::kLaneStep;
  std::memset(out + lanes * D, 0, (whole_lanes - lanes) * D * sizeof(float));
}

// kQueryBlock rows of kKeyBlock floats, n of which count, turned: out[kKeyBlock][kTurnedLanes], lanes of n, zero beyond n.
constexpr int64_t kTurnedLanes = 2 * W;
template <class Operand>
static void pack_turned(const float* x, int64_t n, float* out) {
  static_assert(kQueryBlock <= Operand::kPack * kTurnedLanes);
  for (int64_t lane = 0; lane < kTurnedLanes; lane += W)
    for (int64_t key = 0; key < kKeyBlock; key += W) {
      V block[W];
      for (int64_t j = 0; j < W; ++j) {
        const int64_t row = (lane + j) * Operand::kPack;
        const auto values = [&](int64_t i) { return i < n ? load(x + i * kKeyBlock + key) : zero(); };
        block[j] = Operand::join(values(row), values(row + 1));
      }
      transpose(block);
      for (int64_t j = 0; j < W; ++j) store(out + (key + j) * kTurnedLanes + lane, block[j]);
    }
}

// The first key that a query at `position` sees.
static inline int64_t first_key(const Attention& a, int64_t position) {
  return a.window > 0 ? most(position + 1 - a.window, 0) : 0;
}
// The block of keys it lies in begins here.
static inline int64_t first_key_block(const Attention& a, int64_t position) {
  return first_key(a, position) / kKeyBlock * kKeyBlock;
}

// Scores as softcap · tanh(score / softcap).
static inline V capped(V scores, V cap) { return cap * tanh(scores / cap); }

}  // namespace lr::LR_ISA
