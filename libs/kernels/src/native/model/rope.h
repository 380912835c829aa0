// Tables of cosines and sines for rotary embeddings (Su et al. 2021), with Llama 3.1's frequency scaling where asked for.
#pragma once
#include "config.h"
#include "memory.h"

namespace lr {

// Inverse frequencies [head_dim / 2], rounded to float as transformers does.
void rope_frequencies(const RopeConfig& rope, int64_t head_dim, float* out);

// cos and sin [positions, head_dim / 2], computed for as many positions as were ever asked for.
class RopeTable {
 public:
  RopeTable(const ModelConfig& config, MemoryCounter& memory);
  void reserve(int64_t positions);
  const float* cos() const { return cos_.data(); }
  const float* sin() const { return sin_.data(); }

 private:
  MemoryCounter& memory_;
  int64_t half_, positions_ = 0, limit_;
  Buffer<float> frequencies_, cos_, sin_;
};

}  // namespace lr
