// What DoRA (Liu et al. 2024) and adapters' biases add to a linear layer.
#include <cmath>

#include "reference.h"

namespace lr::reference {

void dropout(const Run&, const float* x, const Lora& l, int64_t in, float* out, int64_t T) {
  for (int64_t i = 0; i < T * in; ++i) out[i] = x[i] * dropout_factor(l, i);
}

void row_norms(const Run&, const Weight& w, const Lora& l, float* norm) {
  for (int64_t row = 0; row < w.rows; ++row) {
    double squares = 0;
    for (int64_t col = 0; col < w.cols; ++col) {
      double update = 0;
      for (int64_t r = 0; r < l.rank; ++r) update += double{element_of_b(l, row * l.rank + r)} * element_of_a(l, r * w.cols + col);
      const double value = element(w, row, col) + l.scale * update;
      squares += value * value;
    }
    norm[row] = static_cast<float>(std::sqrt(squares));
  }
}

void column_affine(const Run&, const float* x, const float* before, const float* factor, const float* after, float* y, int64_t T,
                   int64_t n) {
  for (int64_t t = 0; t < T; ++t)
    for (int64_t i = 0; i < n; ++i) {
      double value = x[t * n + i];
      if (before != nullptr) value -= before[i];
      if (factor != nullptr) value *= factor[i];
      if (after != nullptr) value += after[i];
      y[t * n + i] = static_cast<float>(value);
    }
}

void column_sums(const Run&, const float* a, const float* b, const float* factor, float* sums, int64_t T, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t t = 0; t < T; ++t) sum += b == nullptr ? a[t * n + i] : double{a[t * n + i]} * b[t * n + i];
    sums[i] = static_cast<float>(sums[i] + (factor == nullptr ? 1 : factor[i]) * sum);
  }
}

}  // namespace lr::reference
