// Device memory is memory of the machine that nobody can touch but kernels and copies: the rest of the library, which has to leave it
// alone, ends with a segmentation fault where it does not.
#include "../queue.h"

#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <mutex>

#include "../../model/error.h"
#include "memory.h"

namespace lr {

struct Device {};

namespace cuda {
namespace {

constexpr size_t kRegion = size_t{8} << 30, kPage = 4096;

// Addresses are given out once and never again, so that a use after freeing is found as well. Guarded by `lock`.
struct Region {
  std::mutex lock;
  std::byte* begin = nullptr;
  size_t used = 0;
  int open = 0;
};
Region region;

void protect(int access) {
  if (region.used > 0) ::mprotect(region.begin, region.used, access);
}

}  // namespace

emulator::OpenMemory::OpenMemory() {
  const std::lock_guard<std::mutex> lock(region.lock);
  if (region.open++ == 0) protect(PROT_READ | PROT_WRITE);
}

emulator::OpenMemory::~OpenMemory() {
  const std::lock_guard<std::mutex> lock(region.lock);
  if (--region.open == 0) protect(PROT_NONE);
}

Device* open_queue() { return new Device; }
void close_queue(Device* device) { delete device; }

void* allocate(Device*, size_t bytes) {
  const std::lock_guard<std::mutex> lock(region.lock);
  if (region.begin == nullptr) {
    void* memory = ::mmap(nullptr, kRegion, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    region.begin = static_cast<std::byte*>(memory);
  }
  const size_t size = (bytes + kPage - 1) / kPage * kPage;
  if (size > kRegion - region.used) return nullptr;
  void* memory = region.begin + region.used;
  region.used += size;
  return memory;
}

void deallocate(Device*, void*) {}

void copy_in(Device*, void* to, const void* from, size_t bytes) {
  const emulator::OpenMemory open;
  std::memcpy(to, from, bytes);
}

void copy_out(Device*, void* to, const void* from, size_t bytes) {
  const emulator::OpenMemory open;
  std::memcpy(to, from, bytes);
}

void copy_rows(Device*, void* to, size_t to_stride, const void* from, size_t from_stride, size_t row_bytes, int64_t rows) {
  const emulator::OpenMemory open;
  for (int64_t row = 0; row < rows; ++row)
    std::memcpy(static_cast<std::byte*>(to) + static_cast<size_t>(row) * to_stride,
                static_cast<const std::byte*>(from) + static_cast<size_t>(row) * from_stride, row_bytes);
}

void fill_zero(Device*, void* to, size_t bytes) {
  const emulator::OpenMemory open;
  std::memset(to, 0, bytes);
}

Stream stream_of(Device*) { return nullptr; }

void give_up(Device*, const char* what, int status) { fail(LR_DEVICE_FAILED, "the device failed while %s: status %d", what, status); }

}  // namespace cuda
}  // namespace lr
