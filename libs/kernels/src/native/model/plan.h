// The memory of a pass: what is kept of every layer, what layers share, and what lies on the machine's side.
#pragma once
#include <vector>

#include "layer.h"
#include "runtime.h"

namespace lr {

// Of a pass's activations, for backward. Checkpoints (Chen et al. 2016) are a layer's input and the kept part of LayerActivations; everything is
// those and what would be computed again. Where checkpoints are offloaded, the device holds those of two layers at a time.
struct Keep {
  enum What { Nothing, Checkpoints, Everything } what;
  bool offloaded = false;
};

// A layer's checkpoint where it is computed and used, and its place in pinned memory; null: it stays.
struct Checkpoint {
  void* here;
  void* shelf;
  size_t bytes;
};

struct Plan {
  // In the machine's own memory.
  int32_t* rope_rows[kMaxRopes];  // [T]
  float* loss;         // [T]
  float* grad_scale;   // [T]
  float* smoothing;    // [T] ε of each token's loss
  uint8_t* correct;    // [T]
  // In the backend's.
  float* final_rstd;   // [T]
  float* final_x;      // [T, d] output of the last layer; with Pass::rounds_stream() of every layer
  std::vector<LayerActivations> layers;
  LayerScratch scratch;  // n and dn
  void* passage;       // what a Passage uses, so many bytes; null: it takes them itself
  size_t passage_bytes;
  std::vector<Checkpoint> checkpoints;  // by layer, where they are offloaded
};

struct PlanBytes {
  size_t backend, host, shelf;
};

// Layers below `lowest` have no LoRA: nothing of them is kept, and their residual stream runs in place. What is not kept lies in
// memory that layers share.
PlanBytes measure_plan(const Pass& pass, Keep keep, int lowest);
Plan make_plan(Runtime& runtime, const Pass& pass, Keep keep, int lowest);

// What layers use in one direction of a pass. On the machine it lies in the workspace. On a device it is taken from the scratch of operations while
// it lives, so that the head, which comes between both directions, has its place.
class Passage {
 public:
  using Take = void (*)(Arena& arena, const Pass& pass, LayerScratch& s);
  Passage(const Pass& pass, const Plan& plan, Take take);
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;
  ~Passage() { scratch_.release(mark_); }

  LayerScratch s;

 private:
  Scratch& scratch_;
  size_t mark_;
};

// What a step that wants to keep `wanted` comes to: its checkpoints are offloaded where the device's memory has been too small or need not be used,
// and a layer is left to put away; where that was too small too, they are all that is kept.
Keep keep_of(Runtime& runtime, const Pass& pass, Keep::What wanted, int lowest);
// After such a step was refused memory: whether it can be had with less, which `keep` is then. Later ones begin with that.
bool keep_less(Runtime& runtime, const Pass& pass, Keep& keep, int lowest);

// The way of checkpoints to pinned memory and back. A layer's lies in one of two places by turns, so that one layer is computed while that
// of another is copied. Calls do nothing for layers whose checkpoint stays.
class CheckpointMoves {
 public:
  CheckpointMoves(Offload* offload, const std::vector<Checkpoint>& checkpoints)
      : offload_(offload), checkpoints_(checkpoints), copies_(checkpoints.size()) {}
  CheckpointMoves(const CheckpointMoves&) = delete;
  CheckpointMoves& operator=(const CheckpointMoves&) = delete;
  // Nothing is under way when the places are used for something else.
  ~CheckpointMoves() {
    if (!checkpoints_.empty()) offload_->settle();
  }

  // Forward: before the output of `layer` is written, which is in the next one's place, and after that.
  void before_output(int layer);
  void computed(int layer);
  // Backward: before the checkpoint of `layer` is used, and when it is not needed any more.
  void before_use(int layer);
  void used(int layer);

 private:
  bool moves(int layer) const { return layer >= 0 && static_cast<size_t>(layer) < checkpoints_.size() && of(layer).shelf != nullptr; }
  const Checkpoint& of(int layer) const { return checkpoints_[static_cast<size_t>(layer)]; }

  Offload* offload_;
  const std::vector<Checkpoint>& checkpoints_;
  std::vector<Offload::Copy> copies_;  // the last of each layer
};

}  // namespace lr
