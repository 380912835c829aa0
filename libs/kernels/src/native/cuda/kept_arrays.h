// Small arrays of the machine that a device holds already. Positions, tables and tiles are the same in every layer, and often in the next step: a
// copy of some hundred bytes takes as long as a kernel.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace lr {
struct Device;
}

namespace lr::cuda {

class KeptArrays {
 public:
  // Where these bytes lie on the device, copied there unless they are. What is given to the device's queue next may read them; kMost arrays later
  // others may lie there: passes ask, which take turns, and nobody beside them. Null: they are too many, or there is no memory.
  const void* place(Device* device, const void* values, size_t bytes);
  void close(Device* device);

 private:
  static constexpr size_t kMost = 16, kMostBytes = size_t{16} << 10;
  struct Kept {
    std::vector<unsigned char> values;
    void* memory = nullptr;  // of the device
    size_t capacity = 0;
    uint64_t asked = 0;  // when last
  };
  static bool make_room(Device* device, Kept& kept, size_t bytes);

  std::mutex lock_;
  std::array<Kept, kMost> kept_;
  uint64_t asked_ = 0;
};

}  // namespace lr::cuda
