// Outputs of LoRA pairs while decoding: each token is the next one of a sequence of its own, and may have a pair of its own. Reading B is
// the work then; it is turned on its way through the registers, and sums are taken in the order of ranks however many tokens share a pair.
#pragma once
#include <type_traits>

#include "gemm.h"

namespace lr::LR_ISA {
namespace {

// y[cols] += value. Storing a part of a vector takes much longer than a whole one.
template <bool whole>
inline void add_to(float* y, V value, int64_t cols) {
  if constexpr (whole) {
    store(y, load(y) + value);
  } else {
    store_part(y, load_part(y, cols) + value, cols);
  }
}

// W rows of B [out, rank] from `b` on, ranks r … r+W-1, turned: block[i] holds rank r+i of these rows; what is missing is 0.
template <bool whole>
inline void turn(const float* b, int64_t rank, int64_t r, int64_t rows, V* block) {
  for (int64_t i = 0; i < W; ++i) {
    const float* row = b + i * rank + r;
    block[i] = whole ? load(row) : i < rows ? load_part(row, least(W, rank - r)) : zero();
  }
  transpose(block);
}

// y[cols] += scale · hidden [rank] times W rows of B, for one token: nothing but B is read more than once, and B is not written.
template <bool whole>
inline void add_turned(const float* b, const float* hidden, int64_t rank, float scale, int64_t cols, float* y) {
  V sum = zero();
  for (int64_t r = 0; r < rank; r += W) {
    V block[W];
    turn<whole>(b, rank, r, cols, block);
    const int64_t ranks = whole ? W : least(W, rank - r);
#pragma GCC unroll 16
    for (int64_t i = 0; i < ranks; ++i) sum = fma(set(hidden[r + i]), block[i], sum);
  }
  add_to<whole>(y, sum * set(scale), cols);
}

// Adds to y[M, cols], rows N apart, scale · hidden [M, rank] times a panel [rank][W] of Bᵀ.
template <int M, bool whole>
inline void panel_tile(const float* panel, const float* hidden, int64_t rank, float scale, int64_t N, int64_t cols, float* y) {
  V products[M];
  for (V& product : products) product = zero();
  for (int64_t r = 0; r < rank; ++r) {
    const V row = load(panel + r * W);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) products[m] = fma(set(hidden[m * rank + r]), row, products[m]);
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) add_to<whole>(y + m * N, products[m] * set(scale), cols);
}

int64_t highest_rank(std::span<const LoraRows> pairs) {
  int64_t rank = 0;
  for (const LoraRows& rows : pairs) rank = most(rank, rows.pair.rank);
  return rank;
}

// Floats of the panel that add_columns needs.
int64_t panel_floats(std::span<const LoraRows> pairs) { return ceil_div(highest_rank(pairs), W) * W * W; }

// Asks for W rows of B, which lie one after the other.
inline void ask_for(const float* b, int64_t rank) {
  for (int64_t i = 0; i < W * rank; i += LinesAhead::kLine) __builtin_prefetch(b + i);
}

// y[tokens of the pair, c … c+cols-1] += scale · hidden Bᵀ; cols ≤ W.
template <bool whole>
void add_vector(const LoraRows& rows, int64_t c, int64_t cols, int64_t N, float* panel, float* y) {
  const int64_t rank = rows.pair.rank, tokens = rows.end - rows.begin;
  const float scale = rows.pair.scale;
  const float *b = rows.pair.b + c * rank, *hidden = rows.hidden;
  y += rows.begin * N + c;
  if (tokens == 1) return add_turned<whole>(b, hidden, rank, scale, cols, y);
  for (int64_t r = 0; r < rank; r += W) {
    V block[W];
    turn<whole>(b, rank, r, cols, block);
    for (int64_t i = 0; i < W; ++i) store(panel + (r + i) * W, block[i]);
  }
  int64_t t = 0;
  const auto tile = [&](auto count) {
    constexpr int M = decltype(count)::value;
    for (; t + M <= tokens; t += M) panel_tile<M, whole>(panel, hidden + t * rank, rank, scale, N, cols, y + t * N);
  };
  tile(std::integral_constant<int, 8>());
  tile(std::integral_constant<int, 1>());
}

// y[tokens of each pair, col … col+cols-1] += scale · hidden Bᵀ; rows of y are N apart and begin with token 0 of the batch.
// Pairs may share tokens: one after the other. While the columns of a pair are computed those of the next one are asked for: each is a
// stretch of memory of its own, too short for what the processor foresees.
void add_columns(std::span<const LoraRows> pairs, int64_t N, int64_t col, int64_t cols, float* panel, float* y) {
  for (size_t p = 0; p < pairs.size(); ++p) {
    const LoraRows& rows = pairs[p];
    const Lora& pair = rows.pair;
    const Lora* next = p + 1 < pairs.size() && pairs[p + 1].pair.b != pair.b ? &pairs[p + 1].pair : nullptr;
    for (int64_t c = col; c < col + cols; c += W) {
      const int64_t width = least(W, col + cols - c);
      if (next != nullptr && width == W) ask_for(next->b + c * next->rank, next->rank);
      if (width == W && pair.rank % W == 0) {
        add_vector<true>(rows, c, width, N, panel, y);
      } else {
        add_vector<false>(rows, c, width, N, panel, y);
      }
    }
  }
}

// Outputs that one task gives to the rows of all pairs.
constexpr int64_t kPairCols = 128;

// Whether each pair can be a task: they are many and share no tokens. Its B is then one stretch of memory, which the processor foresees.
bool are_tasks(const Run& run, std::span<const LoraRows> pairs) {
  for (size_t p = 1; p < pairs.size(); ++p)
    if (pairs[p].begin < pairs[p - 1].end) return false;
  return static_cast<int64_t>(pairs.size()) >= 4 * run.pool->threads();
}

// y[T, N] += scale · hidden Bᵀ in the rows of each pair, which reads each B once.
void add_pairs(const Run& run, std::span<const LoraRows> pairs, int64_t N, float* y) {
  int64_t work = 0;
  for (const LoraRows& rows : pairs) work += (rows.end - rows.begin) * rows.pair.rank * N;
  const bool alone = work < kWorthThreads;
  const int64_t floats = panel_floats(pairs);
  const size_t mark = run.scratch->mark();
  auto* panels = static_cast<float*>(run.scratch->take((alone ? 1 : run.pool->threads()) * floats * sizeof(float)));
  if (are_tasks(run, pairs)) {
    parallel(run, static_cast<int64_t>(pairs.size()), [&](int task, int thread) {
      add_columns(pairs.subspan(task, 1), N, 0, N, panels + thread * floats, y);
    }, alone);
  } else {
    parallel(run, ceil_div(N, kPairCols), [&](int task, int thread) {
      const int64_t col = task * kPairCols;
      add_columns(pairs, N, col, least(kPairCols, N - col), panels + thread * floats, y);
    }, alone);
  }
  run.scratch->release(mark);
}

}  // namespace
}  // namespace lr::LR_ISA
