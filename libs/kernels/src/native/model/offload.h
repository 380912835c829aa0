// Pinned memory of the machine, to and from which a device copies beside what it computes. Copies of one direction are made in the order
// in which they were asked for.
#pragma once
#include <cstdint>

#include "memory.h"

namespace lr {

class Offload {
 public:
  enum class Direction { Store, Load };
  struct Copy {
    Direction direction;
    uint64_t number;
  };
  virtual ~Offload() = default;

  // That memory, counted apart from the device's. Reading and writing it by this counter waits for copies that are under way.
  virtual MemoryCounter& memory() = 0;
  // What is to go there where the device's memory would do.
  enum class Always { Nothing, Checkpoints, Everything };
  virtual Always always() const = 0;

  // From the device to the machine and back. A copy begins when all is done that the device was given before; what it is given
  // later does not wait for it.
  virtual Copy store(void* host, const void* from, size_t bytes) = 0;
  virtual Copy load(void* to, const void* host, size_t bytes) = 0;
  // What the device is given from here on begins when the copy is done.
  virtual void await(const Copy& copy) = 0;
  // The same of every copy that was asked for.
  virtual void settle() noexcept = 0;
};

}  // namespace lr
