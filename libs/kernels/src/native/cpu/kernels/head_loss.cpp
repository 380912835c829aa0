// Head, softmax and cross-entropy of the tokens that have a target, a chunk of logits at a time. The logits of a chunk become
// their own gradient in place, so nothing is computed twice and nothing is larger than [chunk, vocab].
#include <cmath>

#include "kernels.h"
#include "weights.h"

namespace lr::LR_ISA {
namespace {

// Σ (logits - highest): the part of a smoothed loss that sees the whole vocabulary. From the highest on, so that it cancels less.
float sum_below(const float* logits, int64_t vocab, float highest) {
  const int64_t whole = vocab / W * W;
  V sums = zero();
  for (int64_t i = 0; i < whole; i += W) sums = sums + (load(logits + i) - set(highest));
  float total = 0;
  for (int64_t i = whole; i < vocab; ++i) total += logits[i] - highest;
  return total + sum(sums);
}

// A capped logit l = cap · tanh(raw / cap), and ∂l/∂raw = 1 - (l / cap)².
template <bool capped>
inline V slope(V logit, V inverse_cap) {
  if constexpr (!capped) return set(1);
  const V share = logit * inverse_cap;
  return set(1) - share * share;
}

// logits[vocab] of one token: loss and arg-max. When backward, logits become the gradient times `factor`'s inverse, and factor is
// returned: ∂loss/∂logits = softmax - onehot(target) = (e - onehot(target) · total) / total, with e the exponentials, each times
// the slope of its cap. The product that reads them multiplies by it on the way. Smoothing moves ε of the target's share evenly over
// the vocabulary.
template <bool capped>
float cross_entropy(float* logits, int64_t vocab, int32_t target, float cap, float grad_scale, float smoothing, bool backward,
                    float* loss, uint8_t* correct) {
  const V limit = set(cap), inverse_cap = set(1 / cap);
  if constexpr (capped)
    for (int64_t i = 0; i < vocab; i += W) {
      const int64_t lanes = least(W, vocab - i);
      store_part(logits + i, limit * tanh(load_part(logits + i, lanes) / limit), lanes);
    }
  const int64_t whole = vocab / W * W;
  V top = set(-INFINITY);
  for (int64_t i = 0; i < whole; i += W) top = max(top, load(logits + i));
  float highest = largest(top);
  for (int64_t i = whole; i < vocab; ++i) highest = logits[i] > highest ? logits[i] : highest;
  int64_t first = 0;  // the lowest id with the highest logit
  while (first < vocab && logits[first] != highest) ++first;
  *correct = first == target;

  const float wanted = logits[target];
  const float shared = smoothing > 0 ? sum_below(logits, vocab, highest) : 0;
  // Smoothed and capped, the gradient waits for the total with the logits in place.
  const bool now = backward && !(capped && smoothing > 0);
  V sums = zero();
  float total = 0;
  for (int64_t i = 0; i < whole; i += W) {
    const V logit = load(logits + i), e = exp(logit - set(highest));
    if (now) store(logits + i, e * slope<capped>(logit, inverse_cap));
    sums = sums + e;
  }
  for (int64_t i = whole; i < vocab; ++i) {
    const float e = std::exp(logits[i] - highest);
    if (now) logits[i] = e * (capped ? 1 - logits[i] / cap * (logits[i] / cap) : 1);
    total += e;
  }
  total += sum(sums);
  *loss = std::log(total) + highest - wanted;
  if (smoothing > 0) *loss += smoothing * (wanted - highest - shared / static_cast<float>(vocab));
  if (!backward) return grad_scale / total;
  if (smoothing > 0) {
    const float part = total * smoothing / static_cast<float>(vocab);
    for (int64_t i = 0; i < vocab; i += W) {
      const int64_t lanes = least(W, vocab - i);
      const V value = load_part(logits + i, lanes);
      // Capped, the value is still the logit: its slope is wanted here too.
      const V e = capped ? exp(value - set(highest)) : value;
      store_part(logits + i, (e - set(part)) * slope<capped>(value, inverse_cap), lanes);
    }
  }
  logits[target] -= total * (1 - smoothing) * (capped ? 1 - wanted / cap * (wanted / cap) : 1);
  return grad_scale / total;
}

// The gradients of a chunk's logits as A.
struct GradientRows {
  const float *data, *factors;  // [chunk, vocab], [chunk]
  int64_t vocab;
  void row(int64_t m, int64_t k, int64_t n, float* out) const {
    for (int64_t i = 0; i < n; ++i) out[i] = data[m * vocab + k + i] * factors[m];
  }
};

template <class Operand>
void chunks(const Run& run, lr::Operand hidden, const Weight& head, const int32_t* targets, const float* grad_scale,
            const float* smoothing, int64_t chunk, float softcap, float* loss, uint8_t* correct, float* dhidden, int64_t T) {
  const auto one_token = softcap > 0 ? cross_entropy<true> : cross_entropy<false>;
  const int64_t vocab = head.rows, d = head.cols;
  const size_t mark = run.scratch->mark();
  auto* tokens = static_cast<int32_t*>(run.scratch->take(T * sizeof(int32_t)));  // those that have a target
  int64_t count = 0;
  for (int64_t t = 0; t < T; ++t) {
    if (targets[t] >= 0) {
      tokens[count++] = static_cast<int32_t>(t);
      continue;
    }
    loss[t] = 0;
    correct[t] = 0;
    if (dhidden != nullptr) std::memset(dhidden + t * d, 0, d * sizeof(float));
  }
  chunk = least(most(chunk, 1), count);
  auto* rows = static_cast<float*>(run.scratch->take(chunk * d * sizeof(float)));        // hidden, then dhidden, of the chunk
  auto* logits = static_cast<float*>(run.scratch->take(chunk * vocab * sizeof(float)));  // [chunk, vocab]
  auto* factors = static_cast<float*>(run.scratch->take(chunk * sizeof(float)));
  for (int64_t begin = 0; begin < count; begin += chunk) {
    const int64_t n = least(chunk, count - begin);
    const OperandRows all{hidden, d};
    for (int64_t i = 0; i < n; ++i) all.row(tokens[begin + i], 0, d, rows + i * d);
    gemm<Operand>(run, n, vocab, d, OperandRows{rows, d}, TransposedWeight(head), OperandSink{logits, vocab, false, nullptr});
    parallel(run, n, [&](int i, int) {
      const int32_t t = tokens[begin + i];
      factors[i] = one_token(logits + i * vocab, vocab, targets[t], softcap, grad_scale[t], smoothing == nullptr ? 0 : smoothing[t],
                             dhidden != nullptr, loss + t, correct + t);
    });
    if (dhidden == nullptr) continue;
    gemm<Operand>(run, n, d, vocab, GradientRows{logits, factors, vocab}, PlainWeight(head), OperandSink{rows, d, false, nullptr});
    for (int64_t i = 0; i < n; ++i) std::memcpy(dhidden + tokens[begin + i] * d, rows + i * d, d * sizeof(float));
  }
  run.scratch->release(mark);
}

}  // namespace

void head_loss(const Run& run, Operand hidden, const Weight& head, const int32_t* targets, const float* grad_scale,
               const float* smoothing, int64_t chunk, float softcap, float* loss, uint8_t* correct, float* dhidden, int64_t T) {
  if (run.compute == Compute::BF16) {
    chunks<Bf16>(run, hidden, head, targets, grad_scale, smoothing, chunk, softcap, loss, correct, dhidden, T);
  } else {
    chunks<Exact>(run, hidden, head, targets, grad_scale, smoothing, chunk, softcap, loss, correct, dhidden, T);
  }
}

}  // namespace lr::LR_ISA
