// Choosing the next token from logits.
#pragma once
#include <cstdint>

#include "error.h"

namespace lr {

// Throws Error(LR_INVALID_ARGUMENT) that begins with `what`.
void check_sampling(const lr_sampling& sampling, int64_t vocab, const char* what);
// A token by settings that have been checked; the draw depends on seed and position alone. logits [vocab]. Throws
// Error(LR_NOT_FINITE), and Error(LR_INVALID_ARGUMENT) when no token is allowed.
int32_t sample_token(const float* logits, int64_t vocab, const lr_sampling& sampling);
// logprobs [1 + n_top]: of `token`, then of the most probable ones, whose ids go to top [n_top]; n_top ≤ vocab.
void log_probabilities(const float* logits, int64_t vocab, int32_t token, int64_t n_top, int32_t* top, float* logprobs);

}  // namespace lr
