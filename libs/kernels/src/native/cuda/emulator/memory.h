#pragma once
#include <cstddef>
#include <cstdint>

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

// While it lives, no memory can be pinned.
struct NothingPinned {
  NothingPinned();
  ~NothingPinned();
  NothingPinned(const NothingPinned&) = delete;
  NothingPinned& operator=(const NothingPinned&) = delete;
};

// Graphs that were started in this process.
uint64_t graphs_started();
// Of those that were made, the ones that are kept.
uint64_t graphs_alive();

// While it lives, the driver makes no graph.
struct NoGraphs {
  NoGraphs();
  ~NoGraphs();
  NoGraphs(const NoGraphs&) = delete;
  NoGraphs& operator=(const NoGraphs&) = delete;
};

}  // namespace lr::cuda::emulator
