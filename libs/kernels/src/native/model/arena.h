// Plans the memory of a pass: the same function runs twice, first over an arena without memory to learn the size, then over
// the real block to get the pointers.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ops.h"

namespace lr {

class Arena {
 public:
  explicit Arena(void* memory = nullptr) : base_(reinterpret_cast<uintptr_t>(memory)) {}

  // count elements at a multiple of 64 bytes.
  template <typename T>
  T* take(int64_t count) {
    const uintptr_t at = base_ + used_;
    used_ += (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
    peak_ = std::max(peak_, used_);
    return reinterpret_cast<T*>(at);
  }
  float* floats(int64_t count) { return take<float>(count); }
  // Rows of bfloat16 with room behind them.
  OperandOut halves(int64_t rows, int64_t width, int64_t room) { return {take<uint16_t>(rows * (width + room)), width + room}; }

  // Memory taken after mark() can be given out again: for parts that do not live at the same time.
  size_t mark() const { return used_; }
  void rewind(size_t mark) { used_ = mark; }
  size_t peak() const { return peak_; }

 private:
  uintptr_t base_;
  size_t used_ = 0, peak_ = 0;
};

}  // namespace lr
