// Any bytes as a quantized base: opening is refused with an Error, or every weight lies within the file and the base computes.
// Checksums and the file's size are made right first: a fuzzer does not guess them, an attacker computes them. An input that begins
// with '{' is a configuration, and choices behind it: its base is made, and so lies beyond what is refused.
#include "model/error.h"
#include "support/input_file.h"
#include "support/made_model.h"
#include "support/use_base.h"

namespace {

bool is_config(const std::string& input) { return !input.empty() && input.front() == '{'; }

// The base that an input stands for.
std::optional<std::string> base_of(const std::string& input) {
  const size_t end = object_end(input);
  if (is_config(input)) return end == std::string::npos ? std::nullopt : made_base(input.substr(0, end), std::string_view(input).substr(end));
  std::string bytes = input;
  make_right(bytes);
  return bytes;
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  Random random(seed);
  std::string input(reinterpret_cast<const char*>(data), size);
  const size_t end = object_end(input);
  if (end == std::string::npos) {
    input = is_config(input) ? mutate_bytes(input, most) : mutate_base(input, random, most);
  } else if (const size_t kind = random(8); kind == 0) {  // from here on the index changes beside the configuration
    input = base_of(input).value_or(input);
  } else if (kind == 1) {
    input = input.substr(0, end) + mutate_bytes(input.substr(end), std::min<size_t>(most - end, 256));
  } else {
    input = mutate_json(input.substr(0, end), random, most) + input.substr(end);
  }
  if (input.size() > most) input.resize(most);
  std::copy(input.begin(), input.end(), data);
  return input.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::optional<std::string> bytes = base_of(std::string(reinterpret_cast<const char*>(data), size));
  if (!bytes) return 0;
  const FuzzFile file(reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size());
  try {
    use_base(file.path());
  } catch (const lr::Error& error) {
    if (error.status() == LR_INTERNAL) std::abort();
  }
  return 0;
}
