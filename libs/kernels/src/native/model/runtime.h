// What the handles of one context share: operations, threads, counted memory, and the workspace that steps reuse.
#pragma once
#include "../ops.h"
#include "memory.h"

namespace lr {

class Runtime {
 public:
  Runtime(const Ops& operations, const Run& common, MemoryCounter& counter) : ops(operations), run(common), memory(counter) {}

  const Ops& ops;
  const Run run;
  MemoryCounter& memory;

  // At least `bytes` of memory whose contents are undefined; valid until the next call. Kept from step to step.
  void* workspace(size_t bytes) {
    if (bytes > workspace_.size()) {
      workspace_ = Buffer<uint8_t>();  // the old block goes before the new one comes
      workspace_ = Buffer<uint8_t>(memory, bytes);
    }
    return workspace_.data();
  }

 private:
  Buffer<uint8_t> workspace_;
};

}  // namespace lr
