#include "plan.h"

#include <algorithm>

namespace lr {
namespace {

constexpr int kPlaces = 2;  // of offloaded checkpoints on the device

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

void take_checkpoint(Arena& arena, const Pass& pass, int layer, LayerActivations& a) {
  take_kept(arena, pass, a);
  if (!pass.rounds_stream()) a.x = arena.floats(pass.tokens * pass.config().hidden);
  place_lora_hidden(pass, layer, arena.floats(lora_hidden_total(pass, layer)), a);
}

size_t checkpoint_bytes(const Pass& pass, int layer) {
  Arena arena;
  LayerActivations a = {};
  take_checkpoint(arena, pass, layer, a);
  return arena.peak();
}

// The places of checkpoints that are offloaded, each as large as the largest of them.
struct Places {
  uint8_t* at[kPlaces];

  Places(Arena& arena, const Pass& pass, int lowest, int layers) {
    size_t bytes = 0;
    for (int layer = lowest; layer < layers; ++layer) bytes = std::max(bytes, checkpoint_bytes(pass, layer));
    for (uint8_t*& place : at) place = arena.take<uint8_t>(static_cast<int64_t>(bytes));
  }
};

size_t passage_bytes(const Pass& pass, Passage::Take take) {
  Arena arena;
  LayerScratch s = {};
  take(arena, pass, s);
  return arena.peak();
}

Plan plan_over(Arena& arena, Arena& host, Arena& shelf, const Pass& pass, Keep keep, int lowest) {
  const ModelConfig& c = pass.config();
  const int64_t T = pass.tokens;
  const int layers = static_cast<int>(c.layers);
  Plan plan = {};
  for (size_t i = 0; i < c.ropes.size(); ++i) plan.rope_rows[i] = host.take<int32_t>(T);
  plan.loss = host.floats(T);
  plan.grad_scale = host.floats(T);
  plan.smoothing = host.floats(T);
  plan.correct = host.take<uint8_t>(T);
  plan.final_rstd = arena.floats(T);
  plan.final_x = arena.floats(T * c.hidden);
  plan.layers.resize(static_cast<size_t>(layers));

  const bool training = keep.what != Keep::Nothing;
  plan.scratch.n = pass.operand(arena, c.hidden);
  if (training) plan.scratch.dn = arena.floats(T * c.hidden);
  plan.passage_bytes = std::max(passage_bytes(pass, take_forward), training ? passage_bytes(pass, take_backward) : 0);
  if (pass.memory().is_host()) plan.passage = arena.take<uint8_t>(static_cast<int64_t>(plan.passage_bytes));

  const int first_kept = training ? lowest : layers;
  LayerActivations shared = {};
  float* shared_hidden = nullptr;
  if (first_kept > 0) {
    int64_t hidden_size = 0;
    for (int layer = 0; layer < first_kept; ++layer) hidden_size = std::max(hidden_size, lora_hidden_total(pass, layer));
    take_kept(arena, pass, shared);
    shared_hidden = arena.floats(hidden_size);
  }
  if (first_kept > 0 || keep.what != Keep::Everything) take_recomputed(arena, pass, shared);
  // Forward there are no gradients yet, and while a layer is computed again none that are needed.
  if (pass.rounds_stream()) shared.x2 = training ? plan.scratch.dn : arena.floats(T * c.hidden);
  const Places places(arena, pass, keep.offloaded ? lowest : layers, layers);
  if (keep.offloaded) plan.checkpoints.resize(static_cast<size_t>(layers));
  float* x = plan.final_x;
  for (int layer = layers - 1; layer >= 0; --layer) {
    LayerActivations& a = plan.layers[static_cast<size_t>(layer)];
    a = shared;
    a.x = x;
    if (layer < first_kept) {
      place_lora_hidden(pass, layer, shared_hidden, a);
      continue;
    }
    if (keep.offloaded) {
      uint8_t* place = places.at[layer % kPlaces];
      Arena there(place);
      take_checkpoint(there, pass, layer, a);
      void* away = layer + kPlaces < layers ? shelf.take<uint8_t>(static_cast<int64_t>(there.peak())) : nullptr;
      plan.checkpoints[static_cast<size_t>(layer)] = {place, away, there.peak()};
    } else {
      take_checkpoint(arena, pass, layer, a);
    }
    if (keep.what == Keep::Everything) take_recomputed(arena, pass, a);
    x = a.x;
  }
  return plan;
}

// Whether there is something that takes less of the device's memory; `keep` is that then.
bool lessen(const Runtime& runtime, const Pass& pass, Keep& keep, int lowest) {
  const bool any_to_put_away = static_cast<int>(pass.config().layers) - lowest > kPlaces;
  if (runtime.memory.offload() == nullptr || !any_to_put_away) return false;
  if (keep.offloaded && keep.what == Keep::Checkpoints) return false;
  keep = keep.offloaded ? Keep{Keep::Checkpoints, true} : Keep{keep.what, true};
  return true;
}

}  // namespace

PlanBytes measure_plan(const Pass& pass, Keep keep, int lowest) {
  Arena arena, host, shelf;
  plan_over(arena, host, shelf, pass, keep, lowest);
  return {arena.peak(), host.peak(), shelf.peak()};
}

Plan make_plan(Runtime& runtime, const Pass& pass, Keep keep, int lowest) {
  const PlanBytes bytes = measure_plan(pass, keep, lowest);
  Arena arena(runtime.workspace(bytes.backend)), host(runtime.host_workspace(bytes.host));
  Arena shelf(bytes.shelf == 0 ? nullptr : runtime.shelf(bytes.shelf));
  return plan_over(arena, host, shelf, pass, keep, lowest);
}

Passage::Passage(const Pass& pass, const Plan& plan, Take take) : s(plan.scratch), scratch_(*pass.run.scratch), mark_(scratch_.mark()) {
  Arena arena(plan.passage != nullptr ? plan.passage : scratch_.take(plan.passage_bytes));
  take(arena, pass, s);
}

Keep keep_of(Runtime& runtime, const Pass& pass, Keep::What wanted, int lowest) {
  Keep keep = {wanted};
  const Offload* offload = runtime.memory.offload();
  if (offload != nullptr && offload->always() != Offload::Always::Nothing) lessen(runtime, pass, keep, lowest);
  while (measure_plan(pass, keep, lowest).backend >= runtime.too_much && lessen(runtime, pass, keep, lowest)) {
  }
  return keep;
}

bool keep_less(Runtime& runtime, const Pass& pass, Keep& keep, int lowest) {
  const size_t refused = measure_plan(pass, keep, lowest).backend;
  if (!lessen(runtime, pass, keep, lowest)) return false;
  runtime.too_much = std::min(runtime.too_much, refused);
  runtime.give_back_workspace();
  return true;
}

void CheckpointMoves::before_output(int layer) {
  if (moves(layer - 1)) offload_->await(copies_[static_cast<size_t>(layer - 1)]);
}

void CheckpointMoves::computed(int layer) {
  if (moves(layer)) copies_[static_cast<size_t>(layer)] = offload_->store(of(layer).shelf, of(layer).here, of(layer).bytes);
}

void CheckpointMoves::before_use(int layer) {
  if (moves(layer)) offload_->await(copies_[static_cast<size_t>(layer)]);
}

void CheckpointMoves::used(int layer) {
  const int next = layer - kPlaces;
  if (moves(next)) copies_[static_cast<size_t>(next)] = offload_->load(of(next).here, of(next).shelf, of(next).bytes);
}

}  // namespace lr
