#include <cmath>

#include "reference.h"

namespace lr::reference {
namespace {

// √(2/π) and the cubic term of GELU's tanh form.
constexpr double kRoot = 0.7978845608028654, kCubic = 0.044715;

struct Value {
  double value, slope;
};

// silu(x) = x · σ(x). GELU's ½ · x · (1 + tanh u) is x · σ(2u), with u = √(2/π) · (x + 0.044715 x³). Both are x · σ(z), so
// their slope is σ(z) + x · σ(z) · (1 - σ(z)) · z'.
Value activate(Activation activation, double x) {
  const bool silu = activation == Activation::Silu;
  const double z = silu ? x : 2 * kRoot * (x + kCubic * x * x * x);
  const double dz = silu ? 1 : 2 * kRoot * (1 + 3 * kCubic * x * x);
  const double s = 1 / (1 + std::exp(-z));
  return {x * s, s + x * s * (1 - s) * dz};
}

}  // namespace

void gated_forward(const Run&, Activation activation, const float* gate, const float* up, float* out, int64_t T, int64_t n) {
  for (int64_t i = 0; i < T * n; ++i) out[i] = static_cast<float>(activate(activation, gate[i]).value * up[i]);
}

void gated_backward(const Run&, Activation activation, const float* dout, const float* gate, const float* up, float* dgate,
                    float* dup, int64_t T, int64_t n) {
  for (int64_t i = 0; i < T * n; ++i) {
    const Value g = activate(activation, gate[i]);
    const double u = up[i];
    dgate[i] = static_cast<float>(dout[i] * u * g.slope);
    dup[i] = static_cast<float>(dout[i] * g.value);
  }
}

}  // namespace lr::reference
