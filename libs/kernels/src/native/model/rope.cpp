#include "rope.h"

#include <algorithm>
#include <cmath>

namespace lr {

void rope_frequencies(const RopeConfig& rope, int64_t head_dim, float* out) {
  constexpr double kTau = 6.283185307179586;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double plain = 1.0 / std::pow(rope.theta, static_cast<double>(2 * i) / static_cast<double>(head_dim));
    double frequency = plain;
    if (rope.llama3) {
      // Long wavelengths are stretched by `factor`, short ones kept, those between blended.
      const double turns = static_cast<double>(rope.original_positions) * plain / kTau;
      const double keep = std::clamp((turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor), 0.0, 1.0);
      frequency = (1 - keep) * plain / rope.factor + keep * plain;
    }
    out[i] = static_cast<float>(frequency);
  }
}

RopeTable::RopeTable(const ModelConfig& config, MemoryCounter& memory)
    : memory_(memory),
      half_(config.head_dim / 2),
      limit_(config.max_positions),
      frequencies_(memory, static_cast<size_t>(config.head_dim / 2)) {
  rope_frequencies(config.rope, config.head_dim, frequencies_.data());
}

void RopeTable::reserve(int64_t positions) {
  if (positions <= positions_) return;
  // Generation asks for a little more at a time: growing by half keeps the rebuilding rare.
  const int64_t target = std::max(positions, std::min(limit_, std::max<int64_t>(256, positions_ + positions_ / 2)));
  const auto count = static_cast<size_t>(target * half_);
  Buffer<float> cosines(memory_, count), sines(memory_, count);
  for (int64_t position = 0; position < target; ++position) {
    for (int64_t i = 0; i < half_; ++i) {
      const float angle = static_cast<float>(position) * frequencies_[static_cast<size_t>(i)];
      cosines[static_cast<size_t>(position * half_ + i)] = static_cast<float>(std::cos(static_cast<double>(angle)));
      sines[static_cast<size_t>(position * half_ + i)] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
  cos_ = std::move(cosines);
  sin_ = std::move(sines);
  positions_ = target;
}

}  // namespace lr
