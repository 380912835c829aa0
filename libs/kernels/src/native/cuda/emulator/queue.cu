#include "../queue.h"

#include <cstring>

namespace lr::cuda {

void copy_in(const Run&, void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
void copy_out(const Run&, void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
void copy_within(const Run&, void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
void fill_zero(const Run&, void* to, size_t bytes) { std::memset(to, 0, bytes); }

}  // namespace lr::cuda
