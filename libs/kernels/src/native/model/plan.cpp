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

  const int first_kept = keep == Keep::Nothing ? layers : lowest;
  LayerActivations shared = {};
  float* shared_hidden = nullptr;
  if (first_kept > 0) {
    int64_t hidden_size = 0;
    for (int layer = 0; layer < first_kept; ++layer) hidden_size = std::max(hidden_size, lora_hidden_total(pass, layer));
    take_kept(arena, pass, shared);
    shared_hidden = arena.floats(hidden_size);
  }
  if (first_kept > 0 || keep != Keep::Everything) take_recomputed(arena, pass, shared);
  if (pass.rounds_stream()) shared.x2 = arena.floats(T * c.hidden);
  const bool offloaded = keep == Keep::Offloaded;
  const Places places(arena, pass, offloaded ? lowest : layers, layers);
  if (offloaded) plan.checkpoints.resize(static_cast<size_t>(layers));
  float* x = plan.final_x;
  for (int layer = layers - 1; layer >= 0; --layer) {
    LayerActivations& a = plan.layers[static_cast<size_t>(layer)];
    a = shared;
    a.x = x;
    if (layer < first_kept) {
      place_lora_hidden(pass, layer, shared_hidden, a);
      continue;
    }
    if (offloaded) {
      uint8_t* place = places.at[layer % kPlaces];
      Arena there(place);
      take_checkpoint(there, pass, layer, a);
      void* away = layer + kPlaces < layers ? shelf.take<uint8_t>(static_cast<int64_t>(there.peak())) : nullptr;
      plan.checkpoints[static_cast<size_t>(layer)] = {place, away, there.peak()};
    } else {
      take_checkpoint(arena, pass, layer, a);
    }
    if (keep == Keep::Everything) take_recomputed(arena, pass, a);
    x = a.x;
  }
  take_scratch(arena, pass, keep != Keep::Nothing, plan.scratch);
  return plan;
}

bool any_to_put_away(const Pass& pass, int lowest) { return static_cast<int>(pass.config().layers) - lowest > kPlaces; }

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

Keep checkpoints_of(Runtime& runtime, const Pass& pass, int lowest) {
  Offload* offload = runtime.memory.offload();
  if (offload == nullptr || !any_to_put_away(pass, lowest)) return Keep::Checkpoints;
  const bool wanted = offload->always() || measure_plan(pass, Keep::Checkpoints, lowest).backend >= runtime.too_much;
  return wanted ? Keep::Offloaded : Keep::Checkpoints;
}

bool offload_instead(Runtime& runtime, const Pass& pass, Keep refused, int lowest) {
  if (refused != Keep::Checkpoints || runtime.memory.offload() == nullptr || !any_to_put_away(pass, lowest)) return false;
  runtime.too_much = std::min(runtime.too_much, measure_plan(pass, refused, lowest).backend);
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
