// Products of LoRA pairs on tensor cores, of operands with matrices that are a few columns wide. Memory sets the pace: each value is read once,
// rounded to bfloat16 in registers where it is a float, and multiplied with all columns of its narrow partner.
#pragma once
#include <span>

#include "weights.h"

namespace lr::cuda {

// What falls on element (t, i) of x [T, width], numbered t · width + i, before it is rounded.
struct Drop {
  float probability = 0;
  uint64_t key = 0;
};

// c[T, n] = x[T, k] · wᵀ; w [n, w_stride]. Unless it is null, `turned` [n, turned_stride] gets c turned and in bfloat16, zeros behind T.
struct NarrowProduct {
  Operand x;
  int64_t T, k;
  const uint16_t* w;
  int64_t w_stride, n;
  float* c;
  Drop drop;
  uint16_t* turned = nullptr;
  int64_t turned_stride = 0;  // round_up(T, kTokenStep)
};
// c(j, i) += factor · Σ_t h[j, t] · x[t, i], element (j, i) lying at j · c_row + i · c_col; h [n, h_stride],
// zeros behind T.
struct TokenSum {
  Operand x;
  int64_t T, width;
  const uint16_t* h;
  int64_t h_stride, n;
  float* c;
  int64_t c_row, c_col;
  float factor;
  Drop drop;
};
constexpr int64_t kTokenStep = 16;  // tokens and rows of h at a time; h_stride is a multiple of it

// Products that do not depend on each other. An element is summed in an order that depends on k, or on T, alone.
// What is placed beside goes with the same launch where there is one.
void narrow_products(const Run& run, std::span<const NarrowProduct> products, std::span<const Placed> beside = {});
void token_sums(const Run& run, std::span<const TokenSum> sums);
// Whether x [.., width] can be read by them: in pieces of eight values.
inline bool suits_narrow(const Operand& x, int64_t width) { return x.halves != nullptr || (width % 8 == 0 && is_aligned(x.floats)); }

}  // namespace lr::cuda
