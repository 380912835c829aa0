// One sequence being generated: a cache of one page, its tokens, and the logits after the last of them.
#pragma once
#include "cache.h"

namespace lr {

class Session {
 public:
  // adapter may be null. Throws Error(LR_INVALID_ARGUMENT).
  Session(Base& base, Adapter* adapter, int64_t capacity);

  const ModelConfig& config() const { return cache_.config(); }
  int64_t length() const { return length_; }
  // Tokens that have been validated; all or none are appended (none when cancelled).
  //
  // Where frequencies depend on the length (longrope, dynamic), a sequence that grows past the positions of pre-training is
  // computed anew once, with the frequencies of long sequences: what transformers' generate does for Phi-3, and what training on
  // the whole sequence would compute. Beyond, dynamic has other frequencies for every length; the session then takes those of its
  // capacity, so that keys in the cache and new queries turn alike, which they do not in transformers.
  void append(Runtime& runtime, const int32_t* tokens, int64_t n, const CancelFlag* cancel);
  int64_t room() const { return cache_.page_tokens() - length_; }
  // [vocab]; throws Error(LR_INVALID_ARGUMENT) before the first token.
  const float* logits() const;

 private:
  int64_t rope_length(int64_t length) const;
  bool same_regime(int64_t length, int64_t other) const;

  Adapter* adapter_;
  Cache cache_;
  int64_t length_ = 0;
  int64_t cached_ = 0;           // tokens whose keys and values are in the cache: length_, or 0 when they have to be computed anew
  int64_t rope_length_ = 0;      // the length whose frequencies turned them
  std::vector<int32_t> tokens_;  // [length_]
  Buffer<float> logits_;         // [vocab]
};

}  // namespace lr
