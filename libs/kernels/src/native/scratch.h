// Reusable workspace of one context, counted in the context's memory.
#pragma once
#include <vector>

#include "model/memory.h"
#include "ops.h"

namespace lr {

// A stack of blocks. take() moves a cursor forward, release() moves it back; blocks stay for the next step and are joined
// into one of their total size once they are free, so a repeated step takes one block and never allocates.
class BlockScratch final : public Scratch {
 public:
  explicit BlockScratch(MemoryCounter& counter) : counter_(counter) {}

  void* take(size_t bytes) override;
  size_t mark() const override { return used_; }
  void release(size_t mark) override;

 private:
  struct Block {
    size_t start;  // position of its first byte in the stack
    Buffer<std::byte> memory;
  };

  MemoryCounter& counter_;
  std::vector<Block> blocks_;
  size_t block_ = 0;         // the block the cursor is in
  size_t used_ = 0;          // the cursor, as a position in the stack
  size_t joined_bytes_ = 0;  // least size of the next block: what was freed to be joined
};

// A stack in memory that somebody else has taken, for one task. It does not grow: who makes it knows what will be taken.
class BorrowedScratch final : public Scratch {
 public:
  BorrowedScratch(void* memory, size_t size) : memory_(static_cast<std::byte*>(memory)), size_(size) {}

  void* take(size_t bytes) override;
  size_t mark() const override { return used_; }
  void release(size_t mark) override { used_ = mark; }

 private:
  std::byte* memory_;
  size_t size_, used_ = 0;
};

}  // namespace lr
