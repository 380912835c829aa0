// Random numbers on the device: the same streams as everywhere (Philox 4x32-10).
#pragma once
#include "../launch.h"
#include "../../philox.h"

namespace lr::cuda {

// A word of a stream in [0, 1).
LR_DEVICE float uniform_of(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }
// philox_uniform of ops.h.
LR_DEVICE float uniform(uint64_t key, uint64_t index) { return uniform_of(philox::block(key, index / 4)[index % 4]); }
// What dropout multiplies element `index` of a stream with.
LR_DEVICE float dropout_factor(float dropout, uint64_t key, int64_t index) {
  if (dropout == 0) return 1;
  return uniform(key, static_cast<uint64_t>(index)) < dropout ? 0 : 1 / (1 - dropout);
}

}  // namespace lr::cuda
