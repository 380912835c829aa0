// What the forward and backward pass of attention share.
#pragma once
#include "kernels.h"
#include "weights.h"

namespace lr::LR_ISA {

constexpr int64_t kKeyBlock = 64;     // keys at a time: their scores with a block of queries stay in the first cache
constexpr int64_t kQueryBlock = 48;  // whole tiles of 8 and of 6 rows

// Rows [0, n) of x, stride floats apart, D wide, as columns: packed[D][kKeyBlock], missing ones zero.
static inline void pack_columns(const float* x, int64_t stride, int64_t n, int64_t D, float* packed) {
  for (int64_t d = 0; d < D; d += W) {
    const int64_t depth = least(W, D - d);
    for (int64_t key = 0; key < kKeyBlock; key += W) {
      V block[W];
      for (int64_t j = 0; j < W; ++j) block[j] = key + j < n ? load_part(x + (key + j) * stride + d, depth) : zero();
      transpose(block);
      for (int64_t j = 0; j < depth; ++j) store(packed + (d + j) * kKeyBlock + key, block[j]);
    }
  }
}

// n rows of D floats, factor times.
static inline void copy_rows(const float* x, int64_t stride, int64_t n, int64_t D, float factor, float* out) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t d = 0; d < D; ++d) out[i * D + d] = x[i * stride + d] * factor;
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
