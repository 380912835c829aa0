// 8-bit codes of AdamW's moments (Dettmers et al. 2022, "8-bit optimizers via block-wise quantization"), shared by every backend.
#pragma once
#include <array>
#include <cstdint>

#include "ops.h"

namespace lr {

inline constexpr int64_t kMomentBlock = 256;  // values that share one scale, as in bitsandbytes

// A dynamic map: 256 levels, ascending, and where each level ends: halfway to the next one.
struct Map8 {
  std::array<float, 256> levels;
  std::array<float, 255> ends;

  // The nearest level; on a tie the lower. 8 halvings without branches count the ends below value.
  uint8_t code(float value) const {
    size_t found = 0;
    for (size_t half = 128; half > 0; half /= 2) found += ends[found + half - 1] < value ? half : 0;
    return static_cast<uint8_t>(found);
  }
};
struct Maps8 {
  Map8 m, v;  // signed for first moments, unsigned for second ones, whose sign bit goes to the fraction
};
const Maps8& maps8();

// values[n ≤ 256] of a block from its codes.
void decode8(const Map8& map, const uint8_t* codes, float absmax, int64_t n, float* values);
// Codes of values[n ≤ 256]; returns the block's scale.
float encode8(const Map8& map, const float* values, int64_t n, uint8_t* codes);

}  // namespace lr
