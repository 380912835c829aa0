// Any bytes as a config.json: refused with an Error, or a configuration whose tensors have sizes that a file can have.
#include <algorithm>
#include <cstdlib>

#include "model/base_file.h"
#include "model/error.h"
#include "support/json_text.h"

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  Random random(seed);
  const std::string changed = mutate_json(std::string(reinterpret_cast<const char*>(data), size), random, most);
  std::copy(changed.begin(), changed.end(), data);
  return changed.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const lr::ModelConfig config = lr::parse_model_config(lr::json::parse(text, "config.json"), "config.json");
    if (config.layers > 64) return 0;  // many layers cost time and show nothing new
    for (const lr::BaseTensor& tensor : lr::expected_tensors(config)) {
      if (tensor.rows < 1 || tensor.cols < 1 || tensor.elements() < 1) std::abort();
    }
  } catch (const lr::Error& error) {
    if (error.status() == LR_INTERNAL) std::abort();
  }
  return 0;
}
