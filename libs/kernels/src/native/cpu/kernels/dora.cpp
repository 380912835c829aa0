// What DoRA (Liu et al. 2024) and adapters' biases add to a linear layer.
#include "dropout.h"
#include "kernels.h"
#include "weights.h"

namespace lr::LR_ISA {
namespace {

constexpr int64_t kPiece = 256;     // elements whose dropout factors are made in one go
constexpr int64_t kNormRows = 8;    // rows of a weight in one go: a full tile, so that each load of A meets them all
constexpr int64_t kNormCols = 512;  // and columns: 16 KiB of W, which stay in the first cache

}  // namespace

void dropout(const Run& run, Operand x, const Lora& l, int64_t in, float* out, int64_t T) {
  with_rows(x, in, [&](auto x_rows) {
    parallel(run, T, [&](int t, int) {
      float factors[kPiece];
      for (int64_t i = 0; i < in; i += kPiece) {
        const int64_t n = least(kPiece, in - i);
        dropout_factors(l.dropout_key, l.dropout, t * in + i, n, factors);
        for (int64_t j = 0; j < n; j += W) {
          const int64_t lanes = least(W, n - j);
          put(out + t * in + i + j, get(x_rows(t) + i + j, lanes) * get(factors + j, lanes), lanes);
        }
      }
    });
  });
}

void row_norms(const Run& run, const Weight& w, const Lora& l, float* norm) {
  const WeightReader reader(w);
  const int64_t panel = kNormRows * (kNormCols + l.rank), tasks = ceil_div(w.rows, kNormRows);
  const size_t mark = run.scratch->mark();
  auto* memory = static_cast<float*>(run.scratch->take(run.pool->threads() * panel * sizeof(float)));
  const float* a = l.a;
  if (l.a_bf16 != nullptr) {
    auto* floats = static_cast<float*>(run.scratch->take(l.rank * w.cols * sizeof(float)));
    copy(l.a_bf16, l.rank * w.cols, floats);
    a = floats;
  }
  parallel(run, tasks, [&](int task, int thread) {
    float* values = memory + thread * panel;          // [kNormRows, kNormCols] of W + scale · B A
    float* b = values + kNormRows * kNormCols;        // [kNormRows, r] of scale · B
    const int64_t row = task * kNormRows, rows = least(kNormRows, w.rows - row);
    with_b(l, [&](const auto* from) {
      if (l.rank > 0) copy(from + row * l.rank, rows * l.rank, b);
    });
    for (int64_t i = 0; i < rows * l.rank; ++i) b[i] *= l.scale;
    V squares[kNormRows];
    for (int64_t i = 0; i < kNormRows; ++i) squares[i] = zero();
    for (int64_t col = 0; col < w.cols; col += kNormCols) {
      const int64_t cols = least(kNormCols, w.cols - col);
      for (int64_t i = 0; i < rows; ++i) reader.read(row + i, col, cols, values + i * kNormCols);
      if (l.rank > 0) multiply<MultiplyAdd>(Rows{b, l.rank}, rows, a + col, w.cols, l.rank, cols, true, values, kNormCols);
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < cols; j += W) {
          const V value = get(values + i * kNormCols + j, least(W, cols - j));
          squares[i] = fma(value, value, squares[i]);
        }
    }
    for (int64_t i = 0; i < rows; ++i) norm[row + i] = __builtin_sqrtf(sum(squares[i]));
  });
  run.scratch->release(mark);
}

void column_affine(const Run& run, Operand x, const float* before, const float* factor, const float* after, OperandOut y, int64_t T,
                   int64_t n) {
  const auto all = [&](auto x_rows, auto y_rows) {
    parallel(run, T, [&](int t, int) {
      for (int64_t i = 0; i < n; i += W) {
        const int64_t lanes = least(W, n - i);
        V value = get(x_rows(t) + i, lanes);
        if (before != nullptr) value = value - get(before + i, lanes);
        if (factor != nullptr) value = value * get(factor + i, lanes);
        if (after != nullptr) value = value + get(after + i, lanes);
        put(y_rows(t) + i, value, lanes);
      }
    });
  };
  with_rows(x, n, [&](auto x_rows) { with_rows(y, n, [&](auto y_rows) { all(x_rows, y_rows); }); });
}

void column_sums(const Run& run, Operand a, const float* b, const float* factor, float* sums, int64_t T, int64_t n) {
  constexpr int64_t kVectors = 4;  // a cache line or more of each row
  with_rows(a, n, [&](auto a_rows) {
    parallel(run, ceil_div(n, kVectors * W), [&](int task, int) {
      for (int64_t i = task * kVectors * W; i < least((task + 1) * kVectors * W, n); i += W) {
        const int64_t lanes = least(W, n - i);
        V total = zero();
        for (int64_t t = 0; t < T; ++t) {
          const V value = get(a_rows(t) + i, lanes);
          total = b == nullptr ? total + value : fma(value, get(b + t * n + i, lanes), total);
        }
        if (factor != nullptr) total = total * get(factor + i, lanes);
        put(sums + i, get(sums + i, lanes) + total, lanes);
      }
    });
  });
}

}  // namespace lr::LR_ISA
