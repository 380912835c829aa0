#pragma once

namespace lr::cuda::emulator {

// While one of these lives, device memory can be touched.
struct OpenMemory {
  OpenMemory();
  ~OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
};

}  // namespace lr::cuda::emulator
