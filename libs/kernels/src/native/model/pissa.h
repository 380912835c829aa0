// Principal singular vectors of a frozen weight, for PiSSA (Meng et al. 2024).
#pragma once
#include "runtime.h"

namespace lr {

// a [rank, in] and b [out, rank] such that scale · b a is the best approximation of W of that rank, its singular values shared
// equally between the two. By randomized subspace iteration (Halko, Martinsson & Tropp 2011, algorithm 4.4) from a start that
// `key` decides; W is only multiplied with, never held. rank ≤ min(out, in), scale > 0.
void principal_pair(Runtime& runtime, const Weight& w, int32_t rank, float scale, uint32_t iterations, uint64_t key, float* a,
                    float* b);

}  // namespace lr
