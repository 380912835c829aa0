// One sequence being generated: its keys and values of every layer, and the logits after its last token.
#pragma once
#include "adapter.h"
#include "cancel.h"
#include "runtime.h"

namespace lr {

class Session {
 public:
  // adapter may be null. Throws Error(LR_INVALID_ARGUMENT).
  Session(Base& base, Adapter* adapter, int64_t capacity);

  const ModelConfig& config() const { return base_.config(); }
  int64_t length() const { return length_; }
  // Tokens that have been validated; all or none are appended (none when cancelled).
  //
  // Where frequencies depend on the length (longrope, dynamic), a sequence that grows past the positions of pre-training is
  // computed anew once, with the frequencies of long sequences: what transformers' generate does for Phi-3, and what training on
  // the whole sequence would compute. Beyond, dynamic has other frequencies for every length; the session then takes those of its
  // capacity, so that keys in the cache and new queries turn alike, which they do not in transformers.
  void append(Runtime& runtime, const int32_t* tokens, int64_t n, const CancelFlag* cancel);
  int64_t room() const { return capacity_ - length_; }
  // [vocab]; throws Error(LR_INVALID_ARGUMENT) before the first token.
  const float* logits() const;

 private:
  int64_t rope_length(int64_t length) const;
  bool same_regime(int64_t length, int64_t other) const;
  RopeTable& rope_table(size_t index);
  void append_chunk(Runtime& runtime, int64_t past, int64_t n, bool want_logits, const CancelFlag* cancel);

  Base& base_;
  Adapter* adapter_;
  int64_t capacity_, length_ = 0;
  int64_t cached_ = 0;           // tokens whose keys and values are in the cache: length_, or 0 when they have to be computed anew
  int64_t rope_length_ = 0;      // the length whose frequencies turned them
  std::vector<RopeTable> ropes_;  // for dynamic, which has other tables for every length: sessions that shared them would rebuild them in turn
  std::vector<int32_t> tokens_;  // [length_]
  Buffer<float> keys_, values_;  // [layers, capacity, kv]
  Buffer<float> logits_;         // [vocab]
};

}  // namespace lr
