// The six products of a LoRA pair, all in floats: at its ranks they read and write memory more than they compute.
#include "dropout.h"
#include "kernels.h"
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

// drop(x)[T, in] as A, and as B.
struct DroppedRows {
  const float* x;
  const Lora& l;
  int64_t in;
  void row(int64_t m, int64_t k, int64_t n, float* out) const {
    copy(x + m * in + k, n, out);
    if (l.dropout > 0) drop(l, m * in + k, n, out);
  }
};
struct DroppedMatrix {
  static constexpr bool kAlongK = false;
  DroppedRows x;
  void line(int64_t k, int64_t col, int64_t n, float* out) const { x.row(k, col, n, out); }
};

// factor · values[T, r] as A, and its transpose.
struct ScaledRows {
  const float* data;
  int64_t stride;
  float factor;
  void row(int64_t m, int64_t k, int64_t n, float* out) const {
    for (int64_t i = 0; i < n; ++i) out[i] = data[m * stride + k + i] * factor;
  }
};
struct ScaledColumns {
  const float* data;
  int64_t stride;
  float factor;
  void row(int64_t m, int64_t k, int64_t n, float* out) const {
    for (int64_t i = 0; i < n; ++i) out[i] = data[(k + i) * stride + m] * factor;
  }
};

// C added to dx through the dropout mask.
struct DroppedSink {
  float* dx;
  const Lora& l;
  int64_t in;
  void expect(int64_t, int64_t, int64_t) const {}
  void take(const float* values, int64_t m, int64_t rows, int64_t n, int64_t cols, bool) const {
    float factors[kTileCols];
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t first = (m + i) * in + n;
      dropout_factors(l.dropout_key, l.dropout, first, cols, factors);
      for (int64_t j = 0; j < cols; ++j) dx[first + j] += values[i * kTileCols + j] * factors[j];
    }
  }
};

// Cᵀ added: element (m, n) goes to data[n, m].
struct TransposedSink {
  float* data;
  int64_t stride;
  void expect(int64_t, int64_t, int64_t) const {}
  void take(const float* values, int64_t m, int64_t rows, int64_t n, int64_t cols, bool) const {
    for (int64_t j = 0; j < cols; ++j)
      for (int64_t i = 0; i < rows; ++i) data[(n + j) * stride + m + i] += values[i * kTileCols + j];
  }
};

}  // namespace

void lora_forward(const Run& run, const float* x, const Lora& l, int64_t in, int64_t out, float* h, float* y, int64_t T) {
  // h = drop(x) Aᵀ ; y += (scale · h) Bᵀ
  gemm<Exact>(run, T, l.rank, in, DroppedRows{x, l, in}, TransposedMatrix{l.a, in}, MatrixSink{h, l.rank, false, nullptr});
  gemm<Exact>(run, T, out, l.rank, ScaledRows{h, l.rank, l.scale}, TransposedMatrix{l.b, l.rank}, MatrixSink{y, out, true, nullptr});
}

void lora_backward(const Run& run, const float* dy, const float* x, const float* h, const Lora& l, int64_t in, int64_t out,
                   float* dx, int64_t T) {
  const size_t mark = run.scratch->mark();
  auto* dh = static_cast<float*>(run.scratch->take(T * l.rank * sizeof(float)));  // [T, r]: gradient of h, without the scale
  gemm<Exact>(run, T, l.rank, out, MatrixRows{dy, out}, PlainMatrix{l.b, l.rank}, MatrixSink{dh, l.rank, false, nullptr});
  // grad_bᵀ[r, out] += scale · hᵀ dy ; grad_a[r, in] += scale · dhᵀ drop(x): tokens are summed, widths shared out
  if (l.grad_a != nullptr) {
    gemm<Exact>(run, l.rank, out, T, ScaledColumns{h, l.rank, l.scale}, PlainMatrix{dy, out}, TransposedSink{l.grad_b, l.rank});
    gemm<Exact>(run, l.rank, in, T, ScaledColumns{dh, l.rank, l.scale}, DroppedMatrix{{x, l, in}},
                MatrixSink{l.grad_a, in, true, nullptr});
  }
  // dx += mask · (scale · dh) A
  const ScaledRows scaled{dh, l.rank, l.scale};
  if (l.dropout > 0) {
    gemm<Exact>(run, T, in, l.rank, scaled, PlainMatrix{l.a, in}, DroppedSink{dx, l, in});
  } else {
    gemm<Exact>(run, T, in, l.rank, scaled, PlainMatrix{l.a, in}, MatrixSink{dx, in, true, nullptr});
  }
  run.scratch->release(mark);
}

}  // namespace lr::LR_ISA
