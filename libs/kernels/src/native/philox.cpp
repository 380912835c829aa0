#include "philox.h"

#include "ops.h"

namespace lr {

float philox_uniform(uint64_t key, uint64_t index) {
  // Element i is word i mod 4 of block i / 4: 24 of its bits fill a float's fraction exactly.
  return static_cast<float>(philox::block(key, index / 4)[index % 4] >> 8) * 0x1p-24f;
}

}  // namespace lr
