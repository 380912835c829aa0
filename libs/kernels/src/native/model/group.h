// Ranks: devices, each with a context of its own, that train one adapter together.
#pragma once
#include <cstdint>

#include "cancel.h"

namespace lr {

// What ranks find each other by.
struct GroupId {
  char bytes[LR_GROUP_ID_BYTES];
};

// One rank's end of a group.
class Group {
 public:
  Group(int rank, int size) : rank_(rank), size_(size) {}
  virtual ~Group() = default;
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  // all [size, count] receives own [count] of every rank, in their order; both are memory of the rank's device. Every rank calls it, with the
  // same count. Waits for all of them, and polls cancel. Whatever it throws ends the group: Error(LR_CANCELLED), Error(LR_DEVICE_FAILED).
  virtual void gather(const float* own, float* all, int64_t count, const CancelFlag* cancel) = 0;

 private:
  int rank_, size_;
};

}  // namespace lr
