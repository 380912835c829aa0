#include "moments.h"

#include <algorithm>

#include "../adamw8.h"

namespace lr {
namespace {

// As in bitsandbytes: below this many elements 8 bits save nothing worth their error.
constexpr size_t kSmallest8 = 4096;

size_t align64(size_t bytes) { return (bytes + 63) / 64 * 64; }
size_t blocks_of(size_t n) { return (n + kMomentBlock - 1) / kMomentBlock; }

}  // namespace

void Moments::add(size_t n, bool eight_bit) {
  const Part part = {n, bytes_, eight_bit && n >= kSmallest8};
  parts_.push_back(part);
  bytes_ += 2 * (part.eight_bit ? align64(n) + align64(blocks_of(n) * sizeof(float)) : align64(n * sizeof(float)));
}

uint8_t* Moments::prepare(MemoryCounter& counter) {
  if (memory_.empty()) {
    memory_ = Buffer<uint8_t>(counter, bytes_);
    memory_.zero();  // a scale of 0 makes every code 0
  }
  return memory_.data();
}

float* Moments::floats(const Part& part, Which which) const {
  auto* at = const_cast<uint8_t*>(memory_.data()) + part.at + (which == First ? 0 : align64(part.n * sizeof(float)));
  return reinterpret_cast<float*>(at);
}

Moments8 Moments::codes(const Part& part) const {
  const size_t codes = align64(part.n), scales = align64(blocks_of(part.n) * sizeof(float));
  auto* at = const_cast<uint8_t*>(memory_.data()) + part.at;
  return {at, at + codes, reinterpret_cast<float*>(at + 2 * codes), reinterpret_cast<float*>(at + 2 * codes + scales)};
}

void Moments::update(const Run& run, const Ops& ops, size_t tensor, float* w, const float* g, const AdamwStep& step) {
  const Part& part = parts_[tensor];
  const auto n = static_cast<int64_t>(part.n);
  if (part.eight_bit) {
    ops.adamw8(run, w, g, codes(part), n, step);
  } else {
    ops.adamw(run, w, g, floats(part, First), floats(part, Second), n, step);
  }
}

void Moments::read(Which which, size_t tensor, float* out) const {
  const Part& part = parts_[tensor];
  if (memory_.empty()) {
    std::fill(out, out + part.n, 0.0f);
  } else if (!part.eight_bit) {
    std::copy_n(floats(part, which), part.n, out);
  } else {
    const Moments8 moments = codes(part);
    const Map8& map = which == First ? maps8().m : maps8().v;
    const uint8_t* codes = which == First ? moments.m : moments.v;
    const float* absmax = which == First ? moments.m_absmax : moments.v_absmax;
    const auto n = static_cast<int64_t>(part.n);
    for (int64_t block = 0, at = 0; at < n; ++block, at += kMomentBlock) {
      decode8(map, codes + at, absmax[block], std::min(kMomentBlock, n - at), out + at);
    }
  }
}

void Moments::write(Which which, size_t tensor, const float* values) {
  const Part& part = parts_[tensor];
  if (!part.eight_bit) {
    std::copy_n(values, part.n, floats(part, which));
    return;
  }
  const Moments8 moments = codes(part);
  const Map8& map = which == First ? maps8().m : maps8().v;
  uint8_t* codes = which == First ? moments.m : moments.v;
  float* absmax = which == First ? moments.m_absmax : moments.v_absmax;
  const auto n = static_cast<int64_t>(part.n);
  for (int64_t block = 0, at = 0; at < n; ++block, at += kMomentBlock) {
    absmax[block] = encode8(map, values + at, std::min(kMomentBlock, n - at), codes + at);
  }
}

}  // namespace lr
