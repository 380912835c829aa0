#include "rope.h"

#include <algorithm>
#include <cmath>

namespace lr {
namespace {

constexpr double kTau = 6.283185307179586;

// Long wavelengths are stretched by `factor`, short ones kept, those between blended (Llama 3.1).
double llama3(const RopeConfig& rope, double plain) {
  const double turns = static_cast<double>(rope.original_positions) * plain / kTau;
  const double keep = std::clamp((turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor), 0.0, 1.0);
  return (1 - keep) * plain / rope.factor + keep * plain;
}

// The same idea with the blend between the pairs that turn beta_fast and beta_slow times (Peng et al. 2023, "YaRN").
double yarn(const RopeConfig& rope, double plain, int64_t pair) {
  const auto width = static_cast<double>(rope.width);
  const auto pair_of_turns = [&](double turns) {
    return width * std::log(static_cast<double>(rope.original_positions) / (turns * kTau)) / (2 * std::log(rope.theta));
  };
  double low = pair_of_turns(rope.beta_fast), high = pair_of_turns(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, width - 1);
  if (low == high) high += 0.001;  // as in the published code: a step instead of a division by zero
  const double stretch = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
  return stretch * plain / rope.factor + (1 - stretch) * plain;
}

}  // namespace

int64_t rope_regime(const RopeConfig& rope, int64_t length) {
  if (length <= rope.original_positions) return 0;
  if (rope.type == RopeType::Longrope) return 1;
  return rope.type == RopeType::Dynamic ? length : 0;
}

void rope_frequencies(const RopeConfig& rope, int64_t length, float* out) {
  const auto width = static_cast<double>(rope.width);
  const int64_t regime = rope_regime(rope, length);
  double theta = rope.theta;
  if (rope.type == RopeType::Dynamic && regime > 0) {
    // The base grows so that the longest wavelength is stretched by as much as the sequence is too long ("NTK-aware scaling").
    const double excess = static_cast<double>(length) / static_cast<double>(rope.original_positions);
    theta *= std::pow(rope.factor * excess - (rope.factor - 1), width / (width - 2));
  }
  for (int64_t i = 0; i < rope.width / 2; ++i) {
    const double plain = 1.0 / std::pow(theta, static_cast<double>(2 * i) / width);
    double frequency = plain;
    switch (rope.type) {
      case RopeType::Default:
      case RopeType::Dynamic: break;
      case RopeType::Linear: frequency = plain / rope.factor; break;
      case RopeType::Llama3: frequency = llama3(rope, plain); break;
      case RopeType::Yarn: frequency = yarn(rope, plain, i); break;
      case RopeType::Longrope: frequency = plain / (regime == 0 ? rope.short_factors : rope.long_factors)[static_cast<size_t>(i)];
    }
    out[i] = static_cast<float>(frequency);
  }
}

RopeTable::RopeTable(const RopeConfig& config, int64_t limit, MemoryCounter& memory)
    : config_(config), limit_(limit), memory_(memory) {}

void RopeTable::reserve(const std::vector<RopeSpan>& spans) {
  // Of dynamic's lengths only those of this time are kept: there may be as many as sequences.
  std::map<int64_t, Section> sections;
  if (config_.type != RopeType::Dynamic) sections = sections_;
  bool enough = true;
  for (const RopeSpan& span : spans) {
    const int64_t regime = rope_regime(config_, span.length);
    const auto known = sections_.find(regime);
    const int64_t had = known == sections_.end() ? 0 : known->second.positions;
    Section& section = sections[regime];
    section.length = span.length;
    section.positions = std::max(section.positions, had);
    if (span.positions <= section.positions) continue;
    enough = false;
    // Generation asks for a little more at a time: growing by half keeps the rebuilding rare.
    section.positions = std::max(span.positions, std::min(limit_, std::max<int64_t>(256, had + had / 2)));
  }
  if (enough) return;
  int64_t rows = 0;
  for (auto& [regime, section] : sections) {
    section.first = rows;
    rows += section.positions;
  }
  const auto count = static_cast<size_t>(rows * config_.width / 2);
  sections_ = {};  // should memory run out below, nothing is known
  cos_ = Buffer<float>();
  sin_ = Buffer<float>();
  cos_ = Buffer<float>(memory_, count);
  sin_ = Buffer<float>(memory_, count);
  for (const auto& [regime, section] : sections) fill(section);
  sections_ = std::move(sections);
}

void RopeTable::fill(const Section& section) {
  const int64_t half = config_.width / 2;
  std::vector<float> frequencies(static_cast<size_t>(half)), cosines(frequencies), sines(frequencies);
  rope_frequencies(config_, section.length, frequencies.data());
  const auto factor = static_cast<float>(config_.attention_factor);
  for (int64_t position = 0; position < section.positions; ++position) {
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const auto angle = static_cast<double>(static_cast<float>(position) * frequencies[i]);
      cosines[i] = static_cast<float>(std::cos(angle)) * factor;
      sines[i] = static_cast<float>(std::sin(angle)) * factor;
    }
    const auto at = static_cast<size_t>((section.first + position) * half);
    cos_.write(at, cosines.data(), cosines.size());
    sin_.write(at, sines.data(), sines.size());
  }
}

}  // namespace lr
