// Blocked matrix product C[M, N] = A[M, K] · B[K, N], in the manner of BLIS (Van Zee & van de Geijn 2015). The threads pack a deep
// block of B together (dequantizing on the way, once). Then a task takes some rows of A, packs them and runs slices of both through the
// registers: a slice of B stays in the first cache for all these rows, and C is touched once for each deep block. Tasks are small and
// taken as threads become free, so that one that is slowed down for a while does not hold up the others. K is never split between
// tasks: every element of C is summed in the same order, slice of k by slice of k, whatever the number of threads and whatever other
// rows are there.
#pragma once
#include <type_traits>

#include "amx.h"
#include "integers.h"
#include "operands.h"
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
constexpr int64_t kMostScales = 4;                      // rows of scales behind a slice of packed B (`kSliceScales`)
constexpr int64_t kPackedB = 512 * kSlices * (kLanes + kMostScales);  // floats of packed B, for each thread: 512 columns of a deep block
constexpr int64_t kPackCols = 256;                      // columns of B that a task packs: whole quantization blocks
constexpr int64_t kTasks = 4;                           // for each thread, at least, where the product has so many
// Below this many multiply-adds a product ends before other threads have woken.
constexpr int64_t kWorthThreads = 1 << 21;

// The first n lanes, n from below 0 to beyond W; the others 0.
static inline V load_up_to(const float* p, int64_t n) { return n >= W ? load(p) : n > 0 ? load_part(p, n) : zero(); }

// How operands become 32-bit lanes:
//   kAsIs                   a float is a lane; otherwise
//   convert(values, n, out) [n] floats into n / kPack lanes; out may be values
//   lanes(row, lane, n, factor)  lanes lane … lane+W-1 of a row of n floats, factor times; 0 beyond n
//   join(first, second)     rows `first` and `second` of B, W floats each, into W lanes of one packed row
// and how they are multiplied:
//   kRows, kLaneStep        rows of A in a full tile, and lanes of k that it takes at a time: packed operands have zeros up to there
//   kSliceScales            floats behind the lanes of a slice at most, of each row of A and each column of B: what `convert` writes there
//   Registers               what a thread holds while it multiplies
//   product(rows, count, b, lanes, width, add, out, next)
//                           out[count, kTileCols] = or += packed A[count ≤ kRows, lanes] · packed B[lanes, width ≤ kTileCols]; `next` is packed B
//                           that is wanted afterwards. Rows up to kRows have memory, in A and in out; what they hold goes nowhere
template <class Step>
struct VectorTiles : Step {
  static constexpr int64_t kRows = kTileRows, kLaneStep = 1, kSliceScales = 0;
  struct Registers {};
  static inline void product(const Rows& rows, int64_t count, const float* b, int64_t lanes, int64_t width, bool add, float* out,
                             const float* next) {
    if (width <= W) {
      tile_rows<Step, 1>(rows, count, b, kTileCols, lanes, W, add, out, kTileCols);
    } else {
      tile_rows<Step, 2>(rows, count, b, kTileCols, lanes, kTileCols, add, out, kTileCols, LinesAhead{next});
    }
  }
};

// Operands as they are.
struct Exact : VectorTiles<MultiplyAdd> {
  static constexpr bool kAsIs = true;
  static inline V lanes(const float* row, int64_t lane, int64_t n, float factor) {
    return load_up_to(row + lane, n - lane) * set(factor);
  }
  static inline V join(V first, V) { return first; }
};

#if defined(__AVX512BF16__)
// Operands rounded to bfloat16, two neighbours in k to a lane.
struct Paired : VectorTiles<PairProduct> {
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
#if defined(__AMX_BF16__)
// The same lanes, multiplied by tile registers.
struct Tiled : Paired {
  static constexpr int64_t kRows = 2 * kAmxRows, kLaneStep = kAmxLanes;
  using Registers = AmxTiles;
  static inline void product(const Rows& rows, int64_t count, const float* b, int64_t lanes, int64_t, bool add, float* out, const float*) {
    if (count > kAmxRows) {
      amx_tile<2, 2>(rows.data, rows.stride, b, kTileCols, lanes, add, out, kTileCols);
    } else {
      amx_tile<1, 2>(rows.data, rows.stride, b, kTileCols, lanes, add, out, kTileCols);
    }
  }
};
using Bf16 = Tiled;
#else
using Bf16 = Paired;
#endif
#else
using Bf16 = Integers;
#endif

// What a source of A or B offers; both write floats.
//   A:                void row(m, k, n, out)     elements (m, k … k+n-1)
//                     halves(m)                  optional: row m where it lies in bfloat16, or null
//   B, kAlongK true:  void line(col, k, n, out)  elements (k … k+n-1, col)
//   B, kAlongK false: void line(k, col, n, out)  elements (k, col … col+n-1)
// Sink of C, called once for each deep block of k:
//   void expect(m, rows, n)                      these rows are taken soon, kTileCols columns from n on: a chance to fetch them
//   void take(values, m, rows, n, cols, first)   values[rows, kTileCols] of C from (m, n) on, stored when first, else added
//   bool rounds()                                whether it rounds what it takes: then it is called once for all of k
// Terms of C beside the product:
//   void add(m, rows, n, cols, values)           adds them to values[rows, kTileCols] of C from (m, n) on
struct NoTerms {
  void add(int64_t, int64_t, int64_t, int64_t, float*) const {}
};

// Rows of a panel of packed B: the lanes of a slice, and what lies behind them.
template <class Operand>
constexpr int64_t kPanelLanes = kLanes + Operand::kSliceScales;
static_assert(Bf16::kSliceScales <= kMostScales && kSlices * kPanelLanes<Bf16> <= kLaneStride);

// Floats of workspace for one thread: packed B, packed A, a line or a few on their way there, a column of tiles of C. With room for the most rows
// everywhere, so that memory can be predicted without knowing the processor; rows that are not used take none.
constexpr int64_t kPackBuffer = 16 * 2 * kLanes;
constexpr int64_t kGemmWorkspace = kPackedB + kMostBlockRows * kLaneStride + kPackBuffer + kMostBlockRows * kTileCols;

// Packs B[k … k+depth-1, col … col+cols-1] into panels of kTileCols columns, [panel][kPanelLanes][kTileCols]; missing columns and
// elements are zero. buffer is [kPackBuffer].
template <class Operand, class B>
static void pack_block(const B& source, int64_t k, int64_t depth, int64_t col, int64_t cols, float* packed, float* buffer) {
  constexpr int kPack = Operand::kPack;
  constexpr int64_t kPanel = kTileCols * kPanelLanes<Operand>;
  const int64_t padded_cols = ceil_div(cols, kTileCols) * kTileCols;
  if constexpr (B::kAlongK) {
    const int64_t padded = ceil_div(depth, 2 * W) * 2 * W;
    const int64_t rows = padded / kPack + Operand::kSliceScales;
    for (int64_t group = 0; group < padded_cols; group += W) {  // W columns at a time: read along k, turned W × W
      float* panel = packed + group / kTileCols * kPanel + group % kTileCols;
      for (int64_t j = 0; j < W; ++j) {
        float* line = buffer + j * 2 * kLanes;
        const int64_t present = group + j < cols ? depth : 0;
        if (present > 0) source.line(col + group + j, k, depth, line);
        for (int64_t i = present; i < padded; ++i) line[i] = 0;
        if constexpr (!Operand::kAsIs) Operand::convert(line, padded, line);
      }
      for (int64_t i = 0; i < rows; i += W) {
        V block[W];
        for (int j = 0; j < W; ++j) block[j] = load(buffer + j * 2 * kLanes + i);
        transpose(block);
        for (int j = 0; j < least(W, rows - i); ++j) store(panel + (i + j) * kTileCols, block[j]);
      }
    }
  } else if constexpr (Operand::kSliceScales > 0) {
    Operand::pack_across(source, k, depth, col, cols, packed, kPanelLanes<Operand>, buffer);
  } else {
    const int64_t lanes = ceil_div(depth, kPack);
    float *even = buffer, *odd = buffer + kPackCols;
    for (int64_t i = 0; i < ceil_div(lanes, Operand::kLaneStep) * Operand::kLaneStep; ++i) {
      const int64_t even_cols = i < lanes ? cols : 0;
      if (even_cols > 0) source.line(k + i * kPack, col, cols, even);
      for (int64_t j = even_cols; j < padded_cols; ++j) even[j] = 0;
      if constexpr (kPack == 2) {
        const int64_t present = i * kPack + 1 < depth ? cols : 0;
        if (present > 0) source.line(k + i * kPack + 1, col, cols, odd);
        for (int64_t j = present; j < padded_cols; ++j) odd[j] = 0;
      }
      for (int64_t j = 0; j < padded_cols; j += W)
        store(packed + j / kTileCols * kPanel + i * kTileCols + j % kTileCols,
              Operand::join(load(even + j), kPack == 2 ? load(odd + j) : zero()));
    }
  }
}

// Slices of k: equal ones, a multiple of two vectors so that conversion works on whole ones.
template <class Operand>
static int64_t slice_depth(int64_t K) {
  return ceil_div(ceil_div(K, ceil_div(K, kLanes * Operand::kPack)), 2 * W) * 2 * W;
}

// Lanes between slices of packed A whose slices are `step` elements of k deep.
template <class Operand>
static int64_t slice_stride(int64_t step) {
  return step / Operand::kPack + Operand::kSliceScales;
}

// Rows m … m+count-1 of A, elements k … k+depth-1, as slices of lanes: rows[count, kLaneStride], filled up with zeros. line is [2 · kLanes].
template <class Operand, class A>
static void pack_rows(const A& a, int64_t m, int64_t count, int64_t k, int64_t depth, int64_t step, float* rows, float* line) {
  for (int64_t j = 0; j < count; ++j) {
    float* lanes = rows + j * kLaneStride;
#if defined(__AVX512BF16__)
    if constexpr (std::is_base_of_v<Paired, Operand> && requires { a.halves(m); }) {
      if (const uint16_t* halves = a.halves(m + j)) {  // pairs as they lie
        for (int64_t i = 0; i < depth; i += 2 * W) store(lanes + i / 2, load_pairs(halves + k + i, least(2 * W, depth - i)));
        continue;
      }
    }
#endif
    for (int64_t i = 0; i < depth; i += step, lanes += slice_stride<Operand>(step)) {
      const int64_t n = least(step, depth - i), padded = ceil_div(n, 2 * W) * 2 * W;
      float* piece = Operand::kAsIs ? lanes : line;
      a.row(m + j, k + i, n, piece);
      for (int64_t x = n; x < padded; ++x) piece[x] = 0;
      if constexpr (!Operand::kAsIs) Operand::convert(piece, padded, lanes);
    }
  }
}

// Packed B: a deep block of k from k on, [slices][columns / kTileCols][kPanelLanes][kTileCols].
template <class Operand>
struct Packed {
  float* data;
  int64_t cols;  // of the block, a multiple of kTileCols
  int64_t k, depth;
  int64_t step;  // elements of k in a slice
  float* waiting;  // [M, cols] sums of C between deep blocks, where C rounds and there are several; else null
  bool last;       // no deep block comes after it
  int64_t slices() const { return ceil_div(depth, step); }
  int64_t slice_depth(int64_t s) const { return least(step, depth - s * step); }
  float* tile(int64_t s, int64_t n) const { return data + (s * cols + n) * kPanelLanes<Operand>; }
};

// values[n] of C join those that wait from the deep blocks before, and have them in the end.
static inline void join_waiting(float* values, float* waiting, int64_t n, bool first, bool last) {
  for (int64_t i = 0; i < n; i += W) {
    const V sum = first ? load(values + i) : load(waiting + i) + load(values + i);
    store(last ? values + i : waiting + i, sum);
  }
}

// One task: rows m … m+count-1 of C, and of the block of B, which begins in column `block`, columns [begin, end). `rest` is a thread's workspace.
template <class Operand, class A, class C, class Terms>
static void gemm_rows(const A& a, const Packed<Operand>& b, const C& c, const Terms& terms, int64_t m, int64_t count, int64_t block, int64_t begin,
                      int64_t end, int64_t N, float* rest) {
  float* rows = rest;
  float* buffer = rows + kBlockRows * kLaneStride;
  float* values = buffer + kPackBuffer;
  const int64_t slices = b.slices(), stride = slice_stride<Operand>(b.step);
  pack_rows<Operand>(a, m, count, b.k, b.depth, b.step, rows, buffer);
  [[maybe_unused]] const typename Operand::Registers registers;
  for (int64_t n = begin; n < end; n += kTileCols) {
    const int64_t width = least(kTileCols, N - block - n);
    for (int64_t s = 0; s < slices; ++s) {
      const float* tile_b = b.tile(s, n);
      const float* next_b = s + 1 < slices ? b.tile(s + 1, n) : b.tile(0, n + kTileCols < end ? n + kTileCols : begin);
      const int64_t lanes = ceil_div(b.slice_depth(s), Operand::kPack * Operand::kLaneStep) * Operand::kLaneStep;
      for (int64_t i = 0; i < count; i += Operand::kRows) {
        const int64_t tile_count = least(Operand::kRows, count - i);
        if (s == slices - 1) c.expect(m + i, tile_count, block + n);
        const Rows tile_a{rows + i * kLaneStride + s * stride, kLaneStride};
        const float* next = next_b + i * (lanes * kTileCols / kBlockRows);
        Operand::product(tile_a, tile_count, tile_b, lanes, width, s > 0, values + i * kTileCols, next);
      }
    }
    if (b.k == 0) terms.add(m, count, block + n, width, values);
    if (b.waiting != nullptr) join_waiting(values, b.waiting + m * b.cols + n * count, count * kTileCols, b.k == 0, b.last);
    if (b.waiting == nullptr || b.last) c.take(values, m, count, block + n, width, b.k == 0 || b.waiting != nullptr);
  }
}

template <class Operand, class A, class B, class C, class Terms = NoTerms>
static void gemm(const Run& run, int64_t M, int64_t N, int64_t K, const A& a, const B& b, const C& c, const Terms& terms = {}) {
  const bool alone = M * N * K < kWorthThreads;
  const int64_t threads = alone ? 1 : run.pool->threads();
  const int64_t tiles = ceil_div(N, kTileCols), step = slice_depth<Operand>(K);
  const int64_t slices = least(kSlices, ceil_div(K, step));
  // Blocks of columns as equal as whole groups of packing let them be.
  const int64_t most_cols = threads * kPackedB / (slices * kPanelLanes<Operand>) / kPackCols * kPackCols;
  const int64_t wanted = ceil_div(N, ceil_div(N, most_cols));
  const int64_t cols = least(ceil_div(wanted, kPackCols) * kPackCols, tiles * kTileCols);
  // Rows are shared out first: tasks that share rows pack them again. 4 tiles of columns at least, or packing them shows.
  const int64_t row_tasks = ceil_div(M, kBlockRows);
  const int64_t parts = most(1, least(ceil_div(kTasks * threads, row_tasks), cols / kTileCols / 4));
  const int64_t part = ceil_div(cols / kTileCols, threads == 1 ? 1 : parts) * kTileCols;

  const size_t mark = run.scratch->mark();
  auto* workspace = static_cast<float*>(run.scratch->take(threads * kGemmWorkspace * sizeof(float)));
  auto* waiting = c.rounds() && K > kSlices * step ? static_cast<float*>(run.scratch->take(M * cols * sizeof(float))) : nullptr;
  // Packed B is of all threads; then comes, for each, what is its own.
  const auto own = [&](int thread) { return workspace + threads * kPackedB + thread * (kGemmWorkspace - kPackedB); };
  for (int64_t block = 0; block < N; block += cols) {
    const int64_t block_cols = least(cols, ceil_div(N - block, kTileCols) * kTileCols);
    for (int64_t k = 0; k < K; k += kSlices * step) {
      const int64_t depth = least(kSlices * step, K - k);
      const Packed<Operand> deep{workspace, block_cols, k, depth, step, waiting, k + depth == K};
      const int64_t groups = ceil_div(block_cols, kPackCols);
      parallel(run, deep.slices() * groups, [&](int task, int thread) {
        const int64_t s = task / groups, col = task % groups * kPackCols;
        pack_block<Operand>(b, k + s * step, deep.slice_depth(s), block + col, least(kPackCols, N - block - col),
                            deep.tile(s, col), own(thread));
      }, alone);
      const int64_t block_parts = ceil_div(block_cols, part);
      parallel(run, row_tasks * block_parts, [&](int task, int thread) {
        const int64_t m = task / block_parts * kBlockRows, begin = task % block_parts * part;
        gemm_rows<Operand>(a, deep, c, terms, m, least(kBlockRows, M - m), block, begin, least(begin + part, block_cols), N, own(thread));
      }, alone);
    }
  }
  run.scratch->release(mark);
}

}  // namespace lr::LR_ISA
