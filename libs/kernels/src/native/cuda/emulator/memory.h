#pragma once
#include <cstddef>

namespace lr::cuda::emulator {

// While one of these lives, device memory can be touched.
struct OpenMemory {
  OpenMemory();
  ~OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
};

// While it lives, the device has so many bytes of memory: what would be more is refused.
struct MemoryLimit {
  explicit MemoryLimit(size_t bytes);
  ~MemoryLimit();
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;
};

}  // namespace lr::cuda::emulator
