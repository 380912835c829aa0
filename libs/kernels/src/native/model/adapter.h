// LoRA weights (Hu et al. 2021) over a base, with their gradients and AdamW moments.
#pragma once
#include <string>
#include <vector>

#include "base.h"

namespace lr {

struct AdapterTarget {
  std::string name;
  float scale;  // alpha / rank
  int32_t rank;
  int layer, kind;
};

struct AdapterTensor {
  int64_t rows, cols;  // A [rank, in], B [out, rank]
  size_t at;           // first element in each of the adapter's arrays

  size_t elements() const { return static_cast<size_t>(rows * cols); }
};

class Adapter {
 public:
  // Kaiming-uniform A, zero B; see lr_adapter_create. Throws Error(LR_INVALID_ARGUMENT).
  Adapter(const Base& base, const std::vector<AdapterTarget>& targets, float dropout, uint64_t seed);

  const Base& base() const { return base_; }
  const std::vector<AdapterTarget>& targets() const { return targets_; }
  const std::vector<AdapterTensor>& tensors() const { return tensors_; }  // A of target 0, B of target 0, A of target 1, …
  bool has(int layer, int kind) const { return slot(layer, kind) >= 0; }
  int32_t rank(int layer, int kind) const { return has(layer, kind) ? targets_[static_cast<size_t>(slot(layer, kind))].rank : 0; }
  int lowest_layer() const { return lowest_layer_; }

  // The pair on a linear layer that it has. `training`: with dropout and gradients; the gradients must have been prepared.
  Lora lora(int layer, int kind, bool training, uint64_t dropout_seed);

  enum class Array { Weight, Gradient, AdamM, AdamV };
  // Null while an array has not been needed yet: its values are then zero.
  float* array(Array which);
  void prepare_gradients();
  void zero_gradients();
  // Makes the next optimizer step refuse: a loss of this adapter was not finite.
  void poison_gradients();
  void read(Array which, uint32_t tensor, float* out, uint64_t count);
  void write(Array which, uint32_t tensor, const float* values, uint64_t count);

  // Clips, updates, zeroes the gradients; returns the norm before clipping. Throws Error(LR_NOT_FINITE) with the gradients
  // zeroed and nothing updated.
  float optimizer_step(const Run& run, const Ops& ops, const lr_adamw& settings);

  uint64_t state_bytes() const;
  void export_state(uint8_t* out, uint64_t bytes);
  // Throws Error(LR_BAD_FORMAT) and leaves the adapter as it was.
  void import_state(const uint8_t* in, uint64_t bytes);

 private:
  int slot(int layer, int kind) const { return slots_[static_cast<size_t>(layer * kLinears + kind)]; }
  const AdapterTensor& checked_tensor(uint32_t tensor, uint64_t count) const;
  void initialise(uint64_t seed);
  void prepare(Array which);

  const Base& base_;
  std::vector<AdapterTarget> targets_;
  std::vector<AdapterTensor> tensors_;
  std::vector<int> slots_;  // target on (layer, kind), or -1
  int lowest_layer_;
  float dropout_;
  size_t size_ = 0;         // elements of each array; tensors begin at multiples of 16, the gaps stay zero
  Buffer<float> arrays_[4];
  uint64_t adam_step_ = 0;
};

}  // namespace lr
