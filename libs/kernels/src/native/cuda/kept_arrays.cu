#include "kept_arrays.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "queue.h"

namespace lr::cuda {

// Whether there is.
bool KeptArrays::make_room(Device* device, Kept& kept, size_t bytes) {
  if (bytes <= kept.capacity) return true;
  constexpr size_t kLeast = 1024;
  kept.values.clear();
  if (kept.memory != nullptr) deallocate(device, kept.memory);
  kept.capacity = std::bit_ceil(std::max(bytes, kLeast));
  kept.memory = allocate(device, kept.capacity);
  if (kept.memory == nullptr) kept.capacity = 0;
  return kept.memory != nullptr;
}

const void* KeptArrays::place(Device* device, const void* values, size_t bytes) {
  const std::lock_guard<std::mutex> lock(lock_);
  if (bytes == 0 || bytes > kMostBytes) return nullptr;
  auto found = std::ranges::find_if(
      kept_, [&](const Kept& kept) { return kept.values.size() == bytes && std::memcmp(kept.values.data(), values, bytes) == 0; });
  if (found == kept_.end()) {
    found = std::ranges::min_element(kept_, {}, &Kept::asked);
    if (!make_room(device, *found, bytes)) return nullptr;
    found->values.clear();
    copy_in(device, found->memory, values, bytes);
    const auto* first = static_cast<const unsigned char*>(values);
    found->values.assign(first, first + bytes);
  }
  found->asked = ++asked_;
  return found->memory;
}

void KeptArrays::close(Device* device) {
  for (const Kept& kept : kept_)
    if (kept.memory != nullptr) deallocate(device, kept.memory);
}

}  // namespace lr::cuda
