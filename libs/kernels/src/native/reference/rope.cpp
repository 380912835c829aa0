#include <algorithm>

#include "reference.h"

namespace lr::reference {

// Pairs (i, i + width/2) of every head turn by the angle of their position (Su et al. 2021, in the rotate-half layout).
void rope(const Run&, const float* x, float* y, const int32_t* rows, const float* cos, const float* sin, int sign, int64_t T,
          int64_t heads, int64_t head_dim, int64_t width) {
  const int64_t half = width / 2;
  if (y != x) std::copy_n(x, T * heads * head_dim, y);
  for (int64_t t = 0; t < T; ++t)
    for (int64_t head = 0; head < heads; ++head) {
      float* row = y + (t * heads + head) * head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const float c = cos[rows[t] * half + i], s = static_cast<float>(sign) * sin[rows[t] * half + i];
        const float first = row[i], second = row[i + half];
        row[i] = first * c - second * s;
        row[i + half] = second * c + first * s;
      }
    }
}

}  // namespace lr::reference
