// Random numbers on the device: the same streams as everywhere (Philox 4x32-10).
#pragma once
#include "../launch.h"
#include "../../philox.h"

namespace lr::cuda {

// philox_uniform of ops.h.
LR_DEVICE float uniform(uint64_t key, uint64_t index) {
  return static_cast<float>(philox::block(key, index / 4)[index % 4] >> 8) * 0x1p-24f;
}
// What dropout multiplies element `index` of a stream with.
LR_DEVICE float dropout_factor(float dropout, uint64_t key, int64_t index) {
  if (dropout == 0) return 1;
  return uniform(key, static_cast<uint64_t>(index)) < dropout ? 0 : 1 / (1 - dropout);
}

}  // namespace lr::cuda
