#include "session.h"

#include <algorithm>
#include <numeric>

#include "layer.h"

namespace lr {
namespace {

// Tokens of a long prompt go through the layers this many at a time, so that the workspace stays small.
constexpr int64_t kPrefillChunk = 512;

struct Plan {
  int32_t* rope_rows[kMaxRopes];
  float* hidden_rstd;
  LayerActivations a;  // k and v lie in the cache
  LayerScratch s;
};

Plan make_plan(Arena& arena, const ModelConfig& c, int64_t T, int64_t lora_hidden) {
  Plan plan = {};
  for (size_t i = 0; i < c.ropes.size(); ++i) plan.rope_rows[i] = arena.take<int32_t>(T);
  plan.hidden_rstd = arena.floats(T);
  plan.a.x = arena.floats(T * c.hidden);
  take_kept(arena, c, T, true, plan.a);
  take_recomputed(arena, c, T, true, plan.a);
  std::fill(plan.a.h, plan.a.h + kLinears, arena.floats(lora_hidden));  // nobody reads it after the forward product
  take_scratch(arena, c, T, false, plan.s);
  return plan;
}

}  // namespace

Session::Session(Base& base, Adapter* adapter, int64_t capacity) : base_(base), adapter_(adapter), capacity_(capacity) {
  const ModelConfig& c = base.config();
  if (capacity < 1 || capacity > c.max_positions) {
    fail(LR_INVALID_ARGUMENT, "capacity %lld of a session has to be between 1 and the model's %lld positions",
         static_cast<long long>(capacity), static_cast<long long>(c.max_positions));
  }
  const auto cache = static_cast<size_t>(c.layers * capacity * c.kv_width());
  keys_ = Buffer<float>(base.memory(), cache);
  values_ = Buffer<float>(base.memory(), cache);
  logits_ = Buffer<float>(base.memory(), static_cast<size_t>(c.vocab));
  for (const RopeConfig& rope : c.ropes) ropes_.emplace_back(rope, capacity, base.memory());
}

RopeTable& Session::rope_table(size_t index) {
  return config().ropes[index].type == RopeType::Dynamic ? ropes_[index] : base_.ropes()[index];
}

int64_t Session::rope_length(int64_t length) const {
  for (const RopeConfig& rope : base_.config().ropes) {
    if (rope.type == RopeType::Dynamic && length > rope.original_positions) return capacity_;
  }
  return length;
}

bool Session::same_regime(int64_t length, int64_t other) const {
  const std::vector<RopeConfig>& ropes = base_.config().ropes;
  return std::all_of(ropes.begin(), ropes.end(),
                     [=](const RopeConfig& rope) { return rope_regime(rope, length) == rope_regime(rope, other); });
}

void Session::append(Runtime& runtime, const int32_t* tokens, int64_t n, const CancelFlag* cancel) {
  const int64_t total = length_ + n, wanted = rope_length(total);
  if (!same_regime(wanted, rope_length_)) cached_ = 0;
  rope_length_ = wanted;
  tokens_.resize(static_cast<size_t>(length_));  // what an append that was cancelled left behind goes
  tokens_.insert(tokens_.end(), tokens, tokens + n);
  for (int64_t at = cached_; at < total; at += kPrefillChunk) {
    const int64_t count = std::min(kPrefillChunk, total - at);
    append_chunk(runtime, at, count, at + count == total, cancel);
  }
  length_ = cached_ = total;
}

void Session::append_chunk(Runtime& runtime, int64_t past, int64_t n, bool want_logits, const CancelFlag* cancel) {
  const ModelConfig& c = base_.config();
  const std::vector<RowGroup> groups = {{adapter_, 0, n, 0, 0}};
  Run run = runtime.run;
  run.generating = true;
  Pass pass = {run, runtime.ops, base_, groups, n, false};
  int64_t lora_hidden = 0;
  for (int layer = 0; layer < static_cast<int>(c.layers); ++layer) {
    for (int kind = 0; kind < kLinears; ++kind) lora_hidden = std::max(lora_hidden, pass.lora_hidden_size(layer, kind));
  }
  Arena measure;
  make_plan(measure, c, n, lora_hidden);
  Arena arena(runtime.workspace(measure.peak()));
  Plan plan = make_plan(arena, c, n, lora_hidden);
  for (size_t i = 0; i < c.ropes.size(); ++i) {
    RopeTable& table = rope_table(i);
    table.reserve({{rope_length_, past + n}});
    std::iota(plan.rope_rows[i], plan.rope_rows[i] + n, static_cast<int32_t>(table.first_row(rope_length_) + past));
    pass.ropes[i] = {table.cos(), table.sin(), plan.rope_rows[i]};
  }

  LayerActivations& a = plan.a;
  embed(pass, tokens_.data() + past, a.x);
  for (int layer = 0; layer < static_cast<int>(c.layers); ++layer) {
    check_cancelled(cancel);
    float* keys = keys_.data() + layer * capacity_ * c.kv_width();
    float* values = values_.data() + layer * capacity_ * c.kv_width();
    a.k = keys + past * c.kv_width();
    a.v = values + past * c.kv_width();
    if (!c.qk_norm) a.k_in = a.k;
    forward_attention_inputs(pass, layer, a, plan.s);
    pass.ops.attention_cached(pass.run, pass.attention(layer), a.q, keys, values, past, n, a.o);
    forward_attention_output(pass, layer, a);
    forward_mlp_inputs(pass, layer, a, plan.s);
    forward_output(pass, layer, a, plan.s, a.x);
  }
  if (!want_logits) return;
  final_norm(pass, a.x + (n - 1) * c.hidden, plan.s.n, plan.hidden_rstd, 1);
  logits_of(pass, plan.s.n, logits_.data(), 1);
}

const float* Session::logits() const {
  if (length_ == 0) fail(LR_INVALID_ARGUMENT, "the session has no tokens yet: append some before asking for logits");
  return logits_.data();
}

}  // namespace lr
