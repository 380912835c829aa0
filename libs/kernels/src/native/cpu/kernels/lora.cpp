// The products of a LoRA pair, all in floats: at its ranks they read and write memory more than they compute.
#include "decode_pairs.h"
#include "dropout.h"
#include "kernels.h"
#include "scratch.h"
#include "weights.h"

namespace lr::LR_ISA {
namespace {

constexpr int64_t kPiece = 256;  // elements whose dropout factors are made in one go

// values[n] times the dropout factors of stream elements first … first+n-1.
inline void drop(const Lora& l, uint64_t first, int64_t n, float* values) {
  float factors[kPiece];
  for (int64_t i = 0; i < n; i += kPiece) {
    const int64_t count = least(kPiece, n - i);
    dropout_factors(l.dropout_key, l.dropout, first + i, count, factors);
    for (int64_t j = 0; j < count; ++j) values[i + j] *= factors[j];
  }
}

// drop(x)[T, in] as A.
struct DroppedRows {
  OperandRows x;
  const Lora& l;
  void row(int64_t m, int64_t k, int64_t n, float* out) const {
    x.row(m, k, n, out);
    if (l.dropout > 0) drop(l, m * x.width + k, n, out);
  }
};

// factor · values[T, r] as A.
struct ScaledRows {
  const float* data;
  int64_t stride;
  float factor;
  void row(int64_t m, int64_t k, int64_t n, float* out) const {
    for (int64_t i = 0; i < n; ++i) out[i] = data[m * stride + k + i] * factor;
  }
};

// Tokens of a task of the gradient of x, and columns of it at a time: they and the rows of A stay in the first cache.
constexpr int64_t kGradientTokens = 4 * kTileRows;

// Tokens summed in one go: their columns of a task stay in the second cache.
constexpr int64_t kTokens = 32;
// Columns of a task at the least.
constexpr int64_t kTaskCols = 4 * kTileCols;

// sums[r, cols] = Σ over tokens of left[t, r] · right[t, n], for the columns of a task; take(col, cols, sums) gets them. right is
// read as it lies, row by row; `right_rows(t, count, col, cols, buffer, stride)` returns where `count` of them are.
template <class Right, class Take>
void outer_sums(const Run& run, const float* left, int64_t rank, int64_t N, int64_t T, const Right& right_rows, const Take& take) {
  const int64_t threads = T * rank * N < kWorthThreads ? 1 : run.pool->threads();
  const int64_t tasks = most(1, least(threads, N / kTaskCols));
  const int64_t share = ceil_div(ceil_div(N, tasks), kTileCols) * kTileCols;
  const size_t mark = run.scratch->mark();
  const int64_t floats = (rank + kTokens) * share;
  auto* workspace = static_cast<float*>(run.scratch->take(tasks * floats * sizeof(float)));
  parallel(run, tasks, [&](int task, int) {
    const int64_t col = task * share, cols = least(share, N - col);
    if (cols <= 0) return;
    float *sums = workspace + task * floats, *buffer = sums + rank * share;
    std::memset(sums, 0, rank * share * sizeof(float));
    for (int64_t t = 0; t < T; t += kTokens) {
      const int64_t count = least(kTokens, T - t);
      int64_t stride = share;
      const float* right = right_rows(t, count, col, cols, buffer, stride);
      multiply<MultiplyAdd>(Columns{left + t * rank, rank}, rank, right, stride, count, cols, true, sums, share);
    }
    take(col, cols, sums, share);
  }, threads == 1);
  run.scratch->release(mark);
}

// Rows of floats as they lie.
struct AsTheyLie {
  const float* data;
  int64_t width;
  const float* operator()(int64_t t, int64_t, int64_t col, int64_t, float*, int64_t& stride) const {
    stride = width;
    return data + t * width + col;
  }
};
// Rows of drop(x), or of bfloat16 as floats, made in the buffer.
template <class A>
struct Made {
  A a;
  const float* operator()(int64_t t, int64_t count, int64_t col, int64_t cols, float* buffer, int64_t& stride) const {
    for (int64_t i = 0; i < count; ++i) a.row(t + i, col, cols, buffer + i * stride);
    return buffer;
  }
};

// outer_sums with the rows of an operand N wide on the right.
template <class Take>
void outer_sums_with(const Run& run, const float* left, int64_t rank, int64_t N, int64_t T, Operand right, const Take& take) {
  if (right.halves == nullptr) {
    outer_sums(run, left, rank, N, T, AsTheyLie{right.floats, N}, take);
  } else {
    outer_sums(run, left, rank, N, T, Made{OperandRows{right, N}}, take);
  }
}

void hidden_of(const Run& run, Operand x, const Lora& l, int64_t in, float* h, int64_t T) {
  with_a(l, [&](const auto* a) {
    gemm<Exact>(run, T, l.rank, in, DroppedRows{{x, in}, l}, TransposedMatrix{a, in}, OperandSink{h, l.rank, false, nullptr});
  });
}

void gradients_of(const Run& run, Operand dy, Operand x, const float* h, const Lora& l, int64_t in, int64_t out, float* dh, int64_t T) {
  gemm<Exact>(run, T, l.rank, out, OperandRows{dy, out}, PlainMatrix{l.b, l.rank}, OperandSink{dh, l.rank, false, nullptr});
  if (l.grad_a == nullptr) return;
  outer_sums_with(run, h, l.rank, out, T, dy, [&](int64_t col, int64_t cols, const float* sums, int64_t stride) {
    for (int64_t o = 0; o < cols; ++o)
      for (int64_t r = 0; r < l.rank; ++r) l.grad_b[(col + o) * l.rank + r] += sums[r * stride + o] * l.scale;
  });
  const auto add_to_a = [&](int64_t col, int64_t cols, const float* sums, int64_t stride) {
    for (int64_t r = 0; r < l.rank; ++r)
      for (int64_t i = 0; i < cols; ++i) l.grad_a[r * in + col + i] += sums[r * stride + i] * l.scale;
  };
  if (l.dropout > 0) {
    outer_sums(run, dh, l.rank, in, T, Made{DroppedRows{{x, in}, l}}, add_to_a);
  } else {
    outer_sums_with(run, dh, l.rank, in, T, x, add_to_a);
  }
}

// Calls f(run, rows) for each pair: a thread for each where there are enough of them, else all threads for one after the other.
// width: the wider side of the pairs. Which way is taken changes no result.
template <class F>
void for_each_pair(const Run& run, std::span<const LoraRows> pairs, int64_t width, const F& f) {
  const int64_t threads = run.pool->threads();
  if (threads == 1 || static_cast<int64_t>(pairs.size()) < threads) {
    for (const LoraRows& rows : pairs) f(run, rows);
    return;
  }
  int64_t rank = 0;
  for (const LoraRows& rows : pairs) rank = most(rank, rows.pair.rank);
  // What a product takes, or the sums over tokens; with room for rounding up to lines.
  const size_t bytes = (most(kGemmWorkspace, (rank + kTokens) * (width + kTileCols)) + 64) * sizeof(float);
  const size_t mark = run.scratch->mark();
  auto* memory = static_cast<std::byte*>(run.scratch->take(threads * bytes));
  parallel(run, static_cast<int64_t>(pairs.size()), [&](int task, int thread) {
    OneThread pool;
    BorrowedScratch scratch(memory + thread * bytes, bytes);
    f(Run{&pool, &scratch, run.compute}, pairs[task]);
  });
  run.scratch->release(mark);
}

// Rows of A that meet several tokens at a time: with as many tokens their sums fill a vector.
constexpr int kDotRows = 4;
constexpr int kDotTokens = W / kDotRows;

// hidden[M, stride] of M tokens x[M, in] with R rows of A: one vector of sums over k each, whose lanes are added in the end. For a single token as
// much is asked for from `next` on as is read of A: what comes after these rows.
template <int M, int R, class Element>
inline void dots(const float* x, const Element* a, int64_t in, [[maybe_unused]] const std::byte* next, float* hidden, int64_t stride) {
  V products[M * R];
  for (V& product : products) product = zero();
  const int64_t whole = in / W * W;
  const auto step = [&](int64_t i, auto load_lanes) {
    V rows[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) rows[r] = load_lanes(a + r * in + i);
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
      const V lanes = load_lanes(x + m * in + i);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) products[m * R + r] = fma(lanes, rows[r], products[m * R + r]);
    }
  };
  for (int64_t i = 0; i < whole; i += W) {
    if constexpr (M == 1) {
      constexpr int64_t kStepBytes = R * W * static_cast<int64_t>(sizeof(Element));
      for (int64_t j = 0; j < kStepBytes; j += kLineBytes) __builtin_prefetch(next + i / W * kStepBytes + j);
    }
    step(i, [](const auto* p) { return load(p); });
  }
  if (whole < in) step(whole, [&](const auto* p) { return load_part(p, in - whole); });
  float values[M * R];
  store_sums(products, values);
  for (int m = 0; m < M; ++m)
    for (int r = 0; r < R; ++r) hidden[m * stride + r] = values[m * R + r];
}

// The same for all tokens of a pair and rows `row` to `end` of its A, which lies at a; `after`: what is read after all of A.
template <class Element>
void dots_of_rows(const LoraRows& rows, const float* x, const Element* a, int64_t in, int64_t row, int64_t end, const void* after) {
  const int64_t rank = rows.pair.rank;
  const auto of = [&](auto height) {
    constexpr int R = decltype(height)::value;
    const auto* next = static_cast<const std::byte*>(row + R < rank ? a + (row + R) * in : after);
    int64_t t = rows.begin;
    const auto hidden = [&] { return rows.hidden + (t - rows.begin) * rank + row; };
    for (; t + kDotTokens <= rows.end; t += kDotTokens) dots<kDotTokens, R>(x + t * in, a + row * in, in, next, hidden(), rank);
    for (; t < rows.end; ++t) dots<1, R>(x + t * in, a + row * in, in, next, hidden(), rank);
  };
  for (; row + kDotRows <= end; row += kDotRows) of(std::integral_constant<int, kDotRows>());
  for (; row < end; ++row) of(std::integral_constant<int, 1>());
}

// The same without packing, for pairs with few tokens each: it reads each A once. Without dropout. The processor foresees one stretch of memory and
// no more, so all of A is asked for in its order, and that of the next pair after it; rows side by side then come from the first cache, and
// their sums do not wait for each other.
void hidden_decoding(const Run& run, const float* x, std::span<const LoraRows> pairs, int64_t in) {
  if (pairs.empty()) return;
  int64_t work = 0, read = 0, rank = 0;
  for (const LoraRows& rows : pairs) {
    work += (rows.end - rows.begin) * rows.pair.rank * in;
    with_a(rows.pair, [&](const auto* a) { read += rows.pair.rank * in * static_cast<int64_t>(sizeof *a); });
    rank = most(rank, rows.pair.rank);
  }
  // A task multiplies some pairs, or, where there are too few of them, some rows of one.
  const int64_t count = static_cast<int64_t>(pairs.size()), tasks = 8 * run.pool->threads();
  const int64_t together = ceil_div(count, tasks), share = 2 * count < tasks ? kDotRows : rank;
  const int64_t shares = ceil_div(rank, share);  // of each pair; those of a lower rank have fewer
  parallel(run, ceil_div(count, together) * shares, [&](int task, int) {
    const int64_t first = task / shares * together, row = task % shares * share;
    for (int64_t i = first; i < least(first + together, count); ++i) {
      const void* after = nullptr;  // A of the last pair again where none comes after it
      with_a(pairs[least(i + 1, count - 1)].pair, [&](const auto* a) { after = a; });
      with_a(pairs[i].pair, [&](const auto* a) { dots_of_rows(pairs[i], x, a, in, row, least(row + share, pairs[i].pair.rank), after); });
    }
  }, work < kWorthThreadsDecoding && read < kWorthReading);
}

}  // namespace

void lora_hidden(const Run& run, Operand x, std::span<const LoraRows> pairs, int64_t in) {
  if (run.decoding) return hidden_decoding(run, x.floats, pairs, in);
  for_each_pair(run, pairs, in, [&](const Run& one, const LoraRows& rows) {
    hidden_of(one, x.at(rows.begin, in), rows.pair, in, rows.hidden, rows.end - rows.begin);
  });
}

void lora_output(const Run& run, const float* h, const Lora& l, int64_t out, float* y, int64_t T) {
  gemm<Exact>(run, T, out, l.rank, ScaledRows{h, l.rank, l.scale}, TransposedMatrix{l.b, l.rank}, OperandSink{y, out, true, nullptr});
}

void lora_gradients(const Run& run, Operand dy, Operand x, std::span<const LoraRows> pairs, int64_t in, int64_t out) {
  for_each_pair(run, pairs, most(in, out), [&](const Run& one, const LoraRows& rows) {
    gradients_of(one, dy.at(rows.begin, out), x.at(rows.begin, in), rows.hidden, rows.pair, in, out, rows.hidden_gradient,
                 rows.end - rows.begin);
  });
}

void lora_input_gradient(const Run& run, const float* dh, const Lora& l, int64_t in, float* dx, int64_t T) {
  const auto task = [&](int index, int) {
    float values[kTileRows * kPiece];
    const int64_t end = least((index + 1) * kGradientTokens, T);
    for (int64_t col = 0; col < in; col += kPiece)
      for (int64_t t = index * kGradientTokens; t < end; t += kTileRows) {
        const int64_t cols = least(kPiece, in - col), count = least(kTileRows, end - t);
        multiply<MultiplyAdd>(Rows{dh + t * l.rank, l.rank}, count, l.a + col, in, l.rank, cols, false, values, kPiece);
        for (int64_t i = 0; i < count; ++i) {
          const int64_t first = (t + i) * in + col;
          float* row = values + i * kPiece;
          if (l.dropout > 0) drop(l, first, cols, row);
          for (int64_t j = 0; j < cols; ++j) dx[first + j] += row[j] * l.scale;
        }
      }
  };
  parallel(run, ceil_div(T, kGradientTokens), task, T * l.rank * in < kWorthThreads);
}

}  // namespace lr::LR_ISA
