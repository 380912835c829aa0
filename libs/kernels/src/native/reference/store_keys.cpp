#include <algorithm>

#include "reference.h"

namespace lr::reference {

void store_keys(const Run&, const float* k, const float* v, const int64_t* rows, float* keys, float* values, int64_t T, int64_t width) {
  for (int64_t t = 0; t < T; ++t) {
    std::copy_n(k + t * width, width, keys + rows[t] * width);
    std::copy_n(v + t * width, width, values + rows[t] * width);
  }
}

}  // namespace lr::reference
