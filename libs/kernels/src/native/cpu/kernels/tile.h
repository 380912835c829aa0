// The register tile every matrix product here is made of: M × (NV · W) sums, held in registers over k steps.
#pragma once
#include "vec.h"

namespace lr::LR_ISA {

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// Rows of a full tile. AVX2: 6 × 2 sums, two vectors of B and an element of A fill 15 of 16 registers. AVX-512 has room for 14
// rows, but 8 measured faster on Zen 4: 16 sums already hide the latency of a multiply-add, and less of A lies in the first cache.
constexpr int kTileRows = W == 16 ? 8 : 6;
constexpr int kTileVectors = 2;
constexpr int kTileCols = kTileVectors * W;

// What one step of a product does with a lane of A and a vector of B.
struct MultiplyAdd {  // one float each
  static constexpr int kPack = 1;  // elements of k in a lane
  static inline V step(V a, V b, V sum) { return fma(a, b, sum); }
};
#if defined(__AVX512BF16__)
struct PairProduct {  // two bfloat16 each, neighbours in k
  static constexpr int kPack = 2;
  static inline V step(V a, V b, V sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
};
#endif

// A by rows, and A by columns (the transpose of a row-major matrix): element (m, k), in 32-bit lanes.
struct Rows {
  const float* data;
  int64_t stride;
  float at(int64_t m, int64_t k) const { return data[m * stride + k]; }
  Rows below(int64_t m) const { return {data + m * stride, stride}; }
};
struct Columns {
  const float* data;
  int64_t stride;
  float at(int64_t m, int64_t k) const { return data[k * stride + m]; }
  Columns below(int64_t m) const { return {data + m, stride}; }
};

// What a full tile asks the caches for on its way: nothing, or the lines from `next` on, one every kEvery steps. Without, the first rows that a slice
// of B meets wait for the third cache. A slice of AVX-512 fills the first cache alone, so that it is asked into the second.
struct NothingAhead {
  static constexpr int64_t kEvery = 0;
};
struct LinesAhead {
  static constexpr int64_t kEvery = 8;
  const float* next;
  void fetch() {
    __builtin_prefetch(next, 0, W == 8 ? 3 : 2);
    next += kLine;
  }
  static constexpr int64_t kLine = 16;  // floats
};

// out[M, cols] (stride out_stride) = or += A[M, k] · B[k, cols], B's rows ldb apart, cols ≤ NV · W.
template <class Step, int M, int NV, class A, class Ahead = NothingAhead>
static inline void tile(const A a, const float* b, int64_t ldb, int64_t k, int64_t cols, bool add, float* out,
                        int64_t out_stride, [[maybe_unused]] Ahead ahead = {}) {
  V sums[M][NV];
  for (int m = 0; m < M; ++m)
    for (int v = 0; v < NV; ++v) sums[m][v] = zero();
  const bool whole = cols == NV * W;
  const int64_t last = cols - (NV - 1) * W;  // lanes of the last vector
  const auto steps = [&](auto load_last) {
    const auto step = [&](int64_t i) __attribute__((always_inline)) {
      V row[NV];
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) row[v] = v == NV - 1 ? load_last(b + i * ldb + v * W) : load(b + i * ldb + v * W);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        const V lane = set(a.at(m, i));
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) sums[m][v] = Step::step(lane, row[v], sums[m][v]);
      }
    };
    int64_t i = 0;
    if constexpr (Ahead::kEvery > 0)
      for (; i + Ahead::kEvery <= k; i += Ahead::kEvery) {
        ahead.fetch();
#pragma GCC unroll 8
        for (int64_t j = 0; j < Ahead::kEvery; ++j) step(i + j);
      }
    for (; i < k; ++i) step(i);
  };
  if (whole) {
    steps([](const float* p) { return load(p); });
  } else {
    steps([last](const float* p) { return load_part(p, last); });
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) {
      float* p = out + m * out_stride + v * W;
      if (whole || v < NV - 1) {
        store(p, add ? load(p) + sums[m][v] : sums[m][v]);
      } else {
        store_part(p, add ? load_part(p, last) + sums[m][v] : sums[m][v], last);
      }
    }
}

// The same for any number of rows: full tiles, then tiles of 4, 2, 1.
template <class Step, int NV, class A, class Ahead = NothingAhead>
static void tile_rows(A a, int64_t rows, const float* b, int64_t ldb, int64_t k, int64_t cols, bool add, float* out,
                      int64_t out_stride, Ahead ahead = {}) {
  while (rows > 0) {
    int64_t done = 1;
    if (rows >= kTileRows) {
      done = kTileRows;
      tile<Step, kTileRows, NV>(a, b, ldb, k, cols, add, out, out_stride, ahead);
    } else if (rows >= 4) {
      done = 4;
      tile<Step, 4, NV>(a, b, ldb, k, cols, add, out, out_stride);
    } else if (rows >= 2) {
      done = 2;
      tile<Step, 2, NV>(a, b, ldb, k, cols, add, out, out_stride);
    } else {
      tile<Step, 1, NV>(a, b, ldb, k, cols, add, out, out_stride);
    }
    a = a.below(done);
    out += done * out_stride;
    rows -= done;
  }
}

// out[rows, cols] = or += A[rows, k] · B[k, cols], k in lanes, B row-major as it lies in memory, any size.
template <class Step, class A>
static void multiply(const A a, int64_t rows, const float* b, int64_t ldb, int64_t k, int64_t cols, bool add, float* out,
                     int64_t out_stride) {
  for (int64_t col = 0; col < cols; col += kTileCols) {
    const int64_t width = cols - col < kTileCols ? cols - col : kTileCols;
    if (width > W) {
      tile_rows<Step, 2>(a, rows, b + col, ldb, k, width, add, out + col, out_stride);
    } else {
      tile_rows<Step, 1>(a, rows, b + col, ldb, k, width, add, out + col, out_stride);
    }
  }
}

}  // namespace lr::LR_ISA
