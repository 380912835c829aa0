#include "checks.h"

#include <algorithm>
#include <cmath>

namespace lr {
namespace {

constexpr uint32_t kMaxTokens = 1u << 24;

}  // namespace

void check_starts(const int32_t* starts, uint32_t n_tokens, uint32_t n_sequences) {
  if (n_tokens == 0 || n_tokens > kMaxTokens || n_sequences == 0 || n_sequences > n_tokens) {
    fail(LR_INVALID_ARGUMENT, "a batch of %u tokens in %u sequences", n_tokens, n_sequences);
  }
  if (starts[0] != 0 || starts[n_sequences] != static_cast<int32_t>(n_tokens)) {
    fail(LR_INVALID_ARGUMENT, "starts has to begin with 0 and end with the %u tokens of the batch", n_tokens);
  }
  for (uint32_t s = 0; s < n_sequences; ++s) {
    if (starts[s + 1] <= starts[s]) fail(LR_INVALID_ARGUMENT, "starts[%u] does not come after starts[%u]", s + 1, s);
  }
}

void check_tokens(const int32_t* tokens, uint32_t n, const char* name, int32_t lowest, int64_t vocab) {
  for (uint32_t t = 0; t < n; ++t) {
    // -100 marks a token without a target; any other id has to be in the vocabulary.
    if ((tokens[t] < 0 && tokens[t] != lowest) || tokens[t] >= vocab) {
      fail(LR_INVALID_ARGUMENT, "%s[%u] is %d; the vocabulary has ids 0 to %lld", name, t, tokens[t],
           static_cast<long long>(vocab - 1));
    }
  }
}

std::vector<RowGroup> check_rows(const lr_base* base, const int32_t* starts, uint32_t n_sequences, const lr_rows* rows, uint32_t n_rows) {
  if (n_rows == 0) fail(LR_INVALID_ARGUMENT, "no rows: say which adapter, or none, the tokens go through");
  require(rows, "rows");
  const int32_t* ends = starts + n_sequences + 1;
  const auto n_tokens = static_cast<uint32_t>(starts[n_sequences]);
  std::vector<RowGroup> groups;
  std::vector<std::pair<uint32_t, uint32_t>> spans;
  for (uint32_t i = 0; i < n_rows; ++i) {
    const lr_rows& r = rows[i];
    if (r.begin >= r.end || r.end > n_tokens) {
      fail(LR_INVALID_ARGUMENT, "rows[%u] covers tokens %u to %u of %u", i, r.begin, r.end, n_tokens);
    }
    for (const uint32_t at : {r.begin, r.end}) {
      if (!std::binary_search(starts, ends, static_cast<int32_t>(at))) {
        fail(LR_INVALID_ARGUMENT, "rows[%u] ends at token %u, where no sequence starts", i, at);
      }
    }
    if (r.adapter != nullptr && r.adapter->base != base) {
      fail(LR_INVALID_ARGUMENT, "the adapter of rows[%u] belongs to another base", i);
    }
    if (!std::isfinite(r.loss_scale)) fail(LR_INVALID_ARGUMENT, "loss_scale of rows[%u] is not finite", i);
    if (!(r.label_smoothing >= 0 && r.label_smoothing < 1)) {
      fail(LR_INVALID_ARGUMENT, "label_smoothing of rows[%u] is %g; it has to be at least 0 and below 1", i,
           static_cast<double>(r.label_smoothing));
    }
    if (!(r.neftune_alpha >= 0 && std::isfinite(r.neftune_alpha))) {
      fail(LR_INVALID_ARGUMENT, "neftune_alpha of rows[%u] is %g; it has to be at least 0", i, static_cast<double>(r.neftune_alpha));
    }
    groups.push_back({r.adapter == nullptr ? nullptr : &r.adapter->adapter, r.begin, r.end, r.loss_scale, r.dropout_seed,
                      r.label_smoothing, r.neftune_alpha});
    spans.emplace_back(r.begin, r.end);
  }
  std::sort(spans.begin(), spans.end());
  uint32_t covered = 0;
  for (const auto& [begin, end] : spans) {
    if (begin != covered) {
      fail(LR_INVALID_ARGUMENT, "token %u is in %s of rows", std::min(begin, covered),
           begin < covered ? "two entries" : "no entry");
    }
    covered = end;
  }
  if (covered != n_tokens) fail(LR_INVALID_ARGUMENT, "token %u is in no entry of rows", covered);
  return groups;
}

}  // namespace lr
