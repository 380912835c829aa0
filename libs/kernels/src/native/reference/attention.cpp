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

// The scaled score of a query with a key, capped.
double score(const Attention& a, const float* q, const float* k) {
  const double scaled = dot(q, k, a.D) * a.scale;
  return a.softcap > 0 ? a.softcap * std::tanh(scaled / a.softcap) : scaled;
}

// The first key that a query at `position` sees.
int64_t first_key(const Attention& a, int64_t position) {
  return a.window > 0 ? std::max<int64_t>(position + 1 - a.window, 0) : 0;
}

// One query q[D] at `position` over the rows of k and v that it sees, key i of them lying `at(i)` elements from their beginning: o[D],
// and the log-sum-exp of its scores.
template <class At>
double attend(const Attention& a, const float* q, const float* k, const float* v, const At& at, int64_t position, float* o) {
  const int64_t first = first_key(a, position), keys = position + 1 - first;
  std::vector<double> scores(keys), sums(a.D);
  for (int64_t j = 0; j < keys; ++j) scores[j] = score(a, q, k + at(first + j));
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (int64_t j = 0; j < keys; ++j) {
    const double weight = std::exp(scores[j] - largest);
    total += weight;
    for (int64_t i = 0; i < a.D; ++i) sums[i] += weight * v[at(first + j) + i];
  }
  for (int64_t i = 0; i < a.D; ++i) o[i] = static_cast<float>(sums[i] / total);
  return largest + std::log(total);
}

}  // namespace

void attention_forward(const Run&, const Attention& a, const float* q, const float* k, const float* v, const int32_t* starts,
                       int64_t n_sequences, float* o, float* lse) {
  for (int64_t s = 0; s < n_sequences; ++s)
    for (int64_t t = starts[s]; t < starts[s + 1]; ++t)
      for (int64_t head = 0; head < a.Hq; ++head) {
        const int64_t first = (starts[s] * a.Hkv + head / (a.Hq / a.Hkv)) * a.D;  // key 0 of the sequence, this head
        const int64_t row = t * a.Hq + head;
        const auto at = [&](int64_t key) { return key * a.Hkv * a.D; };
        lse[row] = static_cast<float>(attend(a, q + row * a.D, k + first, v + first, at, t - starts[s], o + row * a.D));
      }
}

// With p the probabilities and delta = dout · o: dv += p · dout, ds = p · (dout · v - delta), dq += ds · k, dk += ds · q. A capped
// score c = cap · tanh(s / cap) passes ds · (1 - (c / cap)²) on.
void attention_backward(const Run&, const Attention& a, const float* dout, const float* q, const float* k, const float* v,
                        const float* o, const float* lse, const int32_t* starts, int64_t n_sequences, float* dq, float* dk,
                        float* dv) {
  const int64_t T = starts[n_sequences], D = a.D;
  std::vector<double> sum_q(T * a.Hq * D), sum_k(T * a.Hkv * D), sum_v(T * a.Hkv * D);
  for (int64_t s = 0; s < n_sequences; ++s)
    for (int64_t t = starts[s]; t < starts[s + 1]; ++t)
      for (int64_t head = 0; head < a.Hq; ++head) {
        const int64_t row = (t * a.Hq + head) * D;
        const double delta = dot(dout + row, o + row, D);
        for (int64_t j = starts[s] + first_key(a, t - starts[s]); j <= t; ++j) {
          const int64_t key = (j * a.Hkv + head / (a.Hq / a.Hkv)) * D;
          const double c = score(a, q + row, k + key);
          const double slope = a.softcap > 0 ? 1 - (c / a.softcap) * (c / a.softcap) : 1;
          const double p = std::exp(c - lse[t * a.Hq + head]);
          const double ds = p * (dot(dout + row, v + key, D) - delta) * slope * a.scale;
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

void attention_cached(const Run&, const Attention& a, const float* q, const PagedKeys& cache, const PagedSequence* sequences,
                      const int32_t* starts, int64_t n_sequences, float* o) {
  for (int64_t s = 0; s < n_sequences; ++s) {
    const PagedSequence& sequence = sequences[s];
    for (int64_t t = starts[s]; t < starts[s + 1]; ++t)
      for (int64_t head = 0; head < a.Hq; ++head) {
        const auto at = [&](int64_t key) {
          const int64_t row = sequence.pages[key / cache.page_tokens] * cache.page_tokens + key % cache.page_tokens;
          return (row * a.Hkv + head / (a.Hq / a.Hkv)) * a.D;
        };
        const int64_t row = (t * a.Hq + head) * a.D;
        attend(a, q + row, cache.k, cache.v, at, sequence.past + t - starts[s], o + row);
      }
  }
}

}  // namespace lr::reference
