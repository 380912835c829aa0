#include "decode_linear.h"
#include "kernels.h"
#include "weights.h"

namespace lr::LR_ISA {
namespace {

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
template <class Element>
void transpose_scaled(const Element* matrix, int64_t rows, int64_t cols, float scale, float* factor) {
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
      with_b(pair, [&](const auto* b) { transpose_scaled(b, N, pair.rank, pair.scale, factors[i]); });
    } else {
      for (int64_t j = 0; j < size; ++j) factors[i][j] = pair.a[j] * pair.scale;
    }
  }
  product(PairTerms{pairs, factors, forward ? &LoraRows::hidden : &LoraRows::hidden_gradient, N});
  run.scratch->release(mark);
}

}  // namespace

void linear_forward(const Run& run, Operand x, const Weight& w, const float* bias, std::span<const LoraRows> pairs, OperandOut y,
                    int64_t T) {
  if (run.decoding) return decode(run, x.floats, w, bias, pairs, y.floats, T);
  const OperandRows a{x, w.cols};
  const OperandSink c{y, w.rows, false, bias};
  with_terms(run, pairs, w.rows, true, [&](const PairTerms& terms) {
    if (run.compute == Compute::BF16) {
      gemm<Bf16>(run, T, w.rows, w.cols, a, TransposedWeight(w), c, terms);
    } else {
      gemm<Exact>(run, T, w.rows, w.cols, a, TransposedWeight(w), c, terms);
    }
  });
}

void linear_backward(const Run& run, Operand dy, const Weight& w, std::span<const LoraRows> pairs, OperandOut dx, int64_t T,
                     bool accumulate) {
  const OperandRows a{dy, w.rows};
  const OperandSink c{dx, w.cols, accumulate, nullptr};
  with_terms(run, pairs, w.cols, false, [&](const PairTerms& terms) {
    if (run.compute == Compute::BF16) {
      gemm<Bf16>(run, T, w.cols, w.rows, a, PlainWeight(w), c, terms);
    } else {
      gemm<Exact>(run, T, w.cols, w.rows, a, PlainWeight(w), c, terms);
    }
  });
}

}  // namespace lr::LR_ISA
