// A backend that runs on a device with memory of its own. It comes in a library of its own, which has everything this one has and
// another open_device: cuda/backend.cu.
#pragma once
#include <memory>

#include "model/group.h"
#include "model/memory.h"
#include "ops.h"

namespace lr {

struct DeviceBackend {
  virtual ~DeviceBackend() = default;
  virtual const Ops& ops() const = 0;
  virtual MemoryCounter& memory() = 0;
  virtual Scratch& scratch() = 0;
  virtual Device* queue() = 0;
  // See lr_group_id and lr_group_join; the library that connects devices is looked for here.
  virtual GroupId make_group_id() = 0;
  virtual std::unique_ptr<Group> join_group(const GroupId& id, int rank, int size) = 0;
};

// The device of this library, null where it has none. Throws Error(LR_DEVICE_FAILED) when there should be one that cannot be used.
std::unique_ptr<DeviceBackend> open_device();

}  // namespace lr
