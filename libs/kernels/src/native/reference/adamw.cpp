#include <cmath>

#include "reference.h"

namespace lr::reference {

// Loshchilov & Hutter 2019, algorithm 2, in the order of torch.optim.AdamW: decay first, epsilon after the correction.
void adamw(const Run&, float* w, const float* g, float* m, float* v, int64_t n, float grad_factor, float lr, float beta1,
           float beta2, float epsilon, float weight_decay, float correction1, float correction2) {
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] * grad_factor;
    m[i] = beta1 * m[i] + (1 - beta1) * gradient;
    v[i] = beta2 * v[i] + (1 - beta2) * gradient * gradient;
    const float denominator = std::sqrt(v[i]) / std::sqrt(correction2) + epsilon;
    w[i] = w[i] * (1 - lr * weight_decay) - lr / correction1 * m[i] / denominator;
  }
}

}  // namespace lr::reference
