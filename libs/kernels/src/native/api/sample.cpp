#include <cstdio>

#include "../model/sampling.h"
#include "../pool.h"
#include "handles.h"

using namespace lr;

extern "C" {

lr_status lr_sample(lr_context* context, const float* logits, uint32_t vocab, const lr_sampling* sampling, uint32_t n, int32_t* tokens,
                    uint32_t n_top, int32_t* top_tokens, float* logprobs) {
  return guarded_turn(context, [&](Runtime& runtime) {
    require(logits, "logits");
    require(sampling, "sampling");
    require(tokens, "tokens");
    if (n == 0 || vocab == 0 || vocab > INT32_MAX) fail(LR_INVALID_ARGUMENT, "%u rows of %u logits", n, vocab);
    if (n_top > vocab) fail(LR_INVALID_ARGUMENT, "n_top is %u; the vocabulary has %u tokens", n_top, vocab);
    if (n_top > 0) {
      require(top_tokens, "top_tokens");
      require(logprobs, "logprobs");
    }
    for (uint32_t i = 0; i < n; ++i) {
      char what[32];
      std::snprintf(what, sizeof what, "sampling[%u]: ", i);
      check_sampling(sampling[i], vocab, what);
    }
    parallel(runtime.host().run, n, [&](int task, int) {
      const auto i = static_cast<size_t>(task);
      const float* row = logits + i * vocab;
      tokens[i] = sample_token(row, vocab, sampling[i]);
      if (logprobs != nullptr) log_probabilities(row, vocab, tokens[i], n_top, n_top == 0 ? nullptr : top_tokens + i * n_top, logprobs + i * (1 + n_top));
    });
  });
}

}  // extern "C"
