// Products of floats: those of LoRA pairs, many at a time, and all products where operands are floats. A block makes 64 × 64 elements,
// each thread 4 × 4 of them.
#include "dropout.h"
#include "products.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256, kTile = 64, kDepth = 16, kOwn = 4;
constexpr int kStride = kTile + 4;  // of a column of a tile in shared memory
constexpr int64_t kSharedBytes = int64_t{2} * kDepth * kStride * static_cast<int64_t>(sizeof(float));

// Rows first … first + 63 and columns depth … depth + 15 of a matrix into tile[k][i], zeros outside. Neighbouring threads take what lies
// together in memory.
template <Dropped which>
LR_DEVICE void load_tile(const FloatProduct& p, const FloatMatrix& from, int64_t first, int64_t rows, int64_t depth, float* tile) {
  for (int piece = thread_index(); piece < kTile * kDepth; piece += kThreads) {
    const int k = from.col == 1 ? piece % kDepth : piece / kTile, i = from.col == 1 ? piece / kDepth : piece % kTile;
    float value = 0;
    if (first + i < rows && depth + k < p.k) {
      const int64_t place = (first + i) * from.row + (depth + k) * from.col;
      value = from.at[place];
      if (p.dropped == which) value *= dropout_factor(p.dropout, p.dropout_key, place);
    }
    tile[k * kStride + i] = value;
  }
}

LR_KERNEL(kThreads) multiply_f32(Products products) {
  const FloatProduct& p = products.of[block_z()];
  const int64_t first_row = block_x() * kTile, first_col = block_y() * kTile;
  if (first_row >= p.m || first_col >= p.n) return;
  auto* a = shared_at<float>(0);
  auto* b = a + kDepth * kStride;
  const int row = thread_index() / 16 * kOwn, col = thread_index() % 16 * kOwn;
  float sums[kOwn][kOwn] = {};
  for (int64_t depth = 0; depth < p.k; depth += kDepth) {
    load_tile<Dropped::A>(p, p.a, first_row, p.m, depth, a);
    load_tile<Dropped::B>(p, p.b, first_col, p.n, depth, b);
    barrier();
    for (int k = 0; k < kDepth; ++k) {
      LR_UNROLL
      for (int i = 0; i < kOwn; ++i) {
        LR_UNROLL
        for (int j = 0; j < kOwn; ++j) sums[i][j] = fused(a[k * kStride + row + i], b[k * kStride + col + j], sums[i][j]);
      }
    }
    barrier();
  }
  for (int i = 0; i < kOwn; ++i) {
    for (int j = 0; j < kOwn; ++j) {
      if (first_row + row + i >= p.m || first_col + col + j >= p.n) continue;
      const int64_t place = (first_row + row + i) * p.stride + first_col + col + j;
      float value = p.factor * sums[i][j];
      if (p.dropped == Dropped::C) value *= dropout_factor(p.dropout, p.dropout_key, place);
      p.c[place] = p.add ? p.c[place] + value : value;
    }
  }
}

}  // namespace

void products_f32(const Run& run, std::span<const FloatProduct> products) {
  in_launches(products, kTile, kTile, [&](const Products& some, Grid grid) { launch(run, multiply_f32, grid, kThreads, kSharedBytes, some); });
}

}  // namespace lr::cuda
