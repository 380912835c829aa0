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

size_t Moments::floats_at(const Part& part, Which which) { return part.at + (which == First ? 0 : align64(part.n * sizeof(float))); }

size_t Moments::codes_at(const Part& part, Which which) { return part.at + (which == First ? 0 : align64(part.n)); }

size_t Moments::scales_at(const Part& part, Which which) {
  return part.at + 2 * align64(part.n) + (which == First ? 0 : align64(blocks_of(part.n) * sizeof(float)));
}

void Moments::update(const Run& run, const Ops& ops, size_t tensor, float* w, const float* g, const AdamwStep& step) {
  const Part& part = parts_[tensor];
  const auto n = static_cast<int64_t>(part.n);
  const auto floats = [&](size_t at) { return reinterpret_cast<float*>(memory_.data() + at); };
  if (part.eight_bit) {
    const Moments8 moments = {memory_.data() + codes_at(part, First), memory_.data() + codes_at(part, Second),
                              floats(scales_at(part, First)), floats(scales_at(part, Second))};
    ops.adamw8(run, w, g, moments, n, step);
  } else {
    ops.adamw(run, w, g, floats(floats_at(part, First)), floats(floats_at(part, Second)), n, step);
  }
}

void Moments::read(Which which, size_t tensor, float* out) const {
  const Part& part = parts_[tensor];
  if (memory_.empty()) {
    std::fill(out, out + part.n, 0.0f);
  } else if (!part.eight_bit) {
    memory_.read(floats_at(part, which), reinterpret_cast<uint8_t*>(out), part.n * sizeof(float));
  } else {
    std::vector<uint8_t> codes(part.n);
    std::vector<float> absmax(blocks_of(part.n));
    memory_.read(codes_at(part, which), codes.data(), codes.size());
    memory_.read(scales_at(part, which), reinterpret_cast<uint8_t*>(absmax.data()), absmax.size() * sizeof(float));
    const Map8& map = which == First ? maps8().m : maps8().v;
    const auto n = static_cast<int64_t>(part.n);
    for (int64_t block = 0, at = 0; at < n; ++block, at += kMomentBlock) {
      decode8(map, codes.data() + at, absmax[static_cast<size_t>(block)], std::min(kMomentBlock, n - at), out + at);
    }
  }
}

void Moments::write(Which which, size_t tensor, const float* values) {
  const Part& part = parts_[tensor];
  if (!part.eight_bit) {
    memory_.write(floats_at(part, which), reinterpret_cast<const uint8_t*>(values), part.n * sizeof(float));
    return;
  }
  std::vector<uint8_t> codes(part.n);
  std::vector<float> absmax(blocks_of(part.n));
  const Map8& map = which == First ? maps8().m : maps8().v;
  const auto n = static_cast<int64_t>(part.n);
  for (int64_t block = 0, at = 0; at < n; ++block, at += kMomentBlock) {
    absmax[static_cast<size_t>(block)] = encode8(map, values + at, std::min(kMomentBlock, n - at), codes.data() + at);
  }
  memory_.write(codes_at(part, which), codes.data(), codes.size());
  memory_.write(scales_at(part, which), reinterpret_cast<const uint8_t*>(absmax.data()), absmax.size() * sizeof(float));
}

}  // namespace lr
