// Any bytes as a safetensors file: the header is refused with an Error, or every tensor it names lies within the file and is read.
#include <algorithm>
#include <vector>

#include "input_file.h"
#include "model/error.h"
#include "model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const FuzzFile bytes(data, size);
  try {
    const lr::InputFile file(bytes.path());
    for (const auto& [name, tensor] : lr::read_safetensors_header(file)) {
      if (tensor.offset > size || tensor.bytes > size - tensor.offset || tensor.elements() < 0) std::abort();
      std::vector<uint8_t> values(tensor.bytes);
      file.read(values.data(), values.size(), tensor.offset);
    }
  } catch (const lr::Error&) {
  }
  return 0;
}
