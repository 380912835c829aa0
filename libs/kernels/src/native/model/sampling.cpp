#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "../ops.h"

namespace lr {
namespace {

// Sorts ids by falling logit, lower id first on a tie, until their weights reach `mass` or `limit` ids are sorted; returns how
// many are kept. Sorting in growing pieces avoids ordering the whole vocabulary for the few tokens that carry the mass.
size_t sort_head(const float* logits, const std::vector<double>& weights, double mass, size_t limit, std::vector<int32_t>& ids) {
  const auto before = [logits](int32_t a, int32_t b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); };
  double sum = 0;
  size_t sorted = 0;
  for (size_t piece = 64; sorted < limit; piece *= 8) {
    const size_t end = std::min(limit, sorted + piece);
    const auto at = [&ids](size_t i) { return ids.begin() + static_cast<std::ptrdiff_t>(i); };
    std::partial_sort(at(sorted), at(end), ids.end(), before);
    for (; sorted < end; ++sorted) {
      sum += weights[static_cast<size_t>(ids[sorted])];
      if (sum >= mass) return sorted + 1;
    }
  }
  return limit;
}

}  // namespace

int32_t sample_token(const float* logits, int64_t vocab, const lr_sampling& sampling, uint64_t position) {
  if (!std::all_of(logits, logits + vocab, [](float x) { return std::isfinite(x); })) {
    fail(LR_NOT_FINITE, "the logits are not finite, so no token can be drawn");
  }
  const float* highest = std::max_element(logits, logits + vocab);
  if (sampling.temperature == 0) return static_cast<int32_t>(highest - logits);

  const auto count = static_cast<size_t>(vocab);
  std::vector<double> weights(count);  // exp((logit - highest) / temperature)
  const double top = *highest, temperature = sampling.temperature;
  for (size_t i = 0; i < count; ++i) weights[i] = std::exp((static_cast<double>(logits[i]) - top) / temperature);
  std::vector<int32_t> ids(count);
  std::iota(ids.begin(), ids.end(), 0);
  size_t kept = count;
  if (sampling.top_k > 0 && sampling.top_k < count) kept = sort_head(logits, weights, INFINITY, sampling.top_k, ids);
  const auto mass = [&] {
    double sum = 0;
    for (size_t i = 0; i < kept; ++i) sum += weights[static_cast<size_t>(ids[i])];
    return sum;
  };
  if (sampling.top_p < 1) kept = sort_head(logits, weights, static_cast<double>(sampling.top_p) * mass(), kept, ids);

  double left = static_cast<double>(philox_uniform(sampling.seed, position)) * mass();
  for (size_t i = 0; i + 1 < kept; ++i) {
    left -= weights[static_cast<size_t>(ids[i])];
    if (left < 0) return ids[i];
  }
  return ids[kept - 1];
}

}  // namespace lr
