#include "scratch.h"

#include <algorithm>
#include <new>

namespace lr {
namespace {

constexpr size_t kAlignment = 64;  // one cache line, one AVX-512 register

}  // namespace

void* BlockScratch::take(size_t bytes) {
  constexpr size_t kSmallestBlock = 1 << 20;  // an operation's small buffers share one block
  bytes = (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;

  while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].start + blocks_[block_].memory.size()) {
    if (block_ + 1 < blocks_.size() && blocks_[block_ + 1].memory.size() < bytes) blocks_.resize(block_ + 1);
    used_ = blocks_[block_].start + blocks_[block_].memory.size();
    ++block_;
  }
  if (block_ == blocks_.size()) {
    blocks_.push_back({used_, Buffer<std::byte>(counter_, std::max({bytes, joined_bytes_, kSmallestBlock}))});
    joined_bytes_ = 0;
  }
  void* memory = blocks_[block_].memory.data() + (used_ - blocks_[block_].start);
  used_ += bytes;
  return memory;
}

void BlockScratch::release(size_t mark) {
  used_ = mark;
  while (block_ > 0 && (block_ == blocks_.size() || blocks_[block_].start >= mark)) --block_;
  // The cursor's own block joins the free ones behind it when it holds nothing either.
  const size_t first_free = blocks_.empty() || blocks_[block_].start < mark ? block_ + 1 : block_;
  if (blocks_.size() < first_free + 2) return;
  for (size_t i = first_free; i < blocks_.size(); ++i) joined_bytes_ += blocks_[i].memory.size();
  blocks_.resize(first_free);
}

void* BorrowedScratch::take(size_t bytes) {
  bytes = (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  if (used_ + bytes > size_) throw std::bad_alloc();
  void* memory = memory_ + used_;
  used_ += bytes;
  return memory;
}

}  // namespace lr
