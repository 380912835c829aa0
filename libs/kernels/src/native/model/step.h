// Steps over packed sequences: training (forward, loss, backward), evaluation, and plain logits.
#pragma once
#include <vector>

#include "cancel.h"
#include "layer.h"
#include "runtime.h"

namespace lr {

struct StepOptions {
  bool checkpoint_activations;
  int64_t loss_chunk;  // tokens; 0 = default
};

// See lr_train_step. The batch and groups have been validated; returns a loss per group. A group whose loss is not finite gets
// its adapter's gradients poisoned, so that its optimizer step refuses; the other groups are not affected.
std::vector<lr_loss> train_step(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups,
                                const StepOptions& options, const CancelFlag* cancel);
// See lr_eval_step.
std::vector<lr_loss> eval_step(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups,
                               const CancelFlag* cancel);
// See lr_sequence_logps: log-probability and number of targets of every sequence.
struct SequenceLogp {
  double sum;
  uint32_t tokens;
};
std::vector<SequenceLogp> sequence_logps(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups,
                                         const CancelFlag* cancel);
// See lr_preference_step; preferences [groups]. Everything has been validated.
std::vector<lr_preference_loss> preference_step(Runtime& runtime, Base& base, const lr_batch& batch,
                                                const std::vector<RowGroup>& groups, const lr_preference* preferences,
                                                const StepOptions& options, const CancelFlag* cancel);
// See lr_preference_eval.
std::vector<lr_preference_loss> preference_eval(Runtime& runtime, Base& base, const lr_batch& batch,
                                                const std::vector<RowGroup>& groups, const lr_preference* preferences,
                                                const CancelFlag* cancel);
// See lr_logits; logits [n_tokens, vocab].
void compute_logits(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups, float* logits);

}  // namespace lr
