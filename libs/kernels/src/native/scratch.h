// Reusable workspace of one context, counted in the context's memory.
#pragma once
#include "model/memory.h"
#include "ops.h"

namespace lr {

// A stack in one block of addresses. Memory comes behind them as the stack grows for the first time, and stays: a repeated step
// takes nothing anew, and what is counted is the most that was ever in use at one time.
class BlockScratch final : public Scratch {
 public:
  explicit BlockScratch(MemoryCounter& counter) : counter_(counter) {}
  BlockScratch(const BlockScratch&) = delete;
  BlockScratch& operator=(const BlockScratch&) = delete;
  ~BlockScratch() override;

  void* take(size_t bytes) override;
  size_t mark() const override { return used_; }
  void release(size_t mark) override { used_ = mark; }

 private:
  void reserve_addresses();
  void grow(size_t bytes);

  MemoryCounter& counter_;
  std::byte* block_ = nullptr;
  size_t addresses_ = 0;  // bytes that the stack may grow to
  size_t memory_ = 0;     // bytes with memory behind them
  size_t used_ = 0;       // the top of the stack
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
