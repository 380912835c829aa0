// The cores that this process may run on.
#pragma once
#include <vector>

namespace lr {

// One hardware thread of each core in the calling thread's affinity, in order: a product keeps the multipliers of a core busy by
// itself, so a second thread on that core only takes its cache. Where nothing is known about cores, every hardware thread. At
// least one.
std::vector<int> usable_cores();

}  // namespace lr
