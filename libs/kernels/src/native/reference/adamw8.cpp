#include "adamw8.h"

#include <algorithm>

#include "reference.h"

namespace lr::reference {

// A block at a time: moments to floats, an AdamW step on them, and back to codes.
void adamw8(const Run& run, float* w, const float* g, const Moments8& moments, int64_t n, const AdamwStep& step) {
  const Maps8& maps = maps8();
  for (int64_t begin = 0; begin < n; begin += kMomentBlock) {
    const int64_t count = std::min(kMomentBlock, n - begin), block = begin / kMomentBlock;
    float m[kMomentBlock], v[kMomentBlock];
    decode8(maps.m, moments.m + begin, moments.m_absmax[block], count, m);
    decode8(maps.v, moments.v + begin, moments.v_absmax[block], count, v);
    const AdamwTensor tensor = {w + begin, g + begin, m, v, count, step};
    adamw(run, std::span(&tensor, 1));
    moments.m_absmax[block] = encode8(maps.m, m, count, moments.m + begin);
    moments.v_absmax[block] = encode8(maps.v, v, count, moments.v + begin);
  }
}

}  // namespace lr::reference
