#include <cmath>

#include "reference.h"

namespace lr::reference {
namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

void swiglu_forward(const Run&, const float* gate, const float* up, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(gate[i] * sigmoid(gate[i]) * up[i]);
}

// silu'(g) = σ(g) · (1 + g · (1 - σ(g)))
void swiglu_backward(const Run&, const float* dout, const float* gate, const float* up, float* dgate, float* dup, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double s = sigmoid(gate[i]), g = gate[i], u = up[i];
    dgate[i] = static_cast<float>(dout[i] * u * s * (1 + g * (1 - s)));
    dup[i] = static_cast<float>(dout[i] * g * s);
  }
}

}  // namespace lr::reference
