#include <cmath>

#include "reference.h"

namespace lr::reference {

void rmsnorm_forward(const Run&, const float* x, const float* w, float eps, float* y, float* rstd, int64_t T, int64_t d) {
  for (int64_t t = 0; t < T; ++t) {
    double squares = 0;
    for (int64_t i = 0; i < d; ++i) squares += double{x[t * d + i]} * x[t * d + i];
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(d) + eps);
    for (int64_t i = 0; i < d; ++i) y[t * d + i] = static_cast<float>(x[t * d + i] * inverse * w[i]);
    rstd[t] = static_cast<float>(inverse);
  }
}

// With n = x · rstd the normed row and g = dy · w its gradient: dx = rstd · (g - n · mean(g · n)).
void rmsnorm_backward(const Run&, const float* dy, const float* x, const float* w, const float* rstd, float* dx, int64_t T,
                      int64_t d) {
  for (int64_t t = 0; t < T; ++t) {
    const double inverse = rstd[t];
    double mean = 0;
    for (int64_t i = 0; i < d; ++i) mean += double{dy[t * d + i]} * w[i] * x[t * d + i] * inverse / static_cast<double>(d);
    for (int64_t i = 0; i < d; ++i) {
      const double gradient = inverse * (double{dy[t * d + i]} * w[i] - x[t * d + i] * inverse * mean);
      dx[t * d + i] = static_cast<float>(dx[t * d + i] + gradient);
    }
  }
}

}  // namespace lr::reference
