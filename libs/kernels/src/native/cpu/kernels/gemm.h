// Blocked matrix product C[M, N] = A[M, K] · B[K, N], in the manner of BLIS (Van Zee & van de Geijn 2015). A task owns some
// columns of C, for some of its rows. It packs a block of B (dequantizing on the way, once) into its core's second cache and
// runs all its rows of A over it. K is never split between tasks: every element of C is summed in the same order, block of k
// by block of k, whatever the number of threads and whatever other rows are there.
#pragma once
#include <type_traits>

#include "pool.h"
#include "tile.h"

namespace lr::LR_ISA {

constexpr int64_t kLanes = 256;      // 32-bit lanes of k in a block: a tile's rows of A and its columns of B fill the first cache
constexpr int64_t kLaneStride = 272;  // between rows of A in its buffer: no power of two, so that rows fall in different cache sets
constexpr int64_t kBlockCols = 512;  // columns of B in a block: 256 × 512 lanes are half of a second cache of 1 MiB
// Below this many multiply-adds a product ends before other threads have woken.
constexpr int64_t kWorthThreads = 1 << 19;

// Operands as they are.
struct Exact : MultiplyAdd {
  // [n] floats into n lanes, in place.
  static inline void convert(float*, int64_t) {}
  // Rows `first` and `second` of B, n floats each, into n lanes of one packed row.
  static inline V join(V first, V) { return first; }
};

// Operands rounded to bfloat16, kept in floats: for instruction sets without products of bfloat16.
struct Rounded : MultiplyAdd {
  static inline void convert(float* values, int64_t n) {
    for (int64_t i = 0; i < n; i += W) store(values + i, round_bf16(load(values + i)));
  }
  static inline V join(V first, V) { return round_bf16(first); }
};

#if defined(__AVX512BF16__)
// Operands rounded to bfloat16, two neighbours in k to a lane.
struct Paired : PairProduct {
  static inline void convert(float* values, int64_t n) {
    for (int64_t i = 0; i < n; i += 2 * W) {
      const V low = load(values + i), high = load(values + i + W);
      _mm512_storeu_si512(values + i / 2, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
    }
  }
  static inline V join(V first, V second) { return pair_bf16(round_bf16(first), round_bf16(second)); }
};
using Bf16 = Paired;
#else
using Bf16 = Rounded;
#endif

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// What a source of A or B offers; both write floats.
//   A:                void row(m, k, n, out)     elements (m, k … k+n-1)
//   B, kAlongK true:  void line(col, k, n, out)  elements (k … k+n-1, col)
//   B, kAlongK false: void line(k, col, n, out)  elements (k, col … col+n-1)
// Sink of C, called once for each block of k:
//   void take(values, m, rows, n, cols, first)   values[rows, kBlockCols] of C from (m, n) on, stored when first, else added

// Floats of workspace for one thread.
constexpr int64_t kGemmWorkspace = kLanes * kBlockCols + kTileRows * 2 * kLaneStride + W * 2 * kLanes + kTileRows * kBlockCols;

// Packs B[k … k+depth-1, col … col+cols-1] into panels of kTileCols columns, [panel][lane of k][kTileCols]; missing columns and
// elements are zero. buffer is [W · 2 · kLanes].
template <class Operand, class B>
static void pack_block(const B& source, int64_t k, int64_t depth, int64_t col, int64_t cols, float* packed, float* buffer) {
  constexpr int kPack = Operand::kPack;
  const int64_t lanes = ceil_div(depth, kPack), padded_cols = ceil_div(cols, kTileCols) * kTileCols;
  if constexpr (B::kAlongK) {
    const int64_t padded = ceil_div(depth, 2 * W) * 2 * W;
    for (int64_t group = 0; group < padded_cols; group += W) {  // W columns at a time: read along k, turned W × W
      float* panel = packed + group / kTileCols * kTileCols * kLanes + group % kTileCols;
      for (int64_t j = 0; j < W; ++j) {
        float* line = buffer + j * 2 * kLanes;
        const int64_t present = group + j < cols ? depth : 0;
        if (present > 0) source.line(col + group + j, k, depth, line);
        for (int64_t i = present; i < padded; ++i) line[i] = 0;
        Operand::convert(line, padded);
      }
      for (int64_t i = 0; i < lanes; i += W) {
        V block[W];
        for (int j = 0; j < W; ++j) block[j] = load(buffer + j * 2 * kLanes + i);
        transpose(block);
        for (int j = 0; j < W; ++j) store(panel + (i + j) * kTileCols, block[j]);
      }
    }
  } else {
    float *even = buffer, *odd = buffer + kBlockCols;
    for (int64_t i = 0; i < lanes; ++i) {
      source.line(k + i * kPack, col, cols, even);
      for (int64_t j = cols; j < padded_cols; ++j) even[j] = 0;
      if constexpr (kPack == 2) {
        const int64_t present = i * kPack + 1 < depth ? cols : 0;
        if (present > 0) source.line(k + i * kPack + 1, col, cols, odd);
        for (int64_t j = present; j < padded_cols; ++j) odd[j] = 0;
      }
      for (int64_t j = 0; j < padded_cols; j += W)
        store(packed + j / kTileCols * kTileCols * kLanes + i * kTileCols + j % kTileCols,
              Operand::join(load(even + j), kPack == 2 ? load(odd + j) : zero()));
    }
  }
}

// One task: rows [m, m_end) and columns [col, col + cols) of C, cols ≤ kBlockCols.
template <class Operand, class A, class B, class C>
static void gemm_block(const A& a, const B& b, const C& c, int64_t m_begin, int64_t m_end, int64_t col, int64_t cols, int64_t K,
                       float* workspace) {
  constexpr int kPack = Operand::kPack;
  float* packed = workspace;                       // [columns / kTileCols][kLanes][kTileCols]
  float* rows = packed + kLanes * kBlockCols;      // [kTileRows][kLaneStride]; written as floats first, hence 2 ×
  float* buffer = rows + kTileRows * 2 * kLaneStride;
  float* values = buffer + W * 2 * kLanes;         // [kTileRows][kBlockCols]
  const int64_t blocks = ceil_div(K, kLanes * kPack);
  // Blocks of equal depth, a multiple of two vectors so that conversion works on whole ones.
  const int64_t step = ceil_div(ceil_div(K, blocks), 2 * W) * 2 * W;
  for (int64_t k = 0; k < K; k += step) {
    const int64_t depth = least(step, K - k), lanes = ceil_div(depth, kPack), padded = ceil_div(depth, 2 * W) * 2 * W;
    pack_block<Operand>(b, k, depth, col, cols, packed, buffer);
    for (int64_t m = m_begin; m < m_end; m += kTileRows) {
      const int64_t count = least(kTileRows, m_end - m);
      for (int64_t j = 0; j < count; ++j) {
        float* row = rows + j * kLaneStride * kPack;
        a.row(m + j, k, depth, row);
        for (int64_t i = depth; i < padded; ++i) row[i] = 0;
        Operand::convert(row, padded);
      }
      for (int64_t n = 0; n < cols; n += kTileCols) {
        const Rows tile_a{rows, kLaneStride * kPack};
        const float* tile_b = packed + n * kLanes;
        if (cols - n > W) {
          tile_rows<Operand, 2>(tile_a, count, tile_b, kTileCols, lanes, kTileCols, false, values + n, kBlockCols);
        } else {
          tile_rows<Operand, 1>(tile_a, count, tile_b, kTileCols, lanes, W, false, values + n, kBlockCols);
        }
      }
      c.take(values, m, count, col, cols, k == 0);
    }
  }
}

template <class Operand, class A, class B, class C>
static void gemm(const Run& run, int64_t M, int64_t N, int64_t K, const A& a, const B& b, const C& c) {
  const int64_t threads = M * N * K < kWorthThreads ? 1 : run.pool->threads();
  // Columns are shared out first: rows shared out pack the same block again. 4 tiles of columns at least, or packing A anew
  // for each task shows.
  const int64_t tiles = ceil_div(N, kTileCols);
  const int64_t wanted = ceil_div(N, kBlockCols * threads) * threads;
  const int64_t col_blocks = most(least(wanted, tiles / 4), ceil_div(N, kBlockCols));
  const int64_t cols = ceil_div(tiles, col_blocks) * kTileCols;
  const int64_t n_blocks = ceil_div(N, cols);
  const int64_t row_blocks = n_blocks >= threads ? 1 : least(ceil_div(threads, n_blocks), ceil_div(M, 4 * kTileRows));
  const int64_t rows = ceil_div(ceil_div(M, row_blocks), kTileRows) * kTileRows;

  const size_t mark = run.scratch->mark();
  auto* workspace = static_cast<float*>(run.scratch->take(threads * kGemmWorkspace * sizeof(float)));
  const auto task = [&](int index, int thread) {
    const int64_t col = index / row_blocks * cols, row = index % row_blocks * rows;
    if (row >= M) return;
    gemm_block<Operand>(a, b, c, row, least(row + rows, M), col, least(cols, N - col), K, workspace + thread * kGemmWorkspace);
  };
  parallel(run, n_blocks * row_blocks, task, threads == 1);
  run.scratch->release(mark);
}

}  // namespace lr::LR_ISA
