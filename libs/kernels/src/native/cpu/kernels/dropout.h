// Dropout from the counter-based generator, W Philox blocks at a time.
#pragma once
#include "philox.h"
#include "vec.h"
#include "weights.h"

namespace lr::LR_ISA {

// Factors of elements first … first+n-1 of a stream: 0 with probability p, else 1 / (1 - p).
static inline void dropout_factors(uint64_t key, float p, uint64_t first, int64_t n, float* factors) {
  const V probability = set(p), kept = set(1 / (1 - p));
  const I multiplier0 = set_int(philox::kMultiplier0), multiplier1 = set_int(philox::kMultiplier1);
  while (n > 0) {
    // From a multiple of W blocks on, so that the lower half of the counter does not wrap within them.
    const uint64_t block = first / 4 / W * W;
    I c0 = add_int(set_int(static_cast<uint32_t>(block)), lane_blocks()), c1 = set_int(static_cast<uint32_t>(block >> 32));
    I c2 = set_int(0), c3 = set_int(0);
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < philox::kRounds; ++round, k0 += philox::kWeyl0, k1 += philox::kWeyl1) {
      I low0, high0, low1, high1;
      multiply_wide(c0, multiplier0, &low0, &high0);
      multiply_wide(c2, multiplier1, &low1, &high1);
      c0 = xor_int(xor_int(high1, c1), set_int(k0));
      c1 = low1;
      c2 = xor_int(xor_int(high0, c3), set_int(k1));
      c3 = low0;
    }
    // lane_blocks put the blocks where these two steps leave the words in the order of the stream
    const I low01 = unpack_low(c0, c1), high01 = unpack_high(c0, c1), low23 = unpack_low(c2, c3), high23 = unpack_high(c2, c3);
    const I words[4] = {unpack_low64(low01, low23), unpack_high64(low01, low23), unpack_low64(high01, high23),
                        unpack_high64(high01, high23)};
    float out[4 * W];
    for (int i = 0; i < 4; ++i) store(out + i * W, keep_at_least(words[i], probability, kept));
    const int64_t skipped = static_cast<int64_t>(first - block * 4), count = least(4 * W - skipped, n);
    copy(out + skipped, count, factors);
    factors += count;
    first += count;
    n -= count;
  }
}

}  // namespace lr::LR_ISA
