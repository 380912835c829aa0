// Any bytes as a config.json: refused with an Error, or a configuration whose tensors have sizes that a file can have.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "model/base_file.h"
#include "model/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const lr::ModelConfig config = lr::parse_model_config(lr::json::parse(text, "config.json"), "config.json");
    if (config.layers > 64) return 0;  // many layers cost time and show nothing new
    for (const lr::BaseTensor& tensor : lr::expected_tensors(config)) {
      if (tensor.rows < 1 || tensor.cols < 1 || tensor.elements() < 1) std::abort();
    }
  } catch (const lr::Error&) {
  }
  return 0;
}
