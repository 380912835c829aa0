// Any bytes as a config.json: refused with an Error, or a configuration that goes through the base file's index unchanged.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "model/config.h"
#include "model/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const lr::ModelConfig config = lr::parse_model_config(lr::json::parse(text, "config.json"), "config.json");
    const std::string written = lr::write_config(config);
    if (lr::write_config(lr::read_config(lr::json::parse(written, "index"), "index")) != written) std::abort();
  } catch (const lr::Error&) {
  }
  return 0;
}
