#include "session.h"

#include <algorithm>
#include <numeric>

#include "arena.h"
#include "layer.h"

namespace lr {
namespace {

// Tokens of a long prompt go through the layers this many at a time, so that the workspace stays small.
constexpr int64_t kPrefillChunk = 512;

struct Plan {
  int32_t* positions;
  float* hidden_rstd;
  LayerActivations a;  // k and v lie in the cache
  LayerScratch s;
};

Plan make_plan(Arena& arena, const ModelConfig& c, int64_t T, int64_t lora_hidden) {
  Plan plan = {};
  plan.positions = arena.take<int32_t>(T);
  plan.hidden_rstd = arena.floats(T);
  LayerActivations& a = plan.a;
  a.x = arena.floats(T * c.hidden);
  a.rstd1 = arena.floats(T);
  a.rstd2 = arena.floats(T);
  a.q = arena.floats(T * c.q_width());
  a.o = arena.floats(T * c.q_width());
  a.x2 = arena.floats(T * c.hidden);
  a.gate = arena.floats(T * c.intermediate);
  a.up = arena.floats(T * c.intermediate);
  std::fill(a.h, a.h + kLinears, arena.floats(lora_hidden));  // nobody reads it after the forward product
  plan.s.n = arena.floats(T * c.hidden);
  plan.s.act = arena.floats(T * c.intermediate);
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
}

void Session::append(Runtime& runtime, const int32_t* tokens, int64_t n, const CancelFlag* cancel) {
  for (int64_t at = 0; at < n; at += kPrefillChunk) {
    const int64_t count = std::min(kPrefillChunk, n - at);
    append_chunk(runtime, tokens + at, length_ + at, count, at + count == n, cancel);
  }
  length_ += n;
}

void Session::append_chunk(Runtime& runtime, const int32_t* tokens, int64_t past, int64_t n, bool want_logits,
                           const CancelFlag* cancel) {
  const ModelConfig& c = base_.config();
  const std::vector<RowGroup> groups = {{adapter_, 0, n, 0, 0}};
  Pass pass = {runtime.run, runtime.ops, base_, base_.rope(past + n), groups, n, nullptr, false};
  int64_t lora_hidden = 0;
  for (int layer = 0; layer < static_cast<int>(c.layers); ++layer) {
    for (int kind = 0; kind < kLinears; ++kind) lora_hidden = std::max(lora_hidden, pass.lora_hidden_size(layer, kind));
  }
  Arena measure;
  make_plan(measure, c, n, lora_hidden);
  Arena arena(runtime.workspace(measure.peak()));
  Plan plan = make_plan(arena, c, n, lora_hidden);
  std::iota(plan.positions, plan.positions + n, static_cast<int32_t>(past));
  pass.positions = plan.positions;

  LayerActivations& a = plan.a;
  pass.ops.embedding(pass.run, base_.embedding(), tokens, a.x, n);
  for (int layer = 0; layer < static_cast<int>(c.layers); ++layer) {
    check_cancelled(cancel);
    float* keys = keys_.data() + layer * capacity_ * c.kv_width();
    float* values = values_.data() + layer * capacity_ * c.kv_width();
    a.k = keys + past * c.kv_width();
    a.v = values + past * c.kv_width();
    forward_attention_inputs(pass, layer, a, plan.s);
    pass.ops.attention_cached(pass.run, a.q, keys, values, past, n, attention_scale(c), a.o, c.heads, c.kv_heads, c.head_dim);
    forward_mlp_inputs(pass, layer, a, plan.s);
    forward_output(pass, layer, a, plan.s, a.x);
  }
  if (!want_logits) return;
  const float* last = a.x + (n - 1) * c.hidden;
  pass.ops.rmsnorm_forward(pass.run, last, base_.final_norm(), static_cast<float>(c.rms_eps), plan.s.n, plan.hidden_rstd, 1,
                           c.hidden);
  pass.ops.linear_forward(pass.run, plan.s.n, base_.head(), nullptr, logits_.data(), 1);
}

const float* Session::logits() const {
  if (length_ == 0) fail(LR_INVALID_ARGUMENT, "the session has no tokens yet: append some before asking for logits");
  return logits_.data();
}

}  // namespace lr
