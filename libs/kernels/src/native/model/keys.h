// Keys of the counter-based generator: one independent stream per purpose from one seed.
#pragma once
#include <cstdint>

namespace lr {

// Streams 0, 1, … of a step's seed are the dropout masks of its linear layers; this one is the noise on its embeddings.
inline constexpr uint64_t kNoiseStream = uint64_t{1} << 32;

// Finalizer of SplitMix64 (Steele et al. 2014) over seed and stream number.
inline uint64_t stream_key(uint64_t seed, uint64_t stream) {
  uint64_t z = seed + (stream + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ z >> 27) * 0x94D049BB133111EBull;
  return z ^ z >> 31;
}

}  // namespace lr
