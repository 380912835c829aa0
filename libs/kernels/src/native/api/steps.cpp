#include <algorithm>
#include <cmath>

#include "../model/step.h"
#include "handles.h"

using namespace lr;

namespace {

constexpr uint32_t kMaxTokens = 1u << 24;

void check_tokens(const int32_t* tokens, uint32_t n, const char* name, int32_t lowest, int64_t vocab) {
  for (uint32_t t = 0; t < n; ++t) {
    // -100 marks a token without a target; any other id has to be in the vocabulary.
    if ((tokens[t] < 0 && tokens[t] != lowest) || tokens[t] >= vocab) {
      fail(LR_INVALID_ARGUMENT, "%s[%u] is %d; the vocabulary has ids 0 to %lld", name, t, tokens[t],
           static_cast<long long>(vocab - 1));
    }
  }
}

lr_context* context_of(const lr_base* base) { return base == nullptr ? nullptr : base->context; }

// Checks a batch against the vocabulary and positions of the base.
void check_batch(const Base& base, const lr_batch* batch, bool needs_targets) {
  require(batch, "batch");
  require(batch->tokens, "batch.tokens");
  require(batch->starts, "batch.starts");
  if (needs_targets) require(batch->targets, "batch.targets");
  const ModelConfig& c = base.config();
  if (batch->n_tokens == 0 || batch->n_tokens > kMaxTokens || batch->n_sequences == 0 || batch->n_sequences > batch->n_tokens) {
    fail(LR_INVALID_ARGUMENT, "a batch of %u tokens in %u sequences", batch->n_tokens, batch->n_sequences);
  }
  if (batch->starts[0] != 0 || batch->starts[batch->n_sequences] != static_cast<int32_t>(batch->n_tokens)) {
    fail(LR_INVALID_ARGUMENT, "starts has to begin with 0 and end with the %u tokens of the batch", batch->n_tokens);
  }
  for (uint32_t s = 0; s < batch->n_sequences; ++s) {
    const int64_t length = int64_t{batch->starts[s + 1]} - batch->starts[s];
    if (length < 1) fail(LR_INVALID_ARGUMENT, "starts[%u] does not come after starts[%u]", s + 1, s);
    if (length > c.max_positions) {
      fail(LR_INVALID_ARGUMENT, "sequence %u has %lld tokens; the model has %lld positions", s, static_cast<long long>(length),
           static_cast<long long>(c.max_positions));
    }
  }
  check_tokens(batch->tokens, batch->n_tokens, "tokens", 0, c.vocab);
  if (needs_targets) check_tokens(batch->targets, batch->n_tokens, "targets", -100, c.vocab);
}

// Every token has to be in exactly one entry of rows.
std::vector<RowGroup> check_rows(const lr_base* base, const lr_batch& batch, const lr_rows* rows, uint32_t n_rows) {
  if (n_rows == 0) fail(LR_INVALID_ARGUMENT, "no rows: say which adapter, or none, the tokens go through");
  require(rows, "rows");
  const int32_t* ends = batch.starts + batch.n_sequences + 1;
  std::vector<RowGroup> groups;
  std::vector<std::pair<uint32_t, uint32_t>> spans;
  for (uint32_t i = 0; i < n_rows; ++i) {
    const lr_rows& r = rows[i];
    if (r.begin >= r.end || r.end > batch.n_tokens) {
      fail(LR_INVALID_ARGUMENT, "rows[%u] covers tokens %u to %u of %u", i, r.begin, r.end, batch.n_tokens);
    }
    for (const uint32_t at : {r.begin, r.end}) {
      if (!std::binary_search(batch.starts, ends, static_cast<int32_t>(at))) {
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
  if (covered != batch.n_tokens) fail(LR_INVALID_ARGUMENT, "token %u is in no entry of rows", covered);
  return groups;
}

void check_preference(const lr_preference& p, uint32_t entry) {
  if (p.objective != LR_DPO && p.objective != LR_ORPO) {
    fail(LR_INVALID_ARGUMENT, "objective of preferences[%u] is %u; there are LR_DPO (0) and LR_ORPO (1)", entry, p.objective);
  }
  const bool dpo = p.objective == LR_DPO;
  if (!std::isfinite(p.beta) || p.beta < 0 || (dpo && p.beta == 0)) {
    fail(LR_INVALID_ARGUMENT, "beta of preferences[%u] is %g; it has to be %s", entry, static_cast<double>(p.beta),
         dpo ? "above 0" : "at least 0");
  }
  if (dpo ? !(p.label_smoothing >= 0 && p.label_smoothing < 0.5f) : p.label_smoothing != 0) {
    fail(LR_INVALID_ARGUMENT, "label_smoothing of preferences[%u] is %g; it has to be %s", entry,
         static_cast<double>(p.label_smoothing), dpo ? "at least 0 and below 0.5" : "0 with ORPO");
  }
  if (dpo) require(p.reference, "reference of a DPO preference");
}

// Within each entry of rows: pairs of sequences, each with a target, and a reference for each that is a number.
void check_pairs(const lr_batch& batch, const std::vector<RowGroup>& groups, const lr_preference* preferences) {
  require(preferences, "preferences");
  for (uint32_t i = 0; i < groups.size(); ++i) {
    check_preference(preferences[i], i);
    if (groups[i].label_smoothing != 0) {
      fail(LR_INVALID_ARGUMENT, "label_smoothing of rows[%u] smooths a token's loss; a preference has its own", i);
    }
    const int32_t* starts = batch.starts;
    const int64_t first = std::lower_bound(starts, starts + batch.n_sequences, static_cast<int32_t>(groups[i].begin)) - starts;
    int64_t s = first;
    for (; starts[s] < groups[i].end; ++s) {
      const int32_t *begin = batch.targets + starts[s], *end = batch.targets + starts[s + 1];
      if (std::all_of(begin, end, [](int32_t target) { return target < 0; })) {
        fail(LR_INVALID_ARGUMENT, "sequence %lld has no target; each of a pair needs one", static_cast<long long>(s));
      }
      if (preferences[i].objective == LR_DPO && !std::isfinite(preferences[i].reference[s - first])) {
        fail(LR_INVALID_ARGUMENT, "reference[%lld] of preferences[%u] is not finite", static_cast<long long>(s - first), i);
      }
    }
    if ((s - first) % 2 != 0) {
      fail(LR_INVALID_ARGUMENT, "rows[%u] has %lld sequences; a preference needs pairs, chosen then rejected", i,
           static_cast<long long>(s - first));
    }
  }
}

}  // namespace

extern "C" {

lr_status lr_train_step(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows,
                        const lr_step_options* options, lr_cancel* cancel, lr_loss* losses) {
  return guarded_turn(context_of(base), [&](Runtime& runtime) {
    require(options, "options");
    require(losses, "losses");
    check_batch(base->base, batch, true);
    const std::vector<RowGroup> groups = check_rows(base, *batch, rows, n_rows);
    const StepOptions step = {options->checkpoint_activations != 0, options->loss_chunk};
    const std::vector<lr_loss> result = train_step(runtime, base->base, *batch, groups, step, flag_of(cancel));
    std::copy(result.begin(), result.end(), losses);
  });
}

lr_status lr_eval_step(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows, lr_cancel* cancel,
                       lr_loss* losses) {
  return guarded_turn(context_of(base), [&](Runtime& runtime) {
    require(losses, "losses");
    check_batch(base->base, batch, true);
    const std::vector<RowGroup> groups = check_rows(base, *batch, rows, n_rows);
    const std::vector<lr_loss> result = eval_step(runtime, base->base, *batch, groups, flag_of(cancel));
    std::copy(result.begin(), result.end(), losses);
  });
}

lr_status lr_sequence_logps(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows, lr_cancel* cancel,
                            double* logps, uint32_t* counts) {
  return guarded_turn(context_of(base), [&](Runtime& runtime) {
    require(logps, "logps");
    check_batch(base->base, batch, true);
    const std::vector<RowGroup> groups = check_rows(base, *batch, rows, n_rows);
    const std::vector<SequenceLogp> result = sequence_logps(runtime, base->base, *batch, groups, flag_of(cancel));
    for (size_t s = 0; s < result.size(); ++s) {
      logps[s] = result[s].sum;
      if (counts != nullptr) counts[s] = result[s].tokens;
    }
  });
}

lr_status lr_preference_step(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows,
                             const lr_preference* preferences, const lr_step_options* options, lr_cancel* cancel,
                             lr_preference_loss* losses) {
  return guarded_turn(context_of(base), [&](Runtime& runtime) {
    require(options, "options");
    require(losses, "losses");
    check_batch(base->base, batch, true);
    const std::vector<RowGroup> groups = check_rows(base, *batch, rows, n_rows);
    check_pairs(*batch, groups, preferences);
    const StepOptions step = {options->checkpoint_activations != 0, options->loss_chunk};
    const auto result = preference_step(runtime, base->base, *batch, groups, preferences, step, flag_of(cancel));
    std::copy(result.begin(), result.end(), losses);
  });
}

lr_status lr_preference_eval(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows,
                             const lr_preference* preferences, lr_cancel* cancel, lr_preference_loss* losses) {
  return guarded_turn(context_of(base), [&](Runtime& runtime) {
    require(losses, "losses");
    check_batch(base->base, batch, true);
    const std::vector<RowGroup> groups = check_rows(base, *batch, rows, n_rows);
    check_pairs(*batch, groups, preferences);
    const auto result = preference_eval(runtime, base->base, *batch, groups, preferences, flag_of(cancel));
    std::copy(result.begin(), result.end(), losses);
  });
}

lr_status lr_logits(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows, float* logits) {
  return guarded_turn(context_of(base), [&](Runtime& runtime) {
    require(logits, "logits");
    check_batch(base->base, batch, false);
    compute_logits(runtime, base->base, *batch, check_rows(base, *batch, rows, n_rows), logits);
  });
}

}  // extern "C"
