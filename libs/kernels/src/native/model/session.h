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
  void append(Runtime& runtime, const int32_t* tokens, int64_t n, const CancelFlag* cancel);
  int64_t room() const { return capacity_ - length_; }
  // [vocab]; throws Error(LR_INVALID_ARGUMENT) before the first token.
  const float* logits() const;

 private:
  void append_chunk(Runtime& runtime, const int32_t* tokens, int64_t past, int64_t n, bool want_logits, const CancelFlag* cancel);

  Base& base_;
  Adapter* adapter_;
  int64_t capacity_, length_ = 0;
  Buffer<float> keys_, values_;  // [layers, capacity, kv]
  Buffer<float> logits_;         // [vocab]
};

}  // namespace lr
