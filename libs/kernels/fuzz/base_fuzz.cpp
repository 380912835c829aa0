// Any bytes as a quantized base: opening is refused with an Error, or every weight lies within the file and can be read. Checksums
// and the file's size are made right first: a fuzzer does not guess them, an attacker computes them.
#include <cstring>

#include "input_file.h"
#include "model/base.h"
#include "model/crc32c.h"
#include "model/error.h"
#include "model/storage.h"

namespace {

constexpr size_t kHeaderBytes = 64, kIndexCrc = 12, kIndexBytes = 16, kFileBytes = 24, kHeaderCrc = 60;

template <typename T>
void put(std::string& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

void make_right(std::string& bytes) {
  uint64_t index_bytes;
  std::memcpy(&index_bytes, bytes.data() + kIndexBytes, sizeof index_bytes);
  index_bytes = std::min<uint64_t>(index_bytes, bytes.size() - kHeaderBytes);
  put(bytes, kIndexBytes, index_bytes);
  put(bytes, kIndexCrc, lr::crc32c(bytes.data() + kHeaderBytes, index_bytes));
  put(bytes, kFileBytes, static_cast<uint64_t>(bytes.size()));
  put(bytes, kHeaderCrc, lr::crc32c(bytes.data(), kHeaderCrc));
}

// Reads the first and the last byte; a pointer beside the mapping is then found by the sanitizer or the processor.
void touch(const void* data, uint64_t bytes) {
  if (bytes == 0) return;
  const auto* at = static_cast<const volatile uint8_t*>(data);
  (void)at[0];
  (void)at[bytes - 1];
}

void touch(const lr::Weight& weight) {
  const lr::Scales& scales = weight.scales;
  const lr::WeightLayout layout(weight.storage, scales.absmax == nullptr, weight.rows, weight.cols);
  touch(weight.data, layout.data_bytes);
  if (scales.absmax != nullptr) touch(scales.absmax, layout.absmax_count * sizeof(float));
  if (scales.absmax_codes == nullptr) return;
  touch(scales.absmax_codes, layout.absmax_count);
  touch(scales.nested_absmax, layout.nested_count * sizeof(float));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size >= kHeaderBytes) make_right(bytes);
  const FuzzFile file(reinterpret_cast<const uint8_t*>(bytes.data()), size);
  try {
    lr::MemoryCounter memory;
    const lr::Base base(file.path(), memory);
    touch(base.embedding());
    touch(base.head());
    for (const lr::Layer& layer : base.layers()) {
      for (const lr::Linear& linear : layer.linears) {
        if (linear.weight.data != nullptr) touch(linear.weight);
      }
    }
    if (base.info().empty()) std::abort();
  } catch (const lr::Error&) {
  } catch (const std::bad_alloc&) {
  }
  return 0;
}
