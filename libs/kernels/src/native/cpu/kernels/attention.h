// What the forward and backward pass of attention share.
#pragma once
#include "kernels.h"
#include "weights.h"

namespace lr::LR_ISA {

constexpr int64_t kKeyBlock = 64;     // keys at a time: their scores with a block of queries stay in the first cache
constexpr int64_t kQueryBlock = 48;  // whole tiles of 8 and of 6 rows

// Products of attention take operands as floats, or as pairs of bfloat16 where the instruction set multiplies those. Sums,
// softmax and outputs are floats either way.
#if defined(__AVX512BF16__)
using AttentionBf16 = Bf16;
#else
using AttentionBf16 = Exact;
#endif

// Lanes that n elements of k take.
template <class Operand>
static inline int64_t lanes_of(int64_t n) {
  return ceil_div(n, Operand::kPack);
}

// The least multiple of W that is not below n; 0 for n below 0.
static inline int64_t whole_vectors(int64_t n) { return most(ceil_div(n, W), 0) * W; }

// Rows of a matrix, stride floats apart.
struct RowsApart {
  const float* data;
  int64_t stride;
  const float* operator()(int64_t row) const { return data + row * stride; }
};

// Rows [0, n) of x, which row(i) finds, D wide, as B along D: packed[lanes of D][kKeyBlock], missing ones zero.
template <class Operand, class Row>
static void pack_columns(const Row& row, int64_t n, int64_t D, float* packed) {
  const int64_t lanes = lanes_of<Operand>(D);
  for (int64_t lane = 0; lane < lanes; lane += W) {
    const int64_t depth = least(W, lanes - lane);
    for (int64_t key = 0; key < kKeyBlock; key += W) {
      V block[W];
      for (int64_t j = 0; j < W; ++j) block[j] = key + j < n ? Operand::lanes(row(key + j), lane, D, 1) : zero();
      transpose(block);
      for (int64_t j = 0; j < depth; ++j) store(packed + (lane + j) * kKeyBlock + key, block[j]);
    }
  }
}

// Rows [0, n) of x, stride floats apart, factor times, as A along D: out[n], rows out_stride apart, which may be x itself.
template <class Operand>
static void pack_rows_along(const float* x, int64_t stride, int64_t n, int64_t D, float factor, float* out, int64_t out_stride) {
  const int64_t lanes = lanes_of<Operand>(D);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t lane = 0; lane < lanes; lane += W)
      store_part(out + i * out_stride + lane, Operand::lanes(x + i * stride, lane, D, factor), least(W, lanes - lane));
}

// The same rows along n: out[lanes of n][D], which may be where they are.
template <class Operand, class Row>
static void pack_rows_across(const Row& row, int64_t n, int64_t D, float* out) {
  for (int64_t i = 0; i < n; i += Operand::kPack) {
    const bool both = Operand::kPack == 2 && i + 1 < n;
    const float *first = row(i), *second = both ? row(i + 1) : first;
    for (int64_t d = 0; d < D; d += W) {
      const int64_t width = least(W, D - d);
      const V values = Operand::join(load_part(first + d, width), both ? load_part(second + d, width) : zero());
      store_part(out + i / Operand::kPack * D + d, values, width);
    }
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
