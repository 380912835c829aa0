#include <algorithm>
#include <cmath>

#include "../model/step.h"
#include "checks.h"

using namespace lr;

namespace {

lr_context* context_of(const lr_base* base) { return base == nullptr ? nullptr : base->context; }

// Checks a batch against the vocabulary and positions of the base.
void check_batch(const Base& base, const lr_batch* batch, bool needs_targets) {
  require(batch, "batch");
  require(batch->tokens, "batch.tokens");
  require(batch->starts, "batch.starts");
  if (needs_targets) require(batch->targets, "batch.targets");
  const ModelConfig& c = base.config();
  check_starts(batch->starts, batch->n_tokens, batch->n_sequences);
  for (uint32_t s = 0; s < batch->n_sequences; ++s) {
    const int64_t length = int64_t{batch->starts[s + 1]} - batch->starts[s];
    if (length > c.max_positions) {
      fail(LR_INVALID_ARGUMENT, "sequence %u has %lld tokens; the model has %lld positions", s, static_cast<long long>(length),
           static_cast<long long>(c.max_positions));
    }
  }
  check_tokens(batch->tokens, batch->n_tokens, "tokens", 0, c.vocab);
  if (needs_targets) check_tokens(batch->targets, batch->n_tokens, "targets", -100, c.vocab);
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
    const std::vector<RowGroup> groups = check_rows(base, batch->starts, batch->n_sequences, rows, n_rows);
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
    const std::vector<RowGroup> groups = check_rows(base, batch->starts, batch->n_sequences, rows, n_rows);
    const std::vector<lr_loss> result = eval_step(runtime, base->base, *batch, groups, flag_of(cancel));
    std::copy(result.begin(), result.end(), losses);
  });
}

lr_status lr_sequence_logps(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows, lr_cancel* cancel,
                            double* logps, uint32_t* counts) {
  return guarded_turn(context_of(base), [&](Runtime& runtime) {
    require(logps, "logps");
    check_batch(base->base, batch, true);
    const std::vector<RowGroup> groups = check_rows(base, batch->starts, batch->n_sequences, rows, n_rows);
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
    const std::vector<RowGroup> groups = check_rows(base, batch->starts, batch->n_sequences, rows, n_rows);
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
    const std::vector<RowGroup> groups = check_rows(base, batch->starts, batch->n_sequences, rows, n_rows);
    check_pairs(*batch, groups, preferences);
    const auto result = preference_eval(runtime, base->base, *batch, groups, preferences, flag_of(cancel));
    std::copy(result.begin(), result.end(), losses);
  });
}

lr_status lr_logits(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows, float* logits) {
  return guarded_turn(context_of(base), [&](Runtime& runtime) {
    require(logits, "logits");
    check_batch(base->base, batch, false);
    compute_logits(runtime, base->base, *batch, check_rows(base, batch->starts, batch->n_sequences, rows, n_rows), logits);
  });
}

}  // extern "C"
