#include "step.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>

#include "keys.h"
#include "plan.h"
#include "preference.h"

namespace lr {
namespace {

constexpr int32_t kNoTarget = -100;
// Logits of a chunk stay near 32 MB; fewer than 64 tokens would leave the matrix product too thin. A device has more memory, and is idle when a
// product has few rows.
constexpr int64_t kChunkLogits = 1 << 23, kMinChunk = 64, kMaxChunk = 1024;
constexpr int64_t kDeviceChunkLogits = 1 << 27;

int64_t loss_chunk(const Pass& pass) {
  const int64_t logits = pass.memory().is_host() ? kChunkLogits : kDeviceChunkLogits;
  return std::clamp(logits / pass.config().vocab, kMinChunk, kMaxChunk);
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
        pass_{runtime.run, runtime.ops, base, groups, batch.n_tokens, keep.what != Keep::Nothing},
        keep_(keep),
        plan_(make_plan(runtime, pass_, keep, lowest)),
        moves_(runtime.memory.offload(), plan_.checkpoints) {
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
    if (pass_.training) add_noise(plan_.layers.front().x);
    const Passage passage(pass_, plan_, take_forward);
    for (int layer = 0; layer < static_cast<int>(config_.layers); ++layer) {
      check_cancelled(cancel_);
      const LayerActivations& a = activations(layer);
      forward_attention_inputs(pass_, layer, a, passage.s);
      pass_.ops.attention_forward(pass_.run, pass_.attention(layer), a.q, a.k, a.v, batch_.starts, batch_.n_sequences, a.o, a.lse);
      forward_attention_output(pass_, layer, a);
      forward_mlp_inputs(pass_, layer, a, passage.s);
      moves_.before_output(layer);
      forward_output(pass_, layer, a, passage.s, output_of(layer));
      moves_.computed(layer);
    }
    final_norm(pass_, plan_.final_x, plan_.scratch.n, plan_.final_rstd, pass_.tokens);
  }

  // After forward(). With `gradient`, scratch.dn receives the gradient of the normalised output.
  std::vector<lr_loss> loss(int64_t chunk, bool gradient) {
    for (const RowGroup& group : pass_.groups) {
      // Rows of the bare base have no weights to train, so their tokens pass no gradient on.
      const bool trains = gradient && group.adapter != nullptr;
      std::fill(plan_.grad_scale + group.begin, plan_.grad_scale + group.end, trains ? group.loss_scale : 0.0f);
      std::fill(plan_.smoothing + group.begin, plan_.smoothing + group.end, trains ? group.label_smoothing : 0.0f);
    }
    head(chunk, gradient);
    std::vector<lr_loss> losses;
    for (const RowGroup& group : pass_.groups) losses.push_back(sum_losses(group));
    return losses;
  }

  // After forward(). The log-probability of each sequence; with `gradient`, scratch.dn receives the gradient of -log p of every
  // token, each on its own.
  std::vector<SequenceLogp> logps(int64_t chunk, bool gradient) {
    std::fill(plan_.grad_scale, plan_.grad_scale + pass_.tokens, 1.0f);
    std::fill(plan_.smoothing, plan_.smoothing + pass_.tokens, 0.0f);
    head(chunk, gradient);
    std::vector<SequenceLogp> out;
    for (uint32_t s = 0; s < batch_.n_sequences; ++s) {
      const lr_loss total = sum_losses(batch_.starts[s], batch_.starts[s + 1]);
      out.push_back({-total.sum, static_cast<uint32_t>(total.tokens)});
    }
    return out;
  }

  // After forward(). With `gradient`, scratch.dn receives that of the objective. It sees a token only through its sequence's log p,
  // so its gradient is that of the token's -log p, times a factor of the sequence: one pass over the head does for both.
  std::vector<lr_preference_loss> preference(const lr_preference* preferences, int64_t chunk, bool gradient) {
    const std::vector<SequenceLogp> sequences = logps(chunk, gradient);
    std::vector<lr_preference_loss> losses;
    for (const RowGroup& group : pass_.groups) {
      const lr_preference& wanted = preferences[losses.size()];
      const int32_t* starts = batch_.starts;
      const int64_t first = std::lower_bound(starts, starts + batch_.n_sequences, static_cast<int32_t>(group.begin)) - starts;
      lr_preference_loss total = {};
      for (int64_t s = first; starts[s] < group.end; s += 2) {
        const auto answer = [&](int64_t at) {
          const SequenceLogp& own = sequences[static_cast<size_t>(at)];
          return Answer{-own.sum, own.tokens, wanted.reference == nullptr ? 0 : wanted.reference[at - first]};
        };
        const Answer chosen = answer(s), rejected = answer(s + 1);
        const PairLoss pair = preference_loss(wanted, chosen, rejected);
        total.sum += pair.loss;
        total.chosen_reward += pair.chosen_reward;
        total.rejected_reward += pair.rejected_reward;
        total.chosen_nll += chosen.nll;
        total.chosen_tokens += static_cast<uint64_t>(chosen.tokens);
        total.pairs += 1;
        total.correct += pair.chosen_reward > pair.rejected_reward;
        if (!gradient) continue;
        const double scale = group.adapter == nullptr ? 0.0 : double{group.loss_scale};
        scale_gradient(s, scale * pair.chosen_slope);
        scale_gradient(s + 1, scale * pair.rejected_slope);
      }
      losses.push_back(total);
    }
    return losses;
  }

  // After loss(…, true) or preference(…, true). Where only checkpoints were kept, all of the last layer is there, which ran last.
  void backward() {
    const Passage passage(pass_, plan_, take_backward);
    const LayerScratch& s = passage.s;
    pass_.memory().zero(s.dx, static_cast<size_t>(pass_.tokens * config_.hidden) * sizeof(float));
    pass_.ops.rmsnorm_backward(pass_.run, s.dn, plan_.final_x, pass_.base.final_norm(), plan_.final_rstd, s.dx, pass_.tokens,
                               config_.hidden);
    Pass again = pass_;
    again.recomputing = true;
    const int last = static_cast<int>(config_.layers) - 1;
    for (int layer = last; layer >= lowest_; --layer) {
      check_cancelled(cancel_);
      moves_.before_use(layer);
      const bool recompute = keep_.what != Keep::Everything && layer != last;
      if (recompute) {
        const LayerActivations& a = activations(layer);
        forward_attention_inputs(again, layer, a, s);
        recompute_attention_output(again, layer, a);
        forward_mlp_inputs(again, layer, a, s);
        recompute_output(again, layer, a, s);
      }
      backward_layer(pass_, layer, activations(layer), s, batch_.starts, batch_.n_sequences, recompute, layer > lowest_);
      moves_.used(layer);
    }
  }

 private:
  const LayerActivations& activations(int layer) const { return plan_.layers[static_cast<size_t>(layer)]; }

  float* output_of(int layer) const {
    return layer + 1 < static_cast<int>(config_.layers) ? activations(layer + 1).x : plan_.final_x;
  }

  // NEFTune: the noise of a sequence depends on its own length and its place among the tokens of its entry of rows, so that it is
  // the same whatever else is in the batch.
  void add_noise(float* x) const {
    const int64_t d = config_.hidden;
    for (const RowGroup& group : pass_.groups) {
      if (group.adapter == nullptr || group.neftune_alpha == 0) continue;
      const uint64_t key = stream_key(group.dropout_seed, kNoiseStream);
      for (uint32_t s = 0; s < batch_.n_sequences; ++s) {
        const int64_t begin = batch_.starts[s], length = batch_.starts[s + 1] - begin;
        if (begin < group.begin || begin >= group.end) continue;
        const auto magnitude = static_cast<float>(double{group.neftune_alpha} / std::sqrt(static_cast<double>(length * d)));
        pass_.ops.add_noise(pass_.run, x + begin * d, length * d, magnitude, key, static_cast<uint64_t>((begin - group.begin) * d));
      }
    }
  }

  // Loss of every token by plan_.smoothing and, with `gradient`, its gradient by plan_.grad_scale.
  void head(int64_t chunk, bool gradient) {
    check_cancelled(cancel_);
    if (chunk == 0) chunk = loss_chunk(pass_);
    pass_.ops.head_loss(pass_.run, plan_.scratch.n, pass_.base.head(), batch_.targets, plan_.grad_scale, plan_.smoothing, chunk,
                        static_cast<float>(config_.logit_softcap), plan_.loss, plan_.correct, gradient ? plan_.scratch.dn : nullptr, pass_.tokens);
  }

  void scale_gradient(int64_t sequence, double factor) const {
    const int64_t begin = batch_.starts[sequence], tokens = batch_.starts[sequence + 1] - begin;
    pass_.ops.scale(pass_.run, plan_.scratch.dn + begin * config_.hidden, static_cast<float>(factor), tokens * config_.hidden);
  }

  lr_loss sum_losses(const RowGroup& group) const { return sum_losses(group.begin, group.end); }

  lr_loss sum_losses(int64_t begin, int64_t end) const {
    lr_loss total = {};
    for (int64_t t = begin; t < end; ++t) {
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
  Keep keep_;
  Plan plan_;
  CheckpointMoves moves_;
};

// A training step whose loss is what `objective` makes of a Step after its forward pass, gradient included; without an adapter to
// train, what `evaluation` makes. Either returns a loss with a `sum` per group.
template <typename Objective, typename Evaluation>
auto trained(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups, const StepOptions& options,
             const CancelFlag* cancel, const Objective& objective, const Evaluation& evaluation) {
  int lowest = static_cast<int>(base.config().layers);
  for (const RowGroup& group : groups) {
    if (group.adapter == nullptr) continue;
    group.adapter->prepare_gradients();
    lowest = std::min(lowest, group.adapter->lowest_layer());
  }
  if (lowest == static_cast<int>(base.config().layers)) return evaluation();
  const Pass pass = {runtime.run, runtime.ops, base, groups, batch.n_tokens, true};
  Keep keep = keep_of(runtime, pass, options.checkpoint_activations ? Keep::Checkpoints : Keep::Everything, lowest);
  std::unique_ptr<Step> step;
  // Up to here nothing is changed but workspaces.
  const auto up_to_backward = [&] {
    step = std::make_unique<Step>(runtime, base, batch, groups, keep, lowest, cancel);
    step->forward();
    return objective(*step);
  };
  const size_t mark = runtime.run.scratch->mark();
  auto losses = [&] {
    for (;;) {
      try {
        return up_to_backward();
      } catch (const std::bad_alloc&) {
        step.reset();
        runtime.run.scratch->release(mark);
        if (!keep_less(runtime, pass, keep, lowest)) throw;
      }
    }
  }();
  try {
    step->backward();
  } catch (...) {  // cancelled or out of memory: the gradients hold a part of this step, which no update may use
    for (const RowGroup& group : groups) {
      if (group.adapter != nullptr) group.adapter->poison_gradients();
    }
    throw;
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].adapter != nullptr && !std::isfinite(losses[i].sum)) groups[i].adapter->poison_gradients();
  }
  return losses;
}

}  // namespace

std::vector<lr_loss> train_step(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups,
                                const StepOptions& options, const CancelFlag* cancel) {
  return trained(
      runtime, base, batch, groups, options, cancel, [&](Step& step) { return step.loss(options.loss_chunk, true); },
      [&] { return eval_step(runtime, base, batch, groups, cancel); });
}

std::vector<lr_preference_loss> preference_step(Runtime& runtime, Base& base, const lr_batch& batch,
                                                const std::vector<RowGroup>& groups, const lr_preference* preferences,
                                                const StepOptions& options, const CancelFlag* cancel) {
  return trained(
      runtime, base, batch, groups, options, cancel,
      [&](Step& step) { return step.preference(preferences, options.loss_chunk, true); },
      [&] { return preference_eval(runtime, base, batch, groups, preferences, cancel); });
}

std::vector<lr_preference_loss> preference_eval(Runtime& runtime, Base& base, const lr_batch& batch,
                                                const std::vector<RowGroup>& groups, const lr_preference* preferences,
                                                const CancelFlag* cancel) {
  Step step(runtime, base, batch, groups, {Keep::Nothing}, 0, cancel);
  step.forward();
  return step.preference(preferences, 0, false);
}

std::vector<SequenceLogp> sequence_logps(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups,
                                         const CancelFlag* cancel) {
  Step step(runtime, base, batch, groups, {Keep::Nothing}, 0, cancel);
  step.forward();
  return step.logps(0, false);
}

std::vector<lr_loss> eval_step(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups,
                               const CancelFlag* cancel) {
  Step step(runtime, base, batch, groups, {Keep::Nothing}, 0, cancel);
  step.forward();
  return step.loss(0, false);
}

void compute_logits(Runtime& runtime, Base& base, const lr_batch& batch, const std::vector<RowGroup>& groups, float* logits) {
  Step step(runtime, base, batch, groups, {Keep::Nothing}, 0, nullptr);
  step.forward();
  step.logits(logits);
}

}  // namespace lr
