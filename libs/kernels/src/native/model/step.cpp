#include "step.h"

#include <algorithm>
#include <cmath>

namespace lr {
namespace {

enum class Keep { Nothing, LayerInputs, Everything };  // of a pass's activations, for backward

constexpr int32_t kNoTarget = -100;
// Logits of a chunk stay near 32 MB; fewer than 64 tokens would leave the matrix product too thin.
constexpr int64_t kChunkLogits = 1 << 23, kMinChunk = 64, kMaxChunk = 1024;

struct Plan {
  int32_t* rope_rows[kMaxRopes];  // [T]
  float* loss;         // [T]
  float* grad_scale;   // [T]
  uint8_t* correct;    // [T]
  float* final_rstd;   // [T]
  float* final_x;      // [T, d] output of the last layer
  std::vector<LayerActivations> layers;
  LayerScratch scratch;
};

int64_t align16(int64_t floats) { return (floats + 15) / 16 * 16; }

int64_t lora_hidden_total(const Pass& pass, int layer) {
  int64_t total = 0;
  for (int kind = 0; kind < kLinears; ++kind) total += align16(pass.lora_hidden_size(layer, kind));
  return total;
}

void place_lora_hidden(const Pass& pass, int layer, float* at, LayerActivations& a) {
  for (int kind = 0; kind < kLinears; ++kind) {
    a.h[kind] = at;
    at += align16(pass.lora_hidden_size(layer, kind));
  }
}

// Layers below `lowest` have no LoRA: nothing of them is kept, and their residual stream runs in place.
Plan make_plan(Arena& arena, const Pass& pass, Keep keep, int lowest) {
  const ModelConfig& c = pass.base.config();
  const int64_t T = pass.tokens;
  const int layers = static_cast<int>(c.layers);
  Plan plan = {};
  for (size_t i = 0; i < c.ropes.size(); ++i) plan.rope_rows[i] = arena.take<int32_t>(T);
  plan.loss = arena.floats(T);
  plan.grad_scale = arena.floats(T);
  plan.correct = arena.take<uint8_t>(T);
  plan.final_rstd = arena.floats(T);
  plan.final_x = arena.floats(T * c.hidden);
  plan.layers.resize(static_cast<size_t>(layers));

  LayerActivations shared = {};
  float* shared_hidden = nullptr;
  if (keep != Keep::Everything || lowest > 0) {
    int64_t hidden_size = 0;
    for (int layer = 0; layer < layers; ++layer) hidden_size = std::max(hidden_size, lora_hidden_total(pass, layer));
    take_activations(arena, c, T, false, shared);
    shared_hidden = arena.floats(hidden_size);
  }
  float* x = plan.final_x;
  for (int layer = layers - 1; layer >= 0; --layer) {
    LayerActivations& a = plan.layers[static_cast<size_t>(layer)];
    if (keep == Keep::Everything && layer >= lowest) {
      take_activations(arena, c, T, false, a);
      place_lora_hidden(pass, layer, arena.floats(lora_hidden_total(pass, layer)), a);
    } else {
      a = shared;
      place_lora_hidden(pass, layer, shared_hidden, a);
    }
    if (keep != Keep::Nothing && layer >= lowest) x = arena.floats(T * c.hidden);
    a.x = x;
  }
  take_scratch(arena, c, T, keep != Keep::Nothing, plan.scratch);
  return plan;
}

// Row of every token in the table, by the length of its own sequence: packed sequences turn as they would alone.
void number_rope_rows(const lr_batch& batch, const RopeTable& table, int32_t* rows) {
  for (uint32_t s = 0; s < batch.n_sequences; ++s) {
    const int64_t first = table.first_row(batch.starts[s + 1] - batch.starts[s]);
    for (int32_t t = batch.starts[s]; t < batch.starts[s + 1]; ++t) {
      rows[t] = static_cast<int32_t>(first) + t - batch.starts[s];
    }
  }
}

std::vector<RopeSpan> rope_spans(const lr_batch& batch) {
  std::vector<RopeSpan> spans;
  for (uint32_t s = 0; s < batch.n_sequences; ++s) {
    const int64_t length = batch.starts[s + 1] - batch.starts[s];
    spans.push_back({length, length});
  }
  return spans;
}

// One forward pass and what belongs to it.
class Step {
 public:
  Step(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups, Keep keep, int lowest,
       const CancelFlag* cancel)
      : batch_(batch),
        config_(base.config()),
        cancel_(cancel),
        lowest_(lowest),
        pass_{runtime.run, runtime.ops, base, groups, batch.n_tokens, keep != Keep::Nothing} {
    Arena measure;
    make_plan(measure, pass_, keep, lowest);
    Arena arena(runtime.workspace(measure.peak()));
    plan_ = make_plan(arena, pass_, keep, lowest);
    const std::vector<RopeSpan> spans = rope_spans(batch);
    for (size_t i = 0; i < base.ropes().size(); ++i) {
      RopeTable& table = base.ropes()[i];
      table.reserve(spans);
      number_rope_rows(batch, table, plan_.rope_rows[i]);
      pass_.ropes[i] = {table.cos(), table.sin(), plan_.rope_rows[i]};
    }
  }

  // Logits [T, vocab] after forward().
  void logits(float* out) const { logits_of(pass_, plan_.scratch.n, out, pass_.tokens); }

  // Leaves the normalised output of the last layer in scratch.n.
  void forward() {
    embed(pass_, batch_.tokens, plan_.layers.front().x);
    for (int layer = 0; layer < static_cast<int>(config_.layers); ++layer) {
      check_cancelled(cancel_);
      forward_to_product(layer);
      forward_output(pass_, layer, activations(layer), plan_.scratch, output_of(layer));
    }
    final_norm(pass_, plan_.final_x, plan_.scratch.n, plan_.final_rstd, pass_.tokens);
  }

  // After forward(). With `gradient`, scratch.dn receives the gradient of the normalised output.
  std::vector<lr_loss> loss(int64_t chunk, bool gradient) {
    check_cancelled(cancel_);
    std::fill(plan_.grad_scale, plan_.grad_scale + pass_.tokens, 0.0f);
    for (const RowGroup& group : pass_.groups) {
      // Rows of the bare base have no weights to train, so their tokens pass no gradient on.
      const float scale = group.adapter == nullptr ? 0.0f : group.loss_scale;
      std::fill(plan_.grad_scale + group.begin, plan_.grad_scale + group.end, scale);
    }
    if (chunk == 0) chunk = std::clamp(kChunkLogits / config_.vocab, kMinChunk, kMaxChunk);
    pass_.ops.head_loss(pass_.run, plan_.scratch.n, pass_.base.head(), batch_.targets, plan_.grad_scale, chunk,
                        static_cast<float>(config_.logit_softcap), plan_.loss, plan_.correct, gradient ? plan_.scratch.dn : nullptr, pass_.tokens);
    std::vector<lr_loss> losses;
    for (const RowGroup& group : pass_.groups) losses.push_back(sum_losses(group));
    return losses;
  }

  // After loss(…, true). `checkpointed`: only the layers' inputs were kept, and all of the last layer, which ran last.
  void backward(bool checkpointed) {
    LayerScratch& s = plan_.scratch;
    std::fill(s.dx, s.dx + pass_.tokens * config_.hidden, 0.0f);
    pass_.ops.rmsnorm_backward(pass_.run, s.dn, plan_.final_x, pass_.base.final_norm(), plan_.final_rstd, s.dx, pass_.tokens,
                               config_.hidden);
    const int last = static_cast<int>(config_.layers) - 1;
    for (int layer = last; layer >= lowest_; --layer) {
      check_cancelled(cancel_);
      const bool recompute = checkpointed && layer != last;
      if (recompute) {
        forward_to_product(layer);
        recompute_output(pass_, layer, activations(layer), s);
      }
      backward_layer(pass_, layer, activations(layer), s, batch_.starts, batch_.n_sequences, recompute, layer > lowest_);
    }
  }

 private:
  const LayerActivations& activations(int layer) const { return plan_.layers[static_cast<size_t>(layer)]; }

  float* output_of(int layer) const {
    return layer + 1 < static_cast<int>(config_.layers) ? activations(layer + 1).x : plan_.final_x;
  }

  void forward_to_product(int layer) {
    const LayerActivations& a = activations(layer);
    forward_attention_inputs(pass_, layer, a, plan_.scratch);
    pass_.ops.attention_forward(pass_.run, pass_.attention(layer), a.q, a.k, a.v, batch_.starts, batch_.n_sequences, a.o, a.lse);
    forward_mlp_inputs(pass_, layer, a, plan_.scratch);
  }

  lr_loss sum_losses(const RowGroup& group) const {
    lr_loss total = {};
    for (int64_t t = group.begin; t < group.end; ++t) {
      if (batch_.targets[t] == kNoTarget) continue;
      total.sum += static_cast<double>(plan_.loss[t]);
      total.tokens += 1;
      total.correct += plan_.correct[t];
    }
    return total;
  }

  const lr_batch& batch_;
  const ModelConfig& config_;
  const CancelFlag* cancel_;
  int lowest_;
  Pass pass_;
  Plan plan_;
};

}  // namespace

std::vector<lr_loss> train_step(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups,
                                const StepOptions& options, const CancelFlag* cancel) {
  int lowest = static_cast<int>(base.config().layers);
  for (const RowGroup& group : groups) {
    if (group.adapter == nullptr) continue;
    group.adapter->prepare_gradients();
    lowest = std::min(lowest, group.adapter->lowest_layer());
  }
  if (lowest == static_cast<int>(base.config().layers)) return eval_step(runtime, base, batch, groups, cancel);
  const Keep keep = options.checkpoint_activations ? Keep::LayerInputs : Keep::Everything;
  Step step(runtime, base, batch, groups, keep, lowest, cancel);
  step.forward();
  std::vector<lr_loss> losses = step.loss(options.loss_chunk, true);
  step.backward(options.checkpoint_activations);
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].adapter != nullptr && !std::isfinite(losses[i].sum)) groups[i].adapter->poison_gradients();
  }
  return losses;
}

std::vector<lr_loss> eval_step(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups,
                               const CancelFlag* cancel) {
  Step step(runtime, base, batch, groups, Keep::Nothing, 0, cancel);
  step.forward();
  return step.loss(0, false);
}

void compute_logits(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups, float* logits) {
  Step step(runtime, base, batch, groups, Keep::Nothing, 0, nullptr);
  step.forward();
  step.logits(logits);
}

}  // namespace lr
