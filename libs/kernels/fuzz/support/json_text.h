// JSON as text that a fuzzer changes: most of what comes out is JSON still, and gets past the parser to what reads it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

// A number in [0, bound) from libFuzzer's seed: the same seed makes the same change.
class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  size_t operator()(size_t bound) { return bound == 0 ? 0 : engine_() % bound; }

 private:
  std::mt19937 engine_;
};

// Where the JSON object that `text` begins with ends; npos: it begins with none, or it has no end.
size_t object_end(std::string_view text);
// libFuzzer's own changes: bytes flipped, copied, inserted, left out. At most `most` bytes come out.
std::string mutate_bytes(std::string bytes, size_t most);
// Values exchanged for others, members left out or written twice, and now and then mutate_bytes.
std::string mutate_json(std::string text, Random& random, size_t most);
