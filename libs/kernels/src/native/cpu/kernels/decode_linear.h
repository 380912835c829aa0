// Products of next tokens with weights in any storage. Decoding multiplies without packing: each output is one vector of sums over k, whose
// lanes are added in the end. Up to kStreamTokens tokens read each weight once and multiply it in registers, for reading the weights is the
// work; more of them share weights that are written out piece by piece. Both take the sums in the same order. 4-bit weights in whole blocks
// are multiplied as integers (decode_four_bit.h), all others as floats.
#pragma once
#include "decode_four_bit.h"
#include "decode_pairs.h"
#include "gemm.h"
#include "weights.h"

namespace lr::LR_ISA {
namespace {

constexpr int64_t kStreamTokens = 8;

// Floats of a weight row looked at in one go when they have to be written out first.
constexpr int64_t kSegment = 512;
// Weight rows that are written out for many tokens: their segments fill half of the first cache.
constexpr int64_t kManyRows = 8;
// Floats of tokens that meet all weight rows before the next tokens do: they stay in the second cache, and weights are written out once for
// so many.
constexpr int64_t kManyFloats = int64_t{1} << 17;

// sums[M], vectors, += a weight row times M tokens [M][cols], its elements straight from memory. One row at a time: the processor foresees one stretch of
// memory, and several rows side by side came at half the speed (docs/kernel-notes.md).
template <int M, class Element>
inline void stream_elements(const WeightReader& reader, int64_t row, const float* x, V (&sums)[M]) {
  const int64_t cols = reader.w.cols, whole = cols / W * W;
  const auto* elements = static_cast<const Element*>(reader.w.data) + row * cols;
  for (int64_t i = 0; i < whole; i += W) {
    __builtin_prefetch(reinterpret_cast<const char*>(elements + i) + kBytesAhead);
    const V values = load(elements + i);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) sums[m] = fma(values, load(x + m * cols + i), sums[m]);
  }
  if (whole < cols) {
    const int64_t left = cols - whole;
    const V values = load_part(elements + whole, left);
    for (int m = 0; m < M; ++m) sums[m] = fma(values, load_part(x + m * cols + whole, left), sums[m]);
  }
}

// The same for any storage. segment is [kSegment].
template <int M>
inline void stream_any(const WeightReader& reader, int64_t row, const float* x, float* segment, V (&sums)[M]) {
  const int64_t cols = reader.w.cols;
  for (int64_t col = 0; col < cols; col += kSegment) {
    const int64_t n = least(kSegment, cols - col), whole = n / W * W;
    reader.read(row, col, n, segment);
    const auto step = [&](int64_t i, auto load_lanes) {
      for (int m = 0; m < M; ++m) sums[m] = fma(load_lanes(segment + i), load_lanes(x + m * cols + col + i), sums[m]);
    };
    for (int64_t i = 0; i < whole; i += W) step(i, [](const float* p) { return load(p); });
    if (whole < n) step(whole, [&](const float* p) { return load_part(p, n - whole); });
  }
}

// n elements of x as the rows of a weight want them.
void make_operand(const Run& run, const float* x, int64_t n, float* out) {
  copy(x, n, out);
  if (run.compute == Compute::BF16)
    for (int64_t i = 0; i < n; i += W) {
      const int64_t lanes = least(W, n - i);
      store_part(out + i, round_bf16(load_part(out + i, lanes)), lanes);
    }
}

template <int M>
void stream(const Run& run, const float* x, const Weight& w, const float* bias, const DecodingPairs& pairs, float* y) {
  const WeightReader reader(w);
  const size_t mark = run.scratch->mark();
  const int64_t threads = M * w.rows * w.cols < kWorthThreadsDecoding ? 1 : run.pool->threads();
  auto* operand = static_cast<float*>(run.scratch->take(M * w.cols * sizeof(float)));
  auto* segments = static_cast<float*>(run.scratch->take(threads * kSegment * sizeof(float)));
  make_operand(run, x, M * w.cols, operand);
  // Four shares a thread, so that one that is held up elsewhere does not hold up the rest.
  const int64_t tasks = threads == 1 ? 1 : least(4 * threads, w.rows), share = ceil_div(w.rows, tasks);
  parallel(run, tasks, [&](int index, int thread) {
    for (int64_t row = index * share; row < least((index + 1) * share, w.rows); ++row) {
      V sums[M];
      pairs.begin<1>(row, 1, 0, M, sums);
      switch (w.storage) {
        case Storage::F32: stream_elements<M, float>(reader, row, operand, sums); break;
        case Storage::BF16: stream_elements<M, uint16_t>(reader, row, operand, sums); break;
        default: stream_any<M>(reader, row, operand, segments + thread * kSegment, sums);
      }
      float values[M];
      store_sums(sums, values);
      for (int m = 0; m < M; ++m) y[m * w.rows + row] = values[m] + (bias == nullptr ? 0 : bias[row]);
    }
  }, threads == 1);
  run.scratch->release(mark);
}

// sums[M][kManyRows] += M tokens times R weight rows over n floats; w's rows are kSegment apart.
template <int M, int R>
inline void many_tile(const float* w, const float* x, int64_t stride, int64_t n, V* sums) {
  V held[M][R];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) held[m][r] = sums[m * kManyRows + r];
  for (int64_t i = 0; i < n; i += W) {
    V rows[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) rows[r] = load(w + r * kSegment + i);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const V lanes = load(x + m * stride + i);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) held[m][r] = fma(rows[r], lanes, held[m][r]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) sums[m * kManyRows + r] = held[m][r];
}

// The same for T tokens and all rows: tokens that have been read from the second cache meet all of them before the next ones do.
void many_tiles(const float* w, const float* x, int64_t stride, int64_t n, int64_t T, V* sums) {
  constexpr int R = W == 16 ? 4 : 2;  // 6 × R sums, R weights and x fit the registers
  const auto tokens = [&](int64_t t, auto count) {
    constexpr int M = decltype(count)::value;
    for (int64_t row = 0; row < kManyRows; row += R)
      many_tile<M, R>(w + row * kSegment, x + t * stride, stride, n, sums + t * kManyRows + row);
  };
  int64_t t = 0;
  for (; t + 6 <= T; t += 6) tokens(t, std::integral_constant<int, 6>());
  for (; t + 2 <= T; t += 2) tokens(t, std::integral_constant<int, 2>());
  if (t < T) tokens(t, std::integral_constant<int, 1>());
}

void stream_many(const Run& run, const float* x, const Weight& w, const float* bias, const DecodingPairs& pairs, float* y, int64_t T) {
  const WeightReader reader(w);
  const bool alone = T * w.rows * w.cols < kWorthThreadsDecoding;
  const int64_t segments = ceil_div(w.cols, kSegment), threads = alone ? 1 : run.pool->threads();
  const int64_t kept = least(T, most(kManyFloats / w.cols / 6, 4) * 6);  // tokens at a time: whole tiles
  const int64_t segment_floats = T * kSegment, sum_vectors = ceil_div(kept * kManyRows, W) * W;
  const int64_t thread_floats = kManyRows * kSegment + sum_vectors * W;
  const size_t mark = run.scratch->mark();
  // [segment][T][whole vectors of it]: as x lies, rows may be a power of two apart and share cache sets.
  auto* operand = static_cast<float*>(run.scratch->take(segments * segment_floats * sizeof(float)));
  auto* workspace = static_cast<float*>(run.scratch->take(threads * thread_floats * sizeof(float)));
  const auto width = [&](int64_t segment) { return least(kSegment, w.cols - segment * kSegment); };
  const auto padded = [&](int64_t segment) { return ceil_div(width(segment), W) * W; };
  parallel(run, segments, [&](int segment, int) {
    for (int64_t t = 0; t < T; ++t) {
      float* out = operand + segment * segment_floats + t * padded(segment);
      make_operand(run, x + t * w.cols + segment * kSegment, width(segment), out);
      for (int64_t i = width(segment); i < padded(segment); ++i) out[i] = 0;
    }
  }, alone);
  const int64_t groups = ceil_div(w.rows, kManyRows);
  parallel(run, ceil_div(T, kept) * groups, [&](int index, int thread) {
    float* weights = workspace + thread * thread_floats;
    auto* sums = reinterpret_cast<V*>(weights + kManyRows * kSegment);
    const int64_t row = index % groups * kManyRows, rows = least(kManyRows, w.rows - row);
    const int64_t first = index / groups * kept, count = least(kept, T - first);
    pairs.begin<kManyRows>(row, rows, first, count, sums);
    for (int64_t segment = 0; segment < segments; ++segment) {
      const int64_t n = width(segment), stride = padded(segment);
      for (int64_t r = 0; r < kManyRows; ++r) {
        float* out = weights + r * kSegment;
        if (r < rows) reader.read(row + r, segment * kSegment, n, out);
        for (int64_t i = r < rows ? n : 0; i < stride; ++i) out[i] = 0;
      }
      many_tiles(weights, operand + segment * segment_floats + first * stride, stride, stride, count, sums);
    }
    finish_sums(sums, kManyRows, first, count, row, rows, bias, y, w.rows);
  }, alone);
  run.scratch->release(mark);
}

// A product of next tokens, and what pairs add to it.
void decode(const Run& run, const float* x, const Weight& w, const float* bias, std::span<const LoraRows> pairs, float* y, int64_t T) {
  const DecodingPairs added(run, pairs, T);
  if (in_whole_blocks(w)) return FourBitProduct(run, w, bias, added, y, T).run(x);
  if (T > kStreamTokens) return stream_many(run, x, w, bias, added, y, T);
  with_count(T, [&](auto count) { stream<decltype(count)::value>(run, x, w, bias, added, y); });
}

}  // namespace
}  // namespace lr::LR_ISA
