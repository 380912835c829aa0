// Products of LoRA pairs for the few tokens of decoding, in floats: the pair's weights are read once for up to eight tokens, which sets the pace.
// An element is summed in one order whatever the number of tokens and of pairs.
#include "products.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kTokens = 8;  // of a block

LR_DEVICE void store_few(const FloatProduct& p, int64_t row, int64_t col, float sum) {
  float* c = p.c + row * p.stride + col;
  *c = p.add ? *c + p.factor * sum : p.factor * sum;
}

// A long sum a block, as those over the inputs of a layer: thread t takes the values t, t + 256, …; lanes are added as a tree, warps in their order.
LR_KERNEL(kThreads) multiply_long(Products products) {
  const FloatProduct& p = products.of[block_z()];
  const int64_t first = block_x() * kTokens, col = block_y();
  if (first >= p.m || col >= p.n) return;
  const float *a = p.a.at + first * p.a.row, *b = p.b.at + col * p.b.row;
  const int count = static_cast<int>(p.m - first < kTokens ? p.m - first : kTokens);
  float sums[kTokens] = {};
  for (int64_t k = thread_index(); k < p.k; k += kThreads) {
    const float own = b[k];
    LR_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      if (t < count) sums[t] = fused(a[t * p.a.row + k], own, sums[t]);
    }
  }
  auto* parts = shared_at<float>(0);  // [warps, tokens]
  LR_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    if (t >= count) continue;  // all threads of the block alike
    const float sum = warp_reduce<Sum>(sums[t]);
    if (lane_index() == 0) parts[warp_index() * kTokens + t] = sum;
  }
  barrier();
  const int token = thread_index();
  if (token >= count) return;
  float sum = parts[token];
  for (int warp = 1; warp < kWarps; ++warp) sum += parts[warp * kTokens + token];
  store_few(p, first + token, col, sum);
}

// Short sums, as those over a rank: one column a thread.
LR_KERNEL(kThreads) multiply_short(Products products) {
  const FloatProduct& p = products.of[block_z()];
  const int64_t first = block_x() * kTokens, col = block_y() * kThreads + thread_index();
  if (first >= p.m || col >= p.n) return;
  const float *a = p.a.at + first * p.a.row, *b = p.b.at + col * p.b.row;
  const int count = static_cast<int>(p.m - first < kTokens ? p.m - first : kTokens);
  float sums[kTokens] = {};
  for (int64_t k = 0; k < p.k; ++k) {
    const float own = b[k];
    LR_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      if (t < count) sums[t] = fused(a[t * p.a.row + k], own, sums[t]);
    }
  }
  LR_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    if (t < count) store_few(p, first + t, col, sums[t]);
  }
}

}  // namespace

void products_long(const Run& run, std::span<const FloatProduct> products) {
  in_launches(products, kTokens, 1, [&](const Products& some, Grid grid) {
    launch(run, multiply_long, grid, kThreads, int64_t{kWarps} * kTokens * static_cast<int64_t>(sizeof(float)), some);
  });
}

void products_short(const Run& run, std::span<const FloatProduct> products) {
  in_launches(products, kTokens, kThreads, [&](const Products& some, Grid grid) { launch(run, multiply_short, grid, kThreads, 0, some); });
}

}  // namespace lr::cuda
