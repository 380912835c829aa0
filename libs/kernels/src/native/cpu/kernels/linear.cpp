#include <type_traits>

#include "kernels.h"
#include "weights.h"

namespace lr::LR_ISA {
namespace {

// Up to this many tokens a product reads each weight once and multiplies it in registers, without packing: generation, where
// reading the weights is the work. From there on the blocked product is ahead.
constexpr int64_t kStreamTokens = 8;

// Floats of a weight row looked at in one go when they have to be written out first.
constexpr int64_t kSegment = 512;

// sums[R][M] of R weight rows with M tokens, 4-bit storages in whole blocks. x lies de-interleaved in groups of 2W (even elements first),
// the way look_up delivers weights, so that they are multiplied without being put in order.
template <int M, int R>
inline void stream_four_bit(const WeightReader& reader, int64_t row, const float* x, float* out) {
  const Weight& w = reader.w;
  const auto* codes = static_cast<const uint8_t*>(w.data);
  V sums[R][M];
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) sums[r][m] = zero();
  for (int64_t col = 0; col < w.cols; col += quant::kBlock) {
    Levels levels[R];
    for (int r = 0; r < R; ++r) {
      const int64_t block = ((row + r) * w.cols + col) / quant::kBlock;
      levels[r] = scaled_levels(reader.levels, quant::block_scale(w.scales, block, reader.dynamic));
    }
#pragma GCC unroll 4
    for (int64_t j = 0; j < quant::kBlock; j += 2 * W) {
      V even[R], odd[R];
      for (int r = 0; r < R; ++r) look_up(codes + ((row + r) * w.cols + col + j) / 2, levels[r], &even[r], &odd[r]);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        const V x_even = load(x + m * w.cols + col + j), x_odd = load(x + m * w.cols + col + j + W);
        for (int r = 0; r < R; ++r) sums[r][m] = fma(odd[r], x_odd, fma(even[r], x_even, sums[r][m]));
      }
    }
  }
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) out[r * M + m] = sum(sums[r][m]);
}

// The same for any storage and width, x in its own order. segment is [R · kSegment].
template <int M, int R>
inline void stream_any(const WeightReader& reader, int64_t row, const float* x, float* segment, float* out) {
  const int64_t cols = reader.w.cols;
  V sums[R][M];
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) sums[r][m] = zero();
  for (int64_t col = 0; col < cols; col += kSegment) {
    const int64_t n = least(kSegment, cols - col), whole = n / W * W;
    for (int r = 0; r < R; ++r) reader.read(row + r, col, n, segment + r * kSegment);
    const auto step = [&](int64_t i, auto load_lanes) {
      for (int m = 0; m < M; ++m) {
        const V lanes = load_lanes(x + m * cols + col + i);
        for (int r = 0; r < R; ++r) sums[r][m] = fma(load_lanes(segment + r * kSegment + i), lanes, sums[r][m]);
      }
    };
    for (int64_t i = 0; i < whole; i += W) step(i, [](const float* p) { return load(p); });
    if (whole < n) step(whole, [&](const float* p) { return load_part(p, n - whole); });
  }
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) out[r * M + m] = sum(sums[r][m]);
}

template <int M>
void stream(const Run& run, const float* x, const Weight& w, const float* bias, float* y) {
  const WeightReader reader(w);
  const bool whole_blocks = quant::is_four_bit(w.storage) && w.cols % quant::kBlock == 0;
  const size_t mark = run.scratch->mark();
  const int64_t threads = M * w.rows * w.cols < kWorthThreads ? 1 : run.pool->threads();
  auto* operand = static_cast<float*>(run.scratch->take(M * w.cols * sizeof(float)));  // x as the rows want it
  auto* segments = static_cast<float*>(run.scratch->take(threads * 4 * kSegment * sizeof(float)));
  copy(x, M * w.cols, operand);
  if (run.compute == Compute::BF16)
    for (int64_t i = 0; i < M * w.cols; i += W) {
      const int64_t n = least(W, M * w.cols - i);
      store_part(operand + i, round_bf16(load_part(operand + i, n)), n);
    }
  if (whole_blocks)
    for (int64_t i = 0; i < M * w.cols; i += 2 * W) {
      V even, odd;
      load_deinterleaved(operand + i, &even, &odd);
      store(operand + i, even);
      store(operand + i + W, odd);
    }
  // Four shares a thread, so that one that is held up elsewhere does not hold up the rest.
  const int64_t tasks = threads == 1 ? 1 : least(4 * threads, w.rows), share = ceil_div(w.rows, tasks);
  parallel(run, tasks, [&](int index, int thread) {
    const auto rows = [&](int64_t row, auto count) {
      constexpr int R = decltype(count)::value;
      float sums[R * M];
      if (whole_blocks) {
        stream_four_bit<M, R>(reader, row, operand, sums);
      } else {
        stream_any<M, R>(reader, row, operand, segments + thread * 4 * kSegment, sums);
      }
      for (int r = 0; r < R; ++r)
        for (int m = 0; m < M; ++m) y[m * w.rows + row + r] = sums[r * M + m] + (bias == nullptr ? 0 : bias[row + r]);
    };
    // Rows at a time: each element of x that is loaded meets so many weights; 16 sums fit the registers.
    constexpr int kRows = M <= 4 ? 4 : 2;
    int64_t row = index * share;
    const int64_t end = least(row + share, w.rows);
    for (; row + kRows <= end; row += kRows) rows(row, std::integral_constant<int, kRows>());
    for (; row < end; ++row) rows(row, std::integral_constant<int, 1>());
  }, threads == 1);
  run.scratch->release(mark);
}

// Pairs as terms of a blocked product (gemm.h): in each, hidden times a matrix [rank, N] that holds the scale.
struct PairTerms {
  std::span<const LoraRows> pairs;
  const float* const* factors;  // a matrix for each pair
  float* LoraRows::* hidden;    // hidden, or its gradient
  int64_t N;
  void add(int64_t m, int64_t count, int64_t n, int64_t cols, float* values) const {
    for (size_t i = 0; i < pairs.size(); ++i) {
      const LoraRows& rows = pairs[i];
      const int64_t rank = rows.pair.rank, first = most(m, rows.begin), last = least(m + count, rows.end);
      if (first >= last) continue;
      multiply<MultiplyAdd>(Rows{rows.*hidden + (first - rows.begin) * rank, rank}, last - first, factors[i] + n, N, rank, cols, true,
               values + (first - m) * kTileCols, kTileCols);
    }
  }
};

// factor[cols, rows] = scale · matrix[rows, cols]ᵀ
void transpose_scaled(const float* matrix, int64_t rows, int64_t cols, float scale, float* factor) {
  for (int64_t row = 0; row < rows; row += W)
    for (int64_t col = 0; col < cols; col += W) {
      const int64_t height = least(W, rows - row), width = least(W, cols - col);
      V block[W];
      for (int64_t i = 0; i < W; ++i) block[i] = i < height ? load_part(matrix + (row + i) * cols + col, width) : zero();
      transpose(block);
      for (int64_t i = 0; i < width; ++i) store_part(factor + (col + i) * rows + row, block[i] * set(scale), height);
    }
}

// Calls product(terms) with the pairs' factors made ready in scratch: forward (scale · B)ᵀ, backward scale · A.
template <class Product>
void with_terms(const Run& run, std::span<const LoraRows> pairs, int64_t N, bool forward, const Product& product) {
  const size_t mark = run.scratch->mark();
  auto* factors = static_cast<float**>(run.scratch->take(pairs.size() * sizeof(float*)));
  for (size_t i = 0; i < pairs.size(); ++i) {
    const Lora& pair = pairs[i].pair;
    const int64_t size = pair.rank * N;
    factors[i] = static_cast<float*>(run.scratch->take(size * sizeof(float)));
    if (forward) {
      transpose_scaled(pair.b, N, pair.rank, pair.scale, factors[i]);
    } else {
      for (int64_t j = 0; j < size; ++j) factors[i][j] = pair.a[j] * pair.scale;
    }
  }
  product(PairTerms{pairs, factors, forward ? &LoraRows::hidden : &LoraRows::hidden_gradient, N});
  run.scratch->release(mark);
}

// Few tokens: the pairs follow on their own.
template <int M>
void stream_with_pairs(const Run& run, const float* x, const Weight& w, const float* bias, std::span<const LoraRows> pairs, float* y) {
  stream<M>(run, x, w, bias, y);
  for (const LoraRows& rows : pairs)
    lora_output(run, rows.hidden, rows.pair, w.rows, y + rows.begin * w.rows, rows.end - rows.begin);
}

}  // namespace

void linear_forward(const Run& run, const float* x, const Weight& w, const float* bias, std::span<const LoraRows> pairs, float* y,
                    int64_t T) {
  static_assert(kStreamTokens == 8);
  switch (run.generating ? T : 0) {
    case 1: return stream_with_pairs<1>(run, x, w, bias, pairs, y);
    case 2: return stream_with_pairs<2>(run, x, w, bias, pairs, y);
    case 3: return stream_with_pairs<3>(run, x, w, bias, pairs, y);
    case 4: return stream_with_pairs<4>(run, x, w, bias, pairs, y);
    case 5: return stream_with_pairs<5>(run, x, w, bias, pairs, y);
    case 6: return stream_with_pairs<6>(run, x, w, bias, pairs, y);
    case 7: return stream_with_pairs<7>(run, x, w, bias, pairs, y);
    case 8: return stream_with_pairs<8>(run, x, w, bias, pairs, y);
    default: break;
  }
  const MatrixRows a{x, w.cols};
  const MatrixSink c{y, w.rows, false, bias};
  with_terms(run, pairs, w.rows, true, [&](const PairTerms& terms) {
    if (run.compute == Compute::BF16) {
      gemm<Bf16>(run, T, w.rows, w.cols, a, TransposedWeight(w), c, terms);
    } else {
      gemm<Exact>(run, T, w.rows, w.cols, a, TransposedWeight(w), c, terms);
    }
  });
}

void linear_backward(const Run& run, const float* dy, const Weight& w, std::span<const LoraRows> pairs, float* dx, int64_t T,
                     bool accumulate) {
  const MatrixRows a{dy, w.rows};
  const MatrixSink c{dx, w.cols, accumulate, nullptr};
  with_terms(run, pairs, w.cols, false, [&](const PairTerms& terms) {
    if (run.compute == Compute::BF16) {
      gemm<Bf16>(run, T, w.cols, w.rows, a, PlainWeight(w), c, terms);
    } else {
      gemm<Exact>(run, T, w.cols, w.rows, a, PlainWeight(w), c, terms);
    }
  });
}

}  // namespace lr::LR_ISA
