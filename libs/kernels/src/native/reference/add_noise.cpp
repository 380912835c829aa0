#include "reference.h"

namespace lr::reference {

void add_noise(const Run&, float* x, int64_t n, float magnitude, uint64_t key, uint64_t first) {
  for (int64_t i = 0; i < n; ++i) x[i] += magnitude * (2 * philox_uniform(key, first + static_cast<uint64_t>(i)) - 1);
}

}  // namespace lr::reference
