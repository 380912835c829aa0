// Makes allocations fail. The program replaces what the library gets memory, mappings and threads from: operator new, aligned_alloc,
// mmap, mprotect, opendir and pthread_create. The library itself knows nothing of it.
#pragma once
#include <cstdint>

namespace lr::test {

enum class Failing { Once, FromThenOn };

// From now on the n-th allocation (the first is 1), of whichever thread, fails: it alone, or it and all after it.
void fail_allocation(uint64_t n, Failing failing);
// Ends that; whether there was an n-th.
bool stop_failing();
// Blocks of operator new that were not given back.
int64_t live_blocks();

}  // namespace lr::test
