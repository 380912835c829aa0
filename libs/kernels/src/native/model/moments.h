// AdamW's first and second moments of an adapter's tensors, in floats or in 8 bits.
#pragma once
#include <vector>

#include "memory.h"
#include "../ops.h"

namespace lr {

class Moments {
 public:
  enum Which { First, Second };

  // Adds the moments of a tensor of n elements. `eight_bit` asks for codes; small tensors keep floats (kSmallest8).
  void add(size_t n, bool eight_bit);
  // All of it, zero before the first update; null while none was made.
  const uint8_t* data() const { return memory_.data(); }
  uint8_t* prepare(MemoryCounter& counter);
  size_t bytes() const { return bytes_; }
  bool eight_bit(size_t tensor) const { return parts_[tensor].eight_bit; }

  // One step of a tensor's weights w [n] with gradient g [n]; prepared.
  void update(const Run& run, const Ops& ops, size_t tensor, float* w, const float* g, const AdamwStep& step);
  void read(Which which, size_t tensor, float* out) const;
  void write(Which which, size_t tensor, const float* values);  // prepared

 private:
  struct Part {
    size_t n, at;
    bool eight_bit;
  };
  // Where they begin in memory_, in bytes.
  static size_t floats_at(const Part& part, Which which);
  static size_t codes_at(const Part& part, Which which);
  static size_t scales_at(const Part& part, Which which);

  std::vector<Part> parts_;
  size_t bytes_ = 0;
  Buffer<uint8_t> memory_;
};

}  // namespace lr
