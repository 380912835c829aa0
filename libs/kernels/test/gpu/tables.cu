// The case table on a GPU. Cases have their numbers in vectors, which kernels read by address: every allocation of this program is
// pinned memory, which has the same address on both sides, and every launch waits for its end.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>

#include "../../src/native/cuda/queue.h"
#include "../../src/native/scratch.h"
#include "../ops/check.h"

namespace {

// Blocks of powers of two, each with a list of those that are free.
struct PinnedMemory {
  static constexpr size_t kArena = size_t{4} << 30, kSmallest = 64;
  std::mutex lock;
  char* arena = nullptr;
  size_t used = 0;
  void* free_blocks[64] = {};

  static int class_of(size_t bytes) {
    int shift = 6;
    while ((size_t{1} << shift) < bytes + kSmallest) ++shift;
    return shift;
  }
  void* take(size_t bytes) {
    const std::lock_guard<std::mutex> guard(lock);
    if (arena == nullptr) {
      setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
      if (cudaMallocHost(reinterpret_cast<void**>(&arena), kArena) != cudaSuccess) {
        std::fputs("no GPU, or no pinned memory: the cases of the CUDA kernels need both\n", stderr);
        std::_Exit(2);
      }
    }
    const int size_class = class_of(bytes);
    char* block = static_cast<char*>(free_blocks[size_class]);
    if (block != nullptr) {
      free_blocks[size_class] = *reinterpret_cast<void**>(block + kSmallest);
    } else {
      if (used + (size_t{1} << size_class) > kArena) return nullptr;
      block = arena + used;
      used += size_t{1} << size_class;
    }
    *reinterpret_cast<int*>(block) = size_class;
    return block + kSmallest;
  }
  void give_back(void* memory) {
    const std::lock_guard<std::mutex> guard(lock);
    char* block = static_cast<char*>(memory) - kSmallest;
    void*& first = free_blocks[*reinterpret_cast<int*>(block)];
    *reinterpret_cast<void**>(memory) = first;
    first = block;
  }
};
PinnedMemory pinned;

}  // namespace

void* operator new(size_t bytes) {
  void* memory = pinned.take(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept {
  if (memory != nullptr) pinned.give_back(memory);
}
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

namespace lr::cuda {
extern const Ops kOps;
}

namespace lr::test {
namespace {

constexpr size_t kScratch = size_t{1} << 30;

}  // namespace

std::vector<const Ops*> fast_tables() { return {&cuda::kOps}; }

bool every_case() { return true; }

void prepare(Run& run) {
  static Device* device = cuda::open_queue();
  static std::vector<char> memory(kScratch);
  static BorrowedScratch scratch(memory.data(), memory.size());
  run.device = device;
  run.scratch = &scratch;
}

}  // namespace lr::test
