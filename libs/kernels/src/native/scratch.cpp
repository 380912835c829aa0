#include "scratch.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace lr {
namespace {

constexpr size_t kAlignment = 64;  // one cache line, one AVX-512 register
constexpr size_t kPage = 4096;
// More than any machine has memory; addresses alone cost nothing. Where a limit is set to them, less has to do.
constexpr size_t kMostAddresses = size_t{1} << 40, kLeastAddresses = size_t{1} << 28;

size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

BlockScratch::~BlockScratch() {
  if (block_ == nullptr) return;
  ::munmap(block_, addresses_);
  counter_.subtract(memory_);
}

void BlockScratch::reserve_addresses() {
  for (size_t size = kMostAddresses; size >= kLeastAddresses; size /= 2) {
    void* block = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED) continue;
    block_ = static_cast<std::byte*>(block);
    addresses_ = size;
    return;
  }
  throw std::bad_alloc();
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
