#include <algorithm>
#include <cmath>
#include <vector>

#include "reference.h"

namespace lr::reference {
namespace {

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{a[i]} * b[i];
  return sum;
}

// One query q[D] over `keys` rows of k and v, `stride` floats apart: o[D], and the log-sum-exp of its scaled scores.
double attend(const float* q, const float* k, const float* v, int64_t keys, int64_t stride, float scale, float* o, int64_t D) {
  std::vector<double> scores(keys), sums(D);
  for (int64_t j = 0; j < keys; ++j) scores[j] = dot(q, k + j * stride, D) * scale;
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (int64_t j = 0; j < keys; ++j) {
    const double weight = std::exp(scores[j] - largest);
    total += weight;
    for (int64_t i = 0; i < D; ++i) sums[i] += weight * v[j * stride + i];
  }
  for (int64_t i = 0; i < D; ++i) o[i] = static_cast<float>(sums[i] / total);
  return largest + std::log(total);
}

}  // namespace

void attention_forward(const Run&, const float* q, const float* k, const float* v, const int32_t* starts, int64_t n_sequences,
                       float scale, float* o, float* lse, int64_t Hq, int64_t Hkv, int64_t D) {
  for (int64_t s = 0; s < n_sequences; ++s)
    for (int64_t t = starts[s]; t < starts[s + 1]; ++t)
      for (int64_t head = 0; head < Hq; ++head) {
        const int64_t first = (starts[s] * Hkv + head / (Hq / Hkv)) * D;  // key 0 of the sequence, this head
        const int64_t row = t * Hq + head;
        lse[row] = static_cast<float>(
            attend(q + row * D, k + first, v + first, t - starts[s] + 1, Hkv * D, scale, o + row * D, D));
      }
}

// With p the probabilities and delta = dout · o: dv += p · dout, ds = p · (dout · v - delta), dq += ds · k, dk += ds · q.
void attention_backward(const Run&, const float* dout, const float* q, const float* k, const float* v, const float* o,
                        const float* lse, const int32_t* starts, int64_t n_sequences, float scale, float* dq, float* dk,
                        float* dv, int64_t Hq, int64_t Hkv, int64_t D) {
  const int64_t T = starts[n_sequences];
  std::vector<double> sum_q(T * Hq * D), sum_k(T * Hkv * D), sum_v(T * Hkv * D);
  for (int64_t s = 0; s < n_sequences; ++s)
    for (int64_t t = starts[s]; t < starts[s + 1]; ++t)
      for (int64_t head = 0; head < Hq; ++head) {
        const int64_t row = (t * Hq + head) * D;
        const double delta = dot(dout + row, o + row, D);
        for (int64_t j = starts[s]; j <= t; ++j) {
          const int64_t key = (j * Hkv + head / (Hq / Hkv)) * D;
          const double p = std::exp(dot(q + row, k + key, D) * scale - lse[t * Hq + head]);
          const double ds = p * (dot(dout + row, v + key, D) - delta) * scale;
          for (int64_t i = 0; i < D; ++i) {
            sum_v[key + i] += p * dout[row + i];
            sum_q[row + i] += ds * k[key + i];
            sum_k[key + i] += ds * q[row + i];
          }
        }
      }
  std::copy(sum_q.begin(), sum_q.end(), dq);
  std::copy(sum_k.begin(), sum_k.end(), dk);
  std::copy(sum_v.begin(), sum_v.end(), dv);
}

void attention_cached(const Run&, const float* q, const float* k, const float* v, int64_t past, int64_t n, float scale,
                      float* o, int64_t Hq, int64_t Hkv, int64_t D) {
  for (int64_t t = 0; t < n; ++t)
    for (int64_t head = 0; head < Hq; ++head) {
      const int64_t first = head / (Hq / Hkv) * D, row = (t * Hq + head) * D;
      attend(q + row, k + first, v + first, past + t + 1, Hkv * D, scale, o + row, D);
    }
}

}  // namespace lr::reference
