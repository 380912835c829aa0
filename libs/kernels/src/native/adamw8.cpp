#include "adamw8.h"

#include <algorithm>
#include <cmath>

#include "quantization.h"

namespace lr {
namespace {

Map8 make_map(bool with_sign) {
  Map8 map;
  map.levels = quant::make_dynamic_levels(with_sign);
  for (size_t i = 0; i < 255; ++i) map.ends[i] = 0.5f * (map.levels[i] + map.levels[i + 1]);
  return map;
}

}  // namespace

const Maps8& maps8() {
  static const Maps8 maps = {make_map(true), make_map(false)};
  return maps;
}

void decode8(const Map8& map, const uint8_t* codes, float absmax, int64_t n, float* values) {
  for (int64_t i = 0; i < n; ++i) values[i] = map.levels[codes[i]] * absmax;
}

float encode8(const Map8& map, const float* values, int64_t n, uint8_t* codes) {
  float absmax = 0;
  for (int64_t i = 0; i < n; ++i) absmax = std::max(absmax, std::fabs(values[i]));
  for (int64_t i = 0; i < n; ++i) codes[i] = map.code(absmax == 0 ? 0 : values[i] / absmax);
  return absmax;
}

}  // namespace lr
