// Objectives over pairs of answers, as functions of the two answers' log-probabilities; see lr_objective.
#pragma once
#include <cstdint>

#include "error.h"

namespace lr {

// The tokens with a target of one sequence.
struct Answer {
  double nll = 0;       // Σ -log p
  int64_t tokens = 0;
  double reference = 0;  // Σ log p of the bare base (DPO)
};

struct PairLoss {
  double loss, chosen_reward, rejected_reward;
  double chosen_slope, rejected_slope;  // ∂loss/∂nll: the factor of every token's -log p in the gradient
};

PairLoss preference_loss(const lr_preference& preference, const Answer& chosen, const Answer& rejected);

}  // namespace lr
