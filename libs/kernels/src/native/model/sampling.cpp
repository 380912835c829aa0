#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include "../ops.h"

namespace lr {
namespace {

// By falling logit, lower id first on a tie.
struct Before {
  const float* logits;
  bool operator()(int32_t a, int32_t b) const { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); }
};

// Sorts ids until their weights reach `mass` or `limit` ids are sorted; returns how many are kept. Sorting in growing pieces avoids
// ordering the whole vocabulary for the few tokens that carry the mass.
size_t sort_head(const float* logits, const std::vector<double>& weights, double mass, size_t limit, std::vector<int32_t>& ids) {
  double sum = 0;
  size_t sorted = 0;
  for (size_t piece = 64; sorted < limit; piece *= 8) {
    const size_t end = std::min(limit, sorted + piece);
    const auto at = [&ids](size_t i) { return ids.begin() + static_cast<std::ptrdiff_t>(i); };
    std::partial_sort(at(sorted), at(end), ids.end(), Before{logits});
    for (; sorted < end; ++sorted) {
      sum += weights[static_cast<size_t>(ids[sorted])];
      if (sum >= mass) return sorted + 1;
    }
  }
  return limit;
}

// Biases and penalties, in place.
void adjust(const lr_sampling& sampling, float* logits) {
  for (uint32_t i = 0; i < sampling.n_biases; ++i) logits[sampling.bias_tokens[i]] += sampling.biases[i];
  std::map<int32_t, uint32_t> generated;  // how often, of every token in history
  for (uint32_t i = 0; i < sampling.n_history; ++i) generated[sampling.history[i]] += i >= sampling.n_prompt;
  const float repetition = sampling.repetition_penalty == 0 ? 1 : sampling.repetition_penalty;
  for (const auto& [token, times] : generated) {
    float& logit = logits[token];
    logit = logit > 0 ? logit / repetition : logit * repetition;
    logit -= sampling.frequency_penalty * static_cast<float>(times) + (times > 0 ? sampling.presence_penalty : 0);
  }
}

bool allowed(const lr_sampling& sampling, size_t token) {
  return sampling.allowed == nullptr || (sampling.allowed[token / 32] >> (token % 32) & 1) != 0;
}

void check_finite(const float* logits, int64_t vocab) {
  if (!std::all_of(logits, logits + vocab, [](float x) { return std::isfinite(x); })) {
    fail(LR_NOT_FINITE, "the logits are not finite, so no token can be drawn");
  }
}

// A token of `ids`, by their weights.
int32_t draw(const lr_sampling& sampling, const std::vector<double>& weights, const std::vector<int32_t>& ids, size_t kept) {
  double mass = 0;
  for (size_t i = 0; i < kept; ++i) mass += weights[static_cast<size_t>(ids[i])];
  double left = static_cast<double>(philox_uniform(sampling.seed, sampling.position)) * mass;
  for (size_t i = 0; i + 1 < kept; ++i) {
    left -= weights[static_cast<size_t>(ids[i])];
    if (left < 0) return ids[i];
  }
  return ids[kept - 1];
}

}  // namespace

void check_sampling(const lr_sampling& s, int64_t vocab, const char* what) {
  const auto number = [](float value) { return static_cast<double>(value); };
  if (!(s.temperature >= 0 && std::isfinite(s.temperature))) {
    fail(LR_INVALID_ARGUMENT, "%stemperature %g is negative or not finite", what, number(s.temperature));
  }
  if (!(s.top_p > 0 && s.top_p <= 1)) fail(LR_INVALID_ARGUMENT, "%stop_p %g is not in (0, 1]", what, number(s.top_p));
  if (!(s.min_p >= 0 && s.min_p <= 1)) fail(LR_INVALID_ARGUMENT, "%smin_p %g is not in [0, 1]", what, number(s.min_p));
  if (!(s.repetition_penalty >= 0 && std::isfinite(s.repetition_penalty))) {
    fail(LR_INVALID_ARGUMENT, "%srepetition_penalty %g is negative or not finite", what, number(s.repetition_penalty));
  }
  if (!std::isfinite(s.presence_penalty) || !std::isfinite(s.frequency_penalty)) {
    fail(LR_INVALID_ARGUMENT, "%spresence_penalty or frequency_penalty is not finite", what);
  }
  if ((s.n_history > 0 && s.history == nullptr) || s.n_prompt > s.n_history) {
    fail(LR_INVALID_ARGUMENT, "%shistory of %u tokens, %u of them a prompt%s", what, s.n_history, s.n_prompt, s.history == nullptr ? ", is null" : "");
  }
  if (s.n_biases > 0 && (s.bias_tokens == nullptr || s.biases == nullptr)) {
    fail(LR_INVALID_ARGUMENT, "%sbias_tokens or biases is null", what);
  }
  const auto check_ids = [&](const int32_t* ids, uint32_t n, const char* name) {
    for (uint32_t i = 0; i < n; ++i) {
      if (ids[i] >= 0 && ids[i] < vocab) continue;
      fail(LR_INVALID_ARGUMENT, "%s%s[%u] is %d; the vocabulary has ids 0 to %lld", what, name, i, ids[i], static_cast<long long>(vocab - 1));
    }
  };
  check_ids(s.history, s.n_history, "history");
  check_ids(s.bias_tokens, s.n_biases, "bias_tokens");
  for (uint32_t i = 0; i < s.n_biases; ++i) {
    if (!std::isfinite(s.biases[i])) fail(LR_INVALID_ARGUMENT, "%sbiases[%u] is not finite", what, i);
  }
}

int32_t sample_token(const float* raw, int64_t vocab, const lr_sampling& sampling) {
  check_finite(raw, vocab);
  std::vector<float> logits(raw, raw + vocab);
  adjust(sampling, logits.data());
  std::vector<int32_t> ids;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (allowed(sampling, i)) ids.push_back(static_cast<int32_t>(i));
  }
  if (ids.empty()) fail(LR_INVALID_ARGUMENT, "no token is allowed");
  const int32_t best = *std::min_element(ids.begin(), ids.end(), Before{logits.data()});
  if (sampling.temperature == 0) return best;

  std::vector<double> weights(logits.size());  // exp((logit - highest) / temperature)
  const double top = logits[static_cast<size_t>(best)], temperature = sampling.temperature;
  for (const int32_t id : ids) weights[static_cast<size_t>(id)] = std::exp((static_cast<double>(logits[static_cast<size_t>(id)]) - top) / temperature);
  size_t kept = ids.size();
  if (sampling.top_k > 0 && sampling.top_k < kept) kept = sort_head(logits.data(), weights, INFINITY, sampling.top_k, ids);
  if (sampling.top_p < 1) {
    double mass = 0;
    for (size_t i = 0; i < kept; ++i) mass += weights[static_cast<size_t>(ids[i])];
    kept = sort_head(logits.data(), weights, static_cast<double>(sampling.top_p) * mass, kept, ids);
  }
  if (sampling.min_p > 0) {  // the best token has weight 1
    const auto end = ids.begin() + static_cast<std::ptrdiff_t>(kept);
    const auto likely = [&](int32_t id) { return weights[static_cast<size_t>(id)] >= static_cast<double>(sampling.min_p); };
    kept = static_cast<size_t>(std::stable_partition(ids.begin(), end, likely) - ids.begin());
  }
  return draw(sampling, weights, ids, kept);
}

void log_probabilities(const float* logits, int64_t vocab, int32_t token, int64_t n_top, int32_t* top, float* logprobs) {
  const double highest = *std::max_element(logits, logits + vocab);
  double total = 0;
  for (int64_t i = 0; i < vocab; ++i) total += std::exp(static_cast<double>(logits[i]) - highest);
  const double offset = highest + std::log(total);
  std::vector<int32_t> ids(static_cast<size_t>(vocab));
  std::iota(ids.begin(), ids.end(), 0);
  std::partial_sort(ids.begin(), ids.begin() + n_top, ids.end(), Before{logits});
  logprobs[0] = static_cast<float>(static_cast<double>(logits[token]) - offset);
  for (int64_t i = 0; i < n_top; ++i) {
    top[i] = ids[static_cast<size_t>(i)];
    logprobs[1 + i] = static_cast<float>(static_cast<double>(logits[top[i]]) - offset);
  }
}

}  // namespace lr
