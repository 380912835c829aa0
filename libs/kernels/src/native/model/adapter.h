// What is trained over a base: LoRA pairs (Hu et al. 2021) with DoRA's magnitudes (Liu et al. 2024) and biases, their gradients and
// AdamW's moments.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "base.h"
#include "group.h"
#include "moments.h"
#include "runtime.h"

namespace lr {

struct AdapterTarget {
  std::string name;
  float scale;  // alpha / rank
  int32_t rank;
  bool dora;
  bool bf16;    // see lr_lora_target
  int layer, kind;
};

// What a tensor is, with its shape as (rows, cols). The last two are not trained: PiSSA's pair as it was at the beginning.
enum class Role : uint32_t {
  A,          // (rank, in)
  B,          // (out, rank)
  Magnitude,  // (out, 1)
  Bias,       // (out, 1)
  InitialA,   // (rank, in)
  InitialB,   // (out, rank)
};

struct AdapterTensor {
  Role role;
  int layer, kind;
  int64_t rows, cols;
  bool bf16;  // kept in bfloat16; else as floats
  size_t at;  // first float in each of the adapter's arrays

  size_t elements() const { return static_cast<size_t>(rows * cols); }
  bool trained() const { return role < Role::InitialA; }
};

// What an adapter does to one linear layer of some tokens; out is the width of its output.
struct Adapted {
  Lora pair;                  // rank 0: none
  Lora initial;               // PiSSA's share to take away again: frozen, without dropout, scale below 0; rank 0: none
  const float* factor;        // [out] magnitude / ‖W + scale · B A‖ by rows; null without DoRA
  const float* factor_less_1;  // [out] factor - 1
  const float* inverse_norm;  // [out]
  float* grad_magnitude;      // [out], +=
  const float* bias;          // [out] in place of the base's; null: the base's
  float* grad_bias;           // [out], +=
};

class Adapter {
 public:
  // See lr_adapter_create. Throws Error(LR_INVALID_ARGUMENT).
  Adapter(Runtime& runtime, const Base& base, const std::vector<AdapterTarget>& targets, const lr_adapter_options& options);

  const Base& base() const { return base_; }
  // In the order of lr_adapter_info; those that are not trained come last.
  const std::vector<AdapterTensor>& tensors() const { return tensors_; }
  // JSON of lr_adapter_info.
  std::string info() const;
  // Whether something of this linear layer is trained.
  bool has(int layer, int kind) const { return rank(layer, kind) > 0 || slot(layer, kind).bias >= 0; }
  int32_t rank(int layer, int kind) const {
    const int target = slot(layer, kind).target;
    return target < 0 ? 0 : targets_[static_cast<size_t>(target)].rank;
  }
  int64_t widest_rank() const {
    int64_t widest = 0;
    for (const AdapterTarget& target : targets_) widest = std::max<int64_t>(widest, target.rank);
    return widest;
  }
  int lowest_layer() const { return lowest_layer_; }

  // What it does to a linear layer that it has. `training`: with dropout and gradients; the gradients must have been prepared.
  Adapted adapted(const Run& run, const Ops& ops, int layer, int kind, bool training, uint64_t dropout_seed);

  enum class Array { Weight, Gradient, AdamM, AdamV };
  // Throws Error(LR_INVALID_ARGUMENT) for an adapter with pairs in bfloat16, as everything does that trains it.
  void prepare_gradients();
  void zero_gradients();
  // Makes the next optimizer step refuse: a loss of this adapter was not finite, or a step ended halfway.
  void poison_gradients();
  // See lr_adapter_sum_gradients. Throws Error(LR_CANCELLED), Error(LR_DEVICE_FAILED), with the gradients poisoned.
  void sum_gradients(const Run& run, const Ops& ops, Group& group, bool last, const CancelFlag* cancel);
  // An array that has not been needed yet reads as zeros.
  void read(Array which, uint32_t tensor, float* out, uint64_t count) const;
  void write(Array which, uint32_t tensor, const float* values, uint64_t count);

  // Clips, updates, zeroes the gradients; returns the norm before clipping. Throws Error(LR_NOT_FINITE) with the gradients
  // zeroed and nothing updated.
  float optimizer_step(const Run& run, const Ops& ops, const lr_adamw& settings);

  // Of the state throw Error(LR_INVALID_ARGUMENT) as prepare_gradients does.
  uint64_t state_bytes() const;
  void export_state(uint8_t* out, uint64_t bytes) const;
  // Throws Error(LR_BAD_FORMAT) and leaves the adapter as it was.
  void import_state(const uint8_t* in, uint64_t bytes);

 private:
  // Indices of what belongs to one linear layer, -1 where there is nothing.
  struct Slot {
    int target = -1, a = -1, magnitude = -1, bias = -1, initial_a = -1;  // B follows A
    size_t norms = 0;  // first element of its rows in norms_
  };
  const Slot& slot(int layer, int kind) const { return slots_[static_cast<size_t>(layer * kLinears + kind)]; }
  Slot& slot(int layer, int kind) { return slots_[static_cast<size_t>(layer * kLinears + kind)]; }
  const Linear& linear(int layer, int kind) const { return base_.layers()[static_cast<size_t>(layer)].linears[kind]; }
  // `pack`: pairs that are to be in bfloat16 are.
  void place_targets(bool pack);
  void place_biases(uint32_t bias);
  void place_initial_pairs();
  int add_tensor(Role role, int layer, int kind, int64_t rows, int64_t cols, bool bf16 = false);
  void initialise(Runtime& runtime, const lr_adapter_options& options);
  // Both compute anew what they do if weights have changed since: norms_, and rounded_ in memory that is taken the first time.
  void refresh_norms(const Run& run, const Ops& ops);
  void refresh_rounded(const Run& run, const Ops& ops);
  void weights_changed() { norms_fresh_ = rounded_fresh_ = false; }
  const AdapterTensor& checked_tensor(uint32_t tensor, uint64_t count) const;
  void require_trainable() const;
  // A pair whose A is tensor `a` and whose B follows it; neither dropout nor gradients.
  Lora pair(const AdapterTarget& target, float scale, int a);
  void read_weight(const AdapterTensor& tensor, float* out) const;
  void write_weight(const AdapterTensor& tensor, const float* values);
  float* weight(int tensor) { return weights_.data() + tensors_[static_cast<size_t>(tensor)].at; }
  uint16_t* rounded(int tensor) { return rounded_.data() + tensors_[static_cast<size_t>(tensor)].at; }
  float* gradient(int tensor) { return gradients_.data() + tensors_[static_cast<size_t>(tensor)].at; }
  std::string state_head(uint64_t adam_step) const;

  const Base& base_;
  std::vector<AdapterTarget> targets_;
  std::vector<AdapterTensor> tensors_;
  std::vector<Slot> slots_;  // by layer and kind
  int lowest_layer_;
  float dropout_;
  // Elements of the arrays: tensors begin at multiples of 16, the gaps stay zero; gradients are of trained tensors only.
  size_t size_ = 0, trained_size_ = 0;
  Buffer<float> weights_, gradients_;
  Moments moments_;
  uint64_t adam_step_ = 0;
  size_t norms_size_ = 0;  // rows of all DoRA targets
  Buffer<float> norms_;    // [3, norms_size_]: factor, factor - 1, 1 / norm
  bool norms_fresh_ = false;
  Buffer<uint16_t> rounded_;  // trained pairs as Ops::round_pairs has them, each matrix where it begins in weights_
  bool rounded_fresh_ = false;
};

// Name of a role in lr_adapter_info, where PEFT has one PEFT's.
const char* role_name(Role role);

}  // namespace lr
