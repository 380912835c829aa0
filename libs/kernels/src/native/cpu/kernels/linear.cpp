#include <type_traits>

#include "decode_pairs.h"
#include "kernels.h"
#include "weights.h"

namespace lr::LR_ISA {
namespace {

// Decoding multiplies without packing: each output is one vector of sums over k, whose lanes are added in the end. Up to kStreamTokens
// tokens it reads each weight once and multiplies it in registers, for reading the weights is the work; more of them share weights that
// are written out piece by piece. Both take the sums in the same order.
constexpr int64_t kStreamTokens = 8;

// Floats of a weight row looked at in one go when they have to be written out first.
constexpr int64_t kSegment = 512;
// Weight rows that are written out for many tokens: their segments fill half of the first cache.
constexpr int64_t kManyRows = 8;
// Floats of tokens that meet all weight rows before the next tokens do: they stay in the second cache, and weights are written out once for
// so many.
constexpr int64_t kManyFloats = int64_t{1} << 17;

// sums[R][M] of R weight rows with M tokens, 4-bit storages in whole blocks. x lies in the order in which blocks are looked up (vec.h), so
// that weights are multiplied without being put in theirs.
template <int M, int R>
inline void stream_four_bit(const WeightReader& reader, const LevelTable& table, int64_t row, const float* x, float* out) {
  const Weight& w = reader.w;
  const auto* codes = static_cast<const uint8_t*>(w.data);
  V products[R * M];
  for (V& product : products) product = zero();
  for (int64_t col = 0; col < w.cols; col += quant::kBlock) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const int64_t first = (row + r) * w.cols + col;
      const float scale = quant::block_scale(w.scales, first / quant::kBlock, reader.dynamic);
#pragma GCC unroll 2
      for (int part = 0; part < 2; ++part) {
        V values[kPartVectors];
        look_up_part(codes + first / 2, part, table, scale, values);
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
          for (int i = 0; i < kPartVectors; ++i)
            products[r * M + m] = fma(values[i], load(x + m * w.cols + col + (part * kPartVectors + i) * W), products[r * M + m]);
      }
    }
  }
  store_sums(products, out);
}

// The same for any storage and width, x in its own order. segment is [R · kSegment].
template <int M, int R>
inline void stream_any(const WeightReader& reader, int64_t row, const float* x, float* segment, float* out) {
  const int64_t cols = reader.w.cols;
  V products[R * M];
  for (V& product : products) product = zero();
  for (int64_t col = 0; col < cols; col += kSegment) {
    const int64_t n = least(kSegment, cols - col), whole = n / W * W;
    for (int r = 0; r < R; ++r) reader.read(row + r, col, n, segment + r * kSegment);
    const auto step = [&](int64_t i, auto load_lanes) {
      for (int m = 0; m < M; ++m) {
        const V lanes = load_lanes(x + m * cols + col + i);
        for (int r = 0; r < R; ++r) products[r * M + m] = fma(load_lanes(segment + r * kSegment + i), lanes, products[r * M + m]);
      }
    };
    for (int64_t i = 0; i < whole; i += W) step(i, [](const float* p) { return load(p); });
    if (whole < n) step(whole, [&](const float* p) { return load_part(p, n - whole); });
  }
  store_sums(products, out);
}

bool in_whole_blocks(const Weight& w) { return quant::is_four_bit(w.storage) && w.cols % quant::kBlock == 0; }

// n elements of x as the rows of a weight want them: of the operand type, and for `whole_blocks` in the order in which those are looked up.
void make_operand(const Run& run, const float* x, int64_t n, bool whole_blocks, float* out) {
  copy(x, n, out);
  if (run.compute == Compute::BF16)
    for (int64_t i = 0; i < n; i += W) {
      const int64_t lanes = least(W, n - i);
      store_part(out + i, round_bf16(load_part(out + i, lanes)), lanes);
    }
  if (whole_blocks)
    for (int64_t i = 0; i < n; i += quant::kBlock) arrange_block(out + i);
}

template <int M>
void stream(const Run& run, const float* x, const Weight& w, const float* bias, float* y) {
  const WeightReader reader(w);
  const LevelTable table(reader.levels);
  const bool whole_blocks = in_whole_blocks(w);
  const size_t mark = run.scratch->mark();
  const int64_t threads = M * w.rows * w.cols < kWorthThreads ? 1 : run.pool->threads();
  auto* operand = static_cast<float*>(run.scratch->take(M * w.cols * sizeof(float)));
  auto* segments = static_cast<float*>(run.scratch->take(threads * 4 * kSegment * sizeof(float)));
  make_operand(run, x, M * w.cols, whole_blocks, operand);
  // Four shares a thread, so that one that is held up elsewhere does not hold up the rest.
  const int64_t tasks = threads == 1 ? 1 : least(4 * threads, w.rows), share = ceil_div(w.rows, tasks);
  parallel(run, tasks, [&](int index, int thread) {
    const auto rows = [&](int64_t row, auto count) {
      constexpr int R = decltype(count)::value;
      float sums[R * M];
      if (whole_blocks) {
        stream_four_bit<M, R>(reader, table, row, operand, sums);
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

// Elements (row, col … col+n-1) of a weight in the order of make_operand; n is a multiple of a block for `whole_blocks`.
void write_out(const WeightReader& reader, const LevelTable& table, int64_t row, int64_t col, int64_t n, bool whole_blocks, float* out) {
  if (!whole_blocks) return reader.read(row, col, n, out);
  const Weight& w = reader.w;
  for (int64_t i = 0; i < n; i += quant::kBlock) {
    const int64_t first = row * w.cols + col + i;
    const float scale = quant::block_scale(w.scales, first / quant::kBlock, reader.dynamic);
    for (int part = 0; part < 2; ++part) {
      V values[kPartVectors];
      look_up_part(static_cast<const uint8_t*>(w.data) + first / 2, part, table, scale, values);
      for (int j = 0; j < kPartVectors; ++j) store(out + i + (part * kPartVectors + j) * W, values[j]);
    }
  }
}

// sums[M][kManyRows], vectors each, += M tokens times R weight rows over n floats; w's rows are kSegment apart.
template <int M, int R>
inline void many_tile(const float* w, const float* x, int64_t stride, int64_t n, float* sums) {
  V held[M][R];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) held[m][r] = load(sums + (m * kManyRows + r) * W);
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
    for (int r = 0; r < R; ++r) store(sums + (m * kManyRows + r) * W, held[m][r]);
}

// The same for T tokens and all rows: tokens that have been read from the second cache meet all of them before the next ones do.
void many_tiles(const float* w, const float* x, int64_t stride, int64_t n, int64_t T, float* sums) {
  constexpr int R = W == 16 ? 4 : 2;  // 6 × R sums, R weights and x fit the registers
  const auto tokens = [&](int64_t t, auto count) {
    constexpr int M = decltype(count)::value;
    for (int64_t row = 0; row < kManyRows; row += R)
      many_tile<M, R>(w + row * kSegment, x + t * stride, stride, n, sums + (t * kManyRows + row) * W);
  };
  int64_t t = 0;
  for (; t + 6 <= T; t += 6) tokens(t, std::integral_constant<int, 6>());
  for (; t + 2 <= T; t += 2) tokens(t, std::integral_constant<int, 2>());
  if (t < T) tokens(t, std::integral_constant<int, 1>());
}

void stream_many(const Run& run, const float* x, const Weight& w, const float* bias, float* y, int64_t T) {
  const WeightReader reader(w);
  const LevelTable table(reader.levels);
  const bool whole_blocks = in_whole_blocks(w), alone = T * w.rows * w.cols < kWorthThreads;
  const int64_t segments = ceil_div(w.cols, kSegment), threads = alone ? 1 : run.pool->threads();
  const int64_t kept = least(T, most(kManyFloats / w.cols / 6, 4) * 6);  // tokens at a time: whole tiles
  const int64_t segment_floats = T * kSegment, sum_floats = ceil_div(kept * kManyRows, W) * W * W;
  const int64_t thread_floats = kManyRows * kSegment + sum_floats;
  const size_t mark = run.scratch->mark();
  // [segment][T][whole vectors of it]: as x lies, rows may be a power of two apart and share cache sets.
  auto* operand = static_cast<float*>(run.scratch->take(segments * segment_floats * sizeof(float)));
  auto* workspace = static_cast<float*>(run.scratch->take(threads * thread_floats * sizeof(float)));
  const auto width = [&](int64_t segment) { return least(kSegment, w.cols - segment * kSegment); };
  const auto padded = [&](int64_t segment) { return ceil_div(width(segment), W) * W; };
  parallel(run, segments, [&](int segment, int) {
    for (int64_t t = 0; t < T; ++t) {
      float* out = operand + segment * segment_floats + t * padded(segment);
      make_operand(run, x + t * w.cols + segment * kSegment, width(segment), whole_blocks, out);
      for (int64_t i = width(segment); i < padded(segment); ++i) out[i] = 0;
    }
  }, alone);
  const int64_t groups = ceil_div(w.rows, kManyRows);
  parallel(run, ceil_div(T, kept) * groups, [&](int index, int thread) {
    float *weights = workspace + thread * thread_floats, *sums = weights + kManyRows * kSegment;
    const int64_t row = index % groups * kManyRows, rows = least(kManyRows, w.rows - row);
    const int64_t first = index / groups * kept, count = least(kept, T - first);
    std::memset(sums, 0, sum_floats * sizeof(float));
    for (int64_t segment = 0; segment < segments; ++segment) {
      const int64_t n = width(segment), stride = padded(segment);
      for (int64_t r = 0; r < kManyRows; ++r) {
        float* out = weights + r * kSegment;
        if (r < rows) write_out(reader, table, row + r, segment * kSegment, n, whole_blocks, out);
        for (int64_t i = r < rows ? n : 0; i < stride; ++i) out[i] = 0;
      }
      many_tiles(weights, operand + segment * segment_floats + first * stride, stride, stride, count, sums);
    }
    for (int64_t i = 0; i < count * kManyRows; i += W) {  // in place: the sums of W vectors where the first of them was
      V vectors[W];
      for (int64_t j = 0; j < W; ++j) vectors[j] = load(sums + (i + j) * W);
      store(sums + i, lane_sums(vectors));
    }
    for (int64_t t = 0; t < count; ++t)
      for (int64_t r = 0; r < rows; ++r)
        y[(first + t) * w.rows + row + r] = sums[t * kManyRows + r] + (bias == nullptr ? 0 : bias[row + r]);
  }, alone);
  run.scratch->release(mark);
}

// A product of next tokens.
void decode(const Run& run, const float* x, const Weight& w, const float* bias, float* y, int64_t T) {
  static_assert(kStreamTokens == 8);
  switch (T) {
    case 1: return stream<1>(run, x, w, bias, y);
    case 2: return stream<2>(run, x, w, bias, y);
    case 3: return stream<3>(run, x, w, bias, y);
    case 4: return stream<4>(run, x, w, bias, y);
    case 5: return stream<5>(run, x, w, bias, y);
    case 6: return stream<6>(run, x, w, bias, y);
    case 7: return stream<7>(run, x, w, bias, y);
    case 8: return stream<8>(run, x, w, bias, y);
    default: return stream_many(run, x, w, bias, y, T);
  }
}

}  // namespace

void linear_forward(const Run& run, const float* x, const Weight& w, const float* bias, std::span<const LoraRows> pairs, float* y,
                    int64_t T) {
  if (run.decoding) {
    decode(run, x, w, bias, y, T);
    if (!pairs.empty()) add_pairs(run, pairs, w.rows, y);
    return;
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
