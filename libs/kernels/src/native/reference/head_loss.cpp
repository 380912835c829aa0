#include <algorithm>
#include <cmath>
#include <vector>

#include "reference.h"

namespace lr::reference {

// One token at a time, so the chunk size plays no part here. ∂loss/∂logits = softmax(logits) - (1 - ε) · onehot(target) - ε / vocab,
// and where the logits were capped, l = cap · tanh(raw / cap): ∂l/∂raw = 1 - (l / cap)².
void head_loss(const Run& run, const float* hidden, const Weight& head, const int32_t* targets, const float* grad_scale,
               const float* smoothing, int64_t, float cap, float* loss, uint8_t* correct, float* dhidden, int64_t T) {
  const int64_t vocab = head.rows, d = head.cols;
  Weight rounded = head;  // the head as operands, in float
  std::vector<float> weight(vocab * d), logits(vocab);
  for (int64_t i = 0; i < vocab * d; ++i) weight[i] = static_cast<float>(operand(run, element(head, i / d, i % d)));
  rounded.storage = Storage::F32;
  rounded.data = weight.data();

  for (int64_t t = 0; t < T; ++t) {
    loss[t] = 0;
    correct[t] = 0;
    if (dhidden != nullptr) std::fill_n(dhidden + t * d, d, 0.0f);
    if (targets[t] < 0) continue;
    linear_forward(run, hidden + t * d, rounded, nullptr, {}, logits.data(), 1);
    if (cap > 0) softcap(run, logits.data(), cap, vocab);
    const auto largest = std::max_element(logits.begin(), logits.end());  // the first of equals
    double total = 0;
    for (const float logit : logits) total += std::exp(double{logit} - *largest);
    const double lse = *largest + std::log(total);
    const double epsilon = smoothing == nullptr ? 0 : smoothing[t];
    double sum = 0;
    for (const float logit : logits) sum += logit;
    loss[t] = static_cast<float>(lse - (1 - epsilon) * logits[targets[t]] - epsilon * sum / static_cast<double>(vocab));
    correct[t] = largest - logits.begin() == targets[t];
    if (dhidden == nullptr) continue;
    for (int64_t i = 0; i < vocab; ++i) {
      const double slope = cap > 0 ? 1 - std::pow(logits[i] / cap, 2) : 1;
      const double wanted = (i == targets[t] ? 1 - epsilon : 0) + epsilon / static_cast<double>(vocab);
      logits[i] = static_cast<float>(grad_scale[t] * (std::exp(logits[i] - lse) - wanted) * slope);
    }
    linear_backward(run, logits.data(), rounded, {}, dhidden + t * d, 1, false);
  }
}

}  // namespace lr::reference
