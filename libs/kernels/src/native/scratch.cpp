#include "scratch.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <new>

namespace lr {
namespace {

constexpr size_t kAlignment = 64;  // one cache line, one AVX-512 register
constexpr size_t kPage = 4096;
// More than any machine has memory; addresses alone cost nothing.
constexpr size_t kMostAddresses = size_t{1} << 40;

size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

// Where the process has a limit of addresses (ulimit -v), a part of it has to do.
size_t addresses_to_reserve() {
  struct rlimit limit;
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur >= 4 * kMostAddresses) return kMostAddresses;
  return limit.rlim_cur / 4 / kPage * kPage;
}

}  // namespace

BlockScratch::~BlockScratch() {
  if (block_ == nullptr) return;
  ::munmap(block_, addresses_);
  counter_.subtract(memory_);
}

void BlockScratch::reserve_addresses() {
  const size_t size = addresses_to_reserve();
  void* block = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (block == MAP_FAILED) throw std::bad_alloc();
  block_ = static_cast<std::byte*>(block);
  addresses_ = size;
}

void BlockScratch::grow(size_t bytes) {
  if (block_ == nullptr) reserve_addresses();
  const size_t wanted = round_up(bytes, kPage);
  if (wanted > addresses_) throw std::bad_alloc();
  if (::mprotect(block_ + memory_, wanted - memory_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  counter_.add(wanted - memory_);
  memory_ = wanted;
}

void* BlockScratch::take(size_t bytes) {
  if (bytes > kMostAddresses) throw std::bad_alloc();
  const size_t top = used_ + round_up(std::max<size_t>(bytes, 1), kAlignment);
  if (top > memory_) grow(top);
  void* taken = block_ + used_;
  used_ = top;
  return taken;
}

void* BorrowedScratch::take(size_t bytes) {
  bytes = round_up(std::max<size_t>(bytes, 1), kAlignment);
  if (used_ + bytes > size_) throw std::bad_alloc();
  void* memory = memory_ + used_;
  used_ += bytes;
  return memory;
}

}  // namespace lr
