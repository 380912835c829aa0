// Choosing the next token from logits.
#pragma once
#include <cstdint>

#include "error.h"

namespace lr {

// Greedy, or temperature, then top-k, then nucleus (Holtzman et al. 2020): the smallest set of most probable tokens whose
// probabilities reach top_p. The draw depends on seed and position alone. logits [vocab]. Throws Error(LR_NOT_FINITE).
int32_t sample_token(const float* logits, int64_t vocab, const lr_sampling& sampling, uint64_t position);

}  // namespace lr
