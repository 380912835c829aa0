// Tables of cosines and sines for rotary embeddings.
#pragma once
#include <map>
#include <vector>

#include "config.h"
#include "memory.h"

namespace lr {

// The frequencies of a sequence depend on its length in two types only. Sequences of equal regime turn alike: longrope has one
// up to the positions of pre-training (0) and one beyond (1); dynamic one up to there (0) and one for every length beyond.
int64_t rope_regime(const RopeConfig& rope, int64_t length);
// Frequencies [width / 2] of a sequence of `length` tokens, rounded to float as transformers does.
void rope_frequencies(const RopeConfig& rope, int64_t length, float* out);

// What a sequence needs: the frequencies of one of `length` tokens, for so many positions.
struct RopeSpan {
  int64_t length, positions;
};

// cos and sin [rows, width / 2]: for each regime its positions from 0 on, computed for as many as were asked for.
class RopeTable {
 public:
  // `limit`: positions that will ever be asked for.
  RopeTable(const RopeConfig& config, int64_t limit, MemoryCounter& memory);
  // Afterwards the table holds all of these; pointers and rows from before are void.
  void reserve(const std::vector<RopeSpan>& spans);
  // Row of position 0 of a sequence of `length` tokens, one of those reserved last.
  int64_t first_row(int64_t length) const { return sections_.at(rope_regime(config_, length)).first; }
  const RopeConfig& config() const { return config_; }
  const float* cos() const { return cos_.data(); }
  const float* sin() const { return sin_.data(); }

 private:
  struct Section {
    int64_t first = 0, positions = 0, length = 0;
  };
  void fill(const Section& section);

  RopeConfig config_;
  int64_t limit_;
  MemoryCounter& memory_;
  std::map<int64_t, Section> sections_;  // by regime
  Buffer<float> cos_, sin_;
};

}  // namespace lr
