#include <cmath>

#include "reference.h"

namespace lr::reference {

// Loshchilov & Hutter 2019, algorithm 2, in the order of torch.optim.AdamW: decay first, epsilon after the correction.
void adamw(const Run&, std::span<const AdamwTensor> tensors) {
  for (const auto& [w, g, m, v, n, s] : tensors) {
    for (int64_t i = 0; i < n; ++i) {
      const float gradient = g[i] * s.grad_factor;
      m[i] = s.beta1 * m[i] + (1 - s.beta1) * gradient;
      v[i] = s.beta2 * v[i] + (1 - s.beta2) * gradient * gradient;
      const float denominator = std::sqrt(v[i]) / std::sqrt(s.correction2) + s.epsilon;
      w[i] = w[i] * (1 - s.lr * s.weight_decay) - s.lr / s.correction1 * m[i] / denominator;
    }
  }
}

}  // namespace lr::reference
