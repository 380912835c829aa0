#include <vector>

#include "reference.h"

namespace lr::reference {
namespace {

void hidden_of(const float* x, const Lora& l, int64_t in, float* h, int64_t T) {
  for (int64_t t = 0; t < T; ++t)
    for (int64_t r = 0; r < l.rank; ++r) {
      double sum = 0;
      for (int64_t i = 0; i < in; ++i) {
        const float dropped = x[t * in + i] * dropout_factor(l, t * in + i);
        sum += double{dropped} * element_of_a(l, r * in + i);
      }
      h[t * l.rank + r] = static_cast<float>(sum);
    }
}

void gradients_of(const float* dy, const float* x, const float* h, const Lora& l, int64_t in, int64_t out, float* dh, int64_t T) {
  std::vector<double> grad_a(l.rank * in), grad_b(out * l.rank);
  for (int64_t t = 0; t < T; ++t)
    for (int64_t r = 0; r < l.rank; ++r) {
      double sum = 0;
      for (int64_t o = 0; o < out; ++o) {
        sum += double{dy[t * out + o]} * l.b[o * l.rank + r];
        if (l.grad_b != nullptr) grad_b[o * l.rank + r] += double{dy[t * out + o]} * h[t * l.rank + r];
      }
      dh[t * l.rank + r] = static_cast<float>(sum);
      for (int64_t i = 0; i < in; ++i) grad_a[r * in + i] += sum * (x[t * in + i] * dropout_factor(l, t * in + i));
    }
  if (l.grad_a == nullptr) return;
  for (size_t i = 0; i < grad_a.size(); ++i) l.grad_a[i] = static_cast<float>(l.grad_a[i] + l.scale * grad_a[i]);
  for (size_t i = 0; i < grad_b.size(); ++i) l.grad_b[i] = static_cast<float>(l.grad_b[i] + l.scale * grad_b[i]);
}

}  // namespace

void lora_hidden(const Run&, const float* x, std::span<const LoraRows> pairs, int64_t in) {
  for (const LoraRows& rows : pairs) hidden_of(x + rows.begin * in, rows.pair, in, rows.hidden, rows.end - rows.begin);
}

void lora_output(const Run&, const float* h, const Lora& l, int64_t out, float* y, int64_t T) {
  for (int64_t t = 0; t < T; ++t)
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0;
      for (int64_t r = 0; r < l.rank; ++r) sum += double{h[t * l.rank + r]} * element_of_b(l, o * l.rank + r);
      y[t * out + o] = static_cast<float>(y[t * out + o] + l.scale * sum);
    }
}

void lora_gradients(const Run&, const float* dy, const float* x, std::span<const LoraRows> pairs, int64_t in, int64_t out) {
  for (const LoraRows& rows : pairs)
    gradients_of(dy + rows.begin * out, x + rows.begin * in, rows.hidden, rows.pair, in, out, rows.hidden_gradient,
                 rows.end - rows.begin);
}

void lora_input_gradient(const Run&, const float* dh, const Lora& l, int64_t in, float* dx, int64_t T) {
  for (int64_t t = 0; t < T; ++t)
    for (int64_t i = 0; i < in; ++i) {
      double sum = 0;
      for (int64_t r = 0; r < l.rank; ++r) sum += double{dh[t * l.rank + r]} * l.a[r * in + i];
      dx[t * in + i] = static_cast<float>(dx[t * in + i] + l.scale * sum * dropout_factor(l, t * in + i));
    }
}

}  // namespace lr::reference
