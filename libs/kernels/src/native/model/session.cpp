#include "session.h"

#include <algorithm>

namespace lr {
namespace {

int64_t checked_capacity(const ModelConfig& c, int64_t capacity) {
  if (capacity < 1 || capacity > c.max_positions) {
    fail(LR_INVALID_ARGUMENT, "capacity %lld of a session has to be between 1 and the model's %lld positions",
         static_cast<long long>(capacity), static_cast<long long>(c.max_positions));
  }
  return capacity;
}

}  // namespace

Session::Session(Base& base, Adapter* adapter, int64_t capacity)
    : adapter_(adapter),
      cache_(base, checked_capacity(base.config(), capacity), 1),
      logits_(base.host_memory(), static_cast<size_t>(base.config().vocab)) {}

int64_t Session::rope_length(int64_t length) const {
  for (const RopeConfig& rope : config().ropes) {
    if (rope.type == RopeType::Dynamic && length > rope.original_positions) return cache_.page_tokens();
  }
  return length;
}

bool Session::same_regime(int64_t length, int64_t other) const {
  const std::vector<RopeConfig>& ropes = config().ropes;
  return std::all_of(ropes.begin(), ropes.end(),
                     [=](const RopeConfig& rope) { return rope_regime(rope, length) == rope_regime(rope, other); });
}

void Session::append(Runtime& runtime, const int32_t* tokens, int64_t n, const CancelFlag* cancel) {
  const int64_t total = length_ + n, wanted = rope_length(total);
  if (!same_regime(wanted, rope_length_)) cached_ = 0;
  rope_length_ = wanted;
  tokens_.resize(static_cast<size_t>(length_));  // what an append that was cancelled left behind goes
  tokens_.insert(tokens_.end(), tokens, tokens + n);

  const auto count = static_cast<int32_t>(total - cached_), past = static_cast<int32_t>(cached_), length = static_cast<int32_t>(wanted);
  const int32_t starts[] = {0, count}, page = 0, page_starts[] = {0, 1};
  const lr_cached_batch batch = {tokens_.data() + cached_, starts, &past, &page, page_starts, &length, nullptr, static_cast<uint32_t>(count), 1};
  const std::vector<RowGroup> groups = {{adapter_, 0, count, 0, 0}};
  const bool decoding = cached_ > 0 && count == 1;
  cache_.run(runtime, decoding, batch, groups, cancel, logits_.data());
  length_ = cached_ = total;
}

const float* Session::logits() const {
  if (length_ == 0) fail(LR_INVALID_ARGUMENT, "the session has no tokens yet: append some before asking for logits");
  return logits_.data();
}

}  // namespace lr
