// Blocked matrix product C[M, N] = A[M, K] · B[K, N], in the manner of BLIS (Van Zee & van de Geijn 2015). A task owns some
// columns of C, for some of its rows. It packs a deep block of B (dequantizing on the way, once), then, some rows of A at a time,
// runs slices of both through the registers: a slice of B stays in the first cache for all these rows, and C is touched once for
// each deep block. K is never split between tasks: every element of C is summed in the same order, slice of k by slice of k,
// whatever the number of threads and whatever other rows are there.
#pragma once
#include <type_traits>

#include "pool.h"
#include "tile.h"

namespace lr::LR_ISA {

constexpr int64_t kLanes = 256;  // 32-bit lanes of k in a slice: a tile's columns of B and rows of A fill the first cache
constexpr int64_t kSlices = 4;   // slices of a deep block
constexpr int64_t kLaneStride = kSlices * kLanes + 16;  // between rows of packed A: no power of two, or rows would share cache sets
// Rows of packed A. 400 KB for the second cache where that has 1 MB or more, as on processors with AVX-512; those with AVX2 alone have 512 KB
// and half of it is faster there (docs/kernel-notes.md).
constexpr int64_t kMostBlockRows = 96;
constexpr int64_t kBlockRows = W == 16 ? kMostBlockRows : kMostBlockRows / 2;
constexpr int64_t kPackedB = 1 << 19;                   // floats of packed B
constexpr int64_t kBlockCols = 2048;                    // most columns of B in a block
// Below this many multiply-adds a product ends before other threads have woken.
constexpr int64_t kWorthThreads = 1 << 21;

// The first n lanes, n from below 0 to beyond W; the others 0.
static inline V load_up_to(const float* p, int64_t n) { return n >= W ? load(p) : n > 0 ? load_part(p, n) : zero(); }

// How operands become 32-bit lanes:
//   kAsIs                   a float is a lane; otherwise
//   convert(values, n, out) [n] floats into n / kPack lanes; out may be values
//   lanes(row, lane, n, factor)  lanes lane … lane+W-1 of a row of n floats, factor times; 0 beyond n
//   join(first, second)     rows `first` and `second` of B, W floats each, into W lanes of one packed row

// Operands as they are.
struct Exact : MultiplyAdd {
  static constexpr bool kAsIs = true;
  static inline V lanes(const float* row, int64_t lane, int64_t n, float factor) {
    return load_up_to(row + lane, n - lane) * set(factor);
  }
  static inline V join(V first, V) { return first; }
};

// Operands rounded to bfloat16, kept in floats: for instruction sets without products of bfloat16.
struct Rounded : MultiplyAdd {
  static constexpr bool kAsIs = false;
  static inline void convert(const float* values, int64_t n, float* out) {
    for (int64_t i = 0; i < n; i += W) store(out + i, round_bf16(load(values + i)));
  }
  static inline V join(V first, V) { return round_bf16(first); }
};

#if defined(__AVX512BF16__)
// Operands rounded to bfloat16, two neighbours in k to a lane.
struct Paired : PairProduct {
  static constexpr bool kAsIs = false;
  static inline void convert(const float* values, int64_t n, float* out) {
    for (int64_t i = 0; i < n; i += 2 * W) {
      const V low = load(values + i), high = load(values + i + W);
      _mm512_storeu_si512(out + i / 2, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
    }
  }
  static inline V lanes(const float* row, int64_t lane, int64_t n, float factor) {
    const V low = load_up_to(row + 2 * lane, n - 2 * lane), high = load_up_to(row + 2 * lane + W, n - 2 * lane - W);
    return _mm512_castsi512_ps(reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high * set(factor), low * set(factor))));
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
// Sink of C, called once for each deep block of k:
//   void expect(m, rows, n)                      these rows are taken soon, kTileCols columns from n on: a chance to fetch them
//   void take(values, m, rows, n, cols, first)   values[rows, kTileCols] of C from (m, n) on, stored when first, else added
// Terms of C beside the product:
//   void add(m, rows, n, cols, values)           adds them to values[rows, kTileCols] of C from (m, n) on
struct NoTerms {
  void add(int64_t, int64_t, int64_t, int64_t, float*) const {}
};

// Floats of workspace for one thread: packed B, packed A, a line or a few on their way there, a column of tiles of C. With room for the most rows
// everywhere, so that memory can be predicted without knowing the processor; rows that are not used take none.
constexpr int64_t kPackBuffer = 2 * kBlockCols > W * 2 * kLanes ? 2 * kBlockCols : W * 2 * kLanes;
constexpr int64_t kGemmWorkspace = kPackedB + kMostBlockRows * kLaneStride + kPackBuffer + kMostBlockRows * kTileCols;

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
        if constexpr (!Operand::kAsIs) Operand::convert(line, padded, line);
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

// Slices of k: equal ones, a multiple of two vectors so that conversion works on whole ones.
template <class Operand>
static int64_t slice_depth(int64_t K) {
  return ceil_div(ceil_div(K, ceil_div(K, kLanes * Operand::kPack)), 2 * W) * 2 * W;
}

// Rows m … m+count-1 of A, elements k … k+depth-1, as lanes: rows[count, kLaneStride], filled up with zeros. line is [2 · kLanes].
template <class Operand, class A>
static void pack_rows(const A& a, int64_t m, int64_t count, int64_t k, int64_t depth, float* rows, float* line) {
  constexpr int64_t kPiece = 2 * kLanes;
  for (int64_t j = 0; j < count; ++j) {
    float* row = rows + j * kLaneStride;
    for (int64_t i = 0; i < depth; i += kPiece) {
      const int64_t n = least(kPiece, depth - i), padded = ceil_div(n, 2 * W) * 2 * W;
      float* lanes = row + i / Operand::kPack;
      float* piece = Operand::kAsIs ? lanes : line;
      a.row(m + j, k + i, n, piece);
      for (int64_t x = n; x < padded; ++x) piece[x] = 0;
      if constexpr (!Operand::kAsIs) Operand::convert(piece, padded, lanes);
    }
  }
}

// One task: rows [m_begin, m_end) and columns [col, col + cols) of C.
template <class Operand, class A, class B, class C, class Terms>
static void gemm_block(const A& a, const B& b, const C& c, const Terms& terms, int64_t m_begin, int64_t m_end, int64_t col,
                       int64_t cols, int64_t K, float* workspace) {
  constexpr int kPack = Operand::kPack;
  float* packed = workspace;  // [slices][columns / kTileCols][kLanes][kTileCols]
  float* rows = packed + kPackedB;
  float* buffer = rows + kBlockRows * kLaneStride;
  float* values = buffer + kPackBuffer;
  const int64_t step = slice_depth<Operand>(K), slice_lanes = step / kPack;
  const int64_t slice_floats = ceil_div(cols, kTileCols) * kTileCols * kLanes;
  for (int64_t k = 0; k < K; k += kSlices * step) {
    const int64_t depth = least(kSlices * step, K - k), slices = ceil_div(depth, step);
    for (int64_t s = 0; s < slices; ++s)
      pack_block<Operand>(b, k + s * step, least(step, depth - s * step), col, cols, packed + s * slice_floats, buffer);
    for (int64_t m = m_begin; m < m_end; m += kBlockRows) {
      const int64_t count = least(kBlockRows, m_end - m);
      pack_rows<Operand>(a, m, count, k, depth, rows, buffer);
      for (int64_t n = 0; n < cols; n += kTileCols) {
        for (int64_t s = 0; s < slices; ++s) {
          const float* tile_b = packed + s * slice_floats + n * kLanes;
          const int64_t lanes = ceil_div(least(step, depth - s * step), kPack);
          for (int64_t i = 0; i < count; i += kTileRows) {
            const int64_t tile_count = least(kTileRows, count - i);
            if (s == slices - 1) c.expect(m + i, tile_count, col + n);
            const Rows tile_a{rows + i * kLaneStride + s * slice_lanes, kLaneStride};
            float* out = values + i * kTileCols;
            if (cols - n > W) {
              tile_rows<Operand, 2>(tile_a, tile_count, tile_b, kTileCols, lanes, kTileCols, s > 0, out, kTileCols);
            } else {
              tile_rows<Operand, 1>(tile_a, tile_count, tile_b, kTileCols, lanes, W, s > 0, out, kTileCols);
            }
          }
        }
        const int64_t width = least(kTileCols, cols - n);
        if (k == 0) terms.add(m, count, col + n, width, values);
        c.take(values, m, count, col + n, width, k == 0);
      }
    }
  }
}

template <class Operand, class A, class B, class C, class Terms = NoTerms>
static void gemm(const Run& run, int64_t M, int64_t N, int64_t K, const A& a, const B& b, const C& c, const Terms& terms = {}) {
  const int64_t threads = M * N * K < kWorthThreads ? 1 : run.pool->threads();
  // Columns are shared out first: rows shared out pack the same block again. 4 tiles of columns at least, or packing A anew
  // for each task shows.
  const int64_t tiles = ceil_div(N, kTileCols);
  const int64_t slices = least(kSlices, ceil_div(K, kLanes * Operand::kPack));
  const int64_t most_cols = least(kPackedB / (slices * kLanes), kBlockCols);
  const int64_t wanted = ceil_div(N, most_cols * threads) * threads;
  const int64_t col_blocks = most(least(wanted, tiles / 4), ceil_div(N, most_cols));
  const int64_t cols = ceil_div(tiles, col_blocks) * kTileCols;
  const int64_t n_blocks = ceil_div(N, cols);
  const int64_t row_blocks = n_blocks >= threads ? 1 : least(ceil_div(threads, n_blocks), ceil_div(M, 4 * kTileRows));
  const int64_t rows = ceil_div(ceil_div(M, row_blocks), kTileRows) * kTileRows;

  const size_t mark = run.scratch->mark();
  auto* workspace = static_cast<float*>(run.scratch->take(threads * kGemmWorkspace * sizeof(float)));
  const auto task = [&](int index, int thread) {
    const int64_t col = index / row_blocks * cols, row = index % row_blocks * rows;
    if (row >= M) return;
    gemm_block<Operand>(a, b, c, terms, row, least(row + rows, M), col, least(cols, N - col), K, workspace + thread * kGemmWorkspace);
  };
  parallel(run, n_blocks * row_blocks, task, threads == 1);
  run.scratch->release(mark);
}

}  // namespace lr::LR_ISA
