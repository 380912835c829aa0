// Matrix products: of bfloat16 on tensor cores, and of floats.
#pragma once
#include <span>

#include "weights.h"

namespace lr::cuda {

enum class Right {
  Rows,     // b [n, k]: c = a · bᵀ
  Columns,  // b [k, n]: c = a · b
};
// What a sum goes over: the weight's, and what stands behind it.
struct Depth {
  Depth(int64_t weight, int64_t more = 0) : own(weight), behind(more) {}
  int64_t own, behind;
  int64_t all() const { return own + behind; }
};
// c[m, n] = or += a[m, k] · b with sums in float. Element sums go over k in one order, whatever m and n are. Columns of a behind k
// are zeros up to a multiple of 8. Nothing is added to a c in bfloat16. By cublasLt where it is there, and
void product_halves(const Run& run, const Halves& a, const Halves& b, Right right, OperandOut c, int64_t m, int64_t n, Depth k, bool add);
// by the own kernels.
void product_bf16(const Run& run, const Halves& a, const Halves& b, Right right, OperandOut c, int64_t m, int64_t n, int64_t k, bool add);

// c[T, rows] = or += x[T, cols] · wᵀ for tokens of decoding, without writing the weight out first; the same order whatever T is. For weights that
// it suits: whose columns are whole blocks of 64.
bool suits_few(const Weight& w);
void product_few(const Run& run, const Halves& x, const Weight& w, float* c, int64_t T, bool add);

// Which matrix of a float product dropout falls on. It numbers elements by their place behind the matrix' beginning.
enum class Dropped : int { None, A, B, C };

// c[i, j] = or += factor · Σ_k a(i, k) · b(j, k), element (i, k) of a matrix lying at i · row + k · col.
struct FloatMatrix {
  const float* at;
  int64_t row, col;
};
struct FloatProduct {
  FloatMatrix a, b;
  float* c;                // [m, stride]
  int64_t m, n, k, stride;
  float factor;
  bool add;
  Dropped dropped = Dropped::None;
  float dropout = 0;
  uint64_t dropout_key = 0;
};
// Products that do not depend on each other, in one launch or a few.
void products_f32(const Run& run, std::span<const FloatProduct> products);
// The same for the few tokens of decoding, where k is large and n is small, and the other way round. Rows of all three lie one after the other in
// memory (`row` is k, `col` is 1, `stride` is n), all products add or none does, and nothing is dropped.
void products_long(const Run& run, std::span<const FloatProduct> products);
void products_short(const Run& run, std::span<const FloatProduct> products);

constexpr int kAtOnce = 24;  // products of a launch: arguments have 4 KiB
struct Products {
  FloatProduct of[kAtOnce];
};
// Calls start(Products, grid) for as many at a time; a layer of the grid is a product, in which a block makes tile_m × tile_n elements.
template <typename Start>
void in_launches(std::span<const FloatProduct> products, int64_t tile_m, int64_t tile_n, const Start& start) {
  for (size_t first = 0; first < products.size(); first += kAtOnce) {
    Products some = {};
    const size_t count = std::min<size_t>(kAtOnce, products.size() - first);
    std::copy_n(products.begin() + static_cast<std::ptrdiff_t>(first), count, some.of);
    Grid grid = {0, 0, static_cast<int64_t>(count)};
    for (size_t i = 0; i < count; ++i) {
      grid.x = std::max(grid.x, ceil_div(some.of[i].m, tile_m));
      grid.y = std::max(grid.y, ceil_div(some.of[i].n, tile_n));
    }
    start(some, grid);
  }
}

}  // namespace lr::cuda
