// What the handles of one context share: operations, threads, counted memory, and the workspaces that steps reuse. Where the backend runs
// on a device there is a second one for what the machine itself computes and keeps.
#pragma once
#include "../ops.h"
#include "memory.h"
#include "offload.h"

namespace lr {

class Runtime {
 public:
  Runtime(const Ops& operations, const Run& common, MemoryCounter& counter, Runtime* machine = nullptr)
      : ops(operations), run(common), memory(counter), machine_(machine) {}

  const Ops& ops;
  const Run run;
  MemoryCounter& memory;

  // At least `bytes` of memory whose contents are undefined; valid until the next call. Kept from step to step.
  void* workspace(size_t bytes) { return reserve(workspace_, memory, bytes); }
  // The same of the machine's own memory, for arrays of integers and of values a token.
  void* host_workspace(size_t bytes) { return reserve(host_workspace_, host().memory, bytes); }
  // The same of pinned memory, where the backend has some.
  void* shelf(size_t bytes) { return reserve(shelf_, memory.offload()->memory(), bytes); }
  void give_back_workspace() { workspace_ = Buffer<uint8_t>(); }
  // Workspaces of at least so many bytes have been too much for the device: steps that want one offload.
  size_t too_much = SIZE_MAX;
  // The runtime over the machine's own memory.
  Runtime& host() { return machine_ == nullptr ? *this : *machine_; }

 private:
  static void* reserve(Buffer<uint8_t>& block, MemoryCounter& counter, size_t bytes) {
    if (bytes > block.size()) {
      block = Buffer<uint8_t>();  // the old block goes before the new one comes
      block = Buffer<uint8_t>(counter, bytes);
    }
    return block.data();
  }

  Runtime* machine_;
  Buffer<uint8_t> workspace_, host_workspace_, shelf_;
};

}  // namespace lr
