#include <cmath>

#include "reference.h"

namespace lr::reference {

void softcap(const Run&, float* x, float cap, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(cap * std::tanh(double{x[i]} / cap));
}

}  // namespace lr::reference
