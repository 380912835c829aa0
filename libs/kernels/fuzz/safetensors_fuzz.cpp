// Any bytes as a safetensors file: the header is refused with an Error, or every tensor it names lies within the file and is read.
#include <algorithm>
#include <vector>

#include "model/error.h"
#include "model/safetensors.h"
#include "support/input_file.h"
#include "support/made_model.h"

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  Random random(seed);
  const std::string changed = mutate_safetensors(std::string(reinterpret_cast<const char*>(data), size), random, most);
  std::copy(changed.begin(), changed.end(), data);
  return changed.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const FuzzFile bytes(data, size);
  try {
    const lr::InputFile file(bytes.path());
    for (const auto& [name, tensor] : lr::read_safetensors_header(file)) {
      if (tensor.offset > size || tensor.bytes > size - tensor.offset) std::abort();
      std::vector<uint8_t> values(tensor.bytes);
      file.read(values.data(), values.size(), tensor.offset);
    }
  } catch (const lr::Error& error) {
    if (error.status() == LR_INTERNAL) std::abort();
  }
  return 0;
}
