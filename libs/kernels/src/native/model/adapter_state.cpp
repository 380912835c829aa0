// The state of an adapter as bytes (little-endian): header, (rows, cols) of every tensor, weights, Adam's first and second
// moments, tensor by tensor without gaps, and the CRC-32C of all of it.
#include <cstring>

#include "adapter.h"
#include "crc32c.h"
#include "error.h"

namespace lr {
namespace {

constexpr char kMagic[8] = {'L', 'R', 'S', 'T', 'A', 'T', 'E', '\n'};
constexpr uint32_t kVersion = 1;
constexpr Adapter::Array kArrays[] = {Adapter::Array::Weight, Adapter::Array::AdamM, Adapter::Array::AdamV};

struct StateHeader {
  char magic[8];
  uint32_t version;
  uint32_t tensors;
  uint64_t adam_step;
};
static_assert(sizeof(StateHeader) == 24);

// Header and shapes of an adapter's state.
std::string state_head(const std::vector<AdapterTensor>& tensors, uint64_t adam_step) {
  StateHeader header = {{}, kVersion, static_cast<uint32_t>(tensors.size()), adam_step};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  std::string head(reinterpret_cast<const char*>(&header), sizeof header);
  for (const AdapterTensor& tensor : tensors) {
    head.append(reinterpret_cast<const char*>(&tensor.rows), sizeof tensor.rows);
    head.append(reinterpret_cast<const char*>(&tensor.cols), sizeof tensor.cols);
  }
  return head;
}

}  // namespace

uint64_t Adapter::state_bytes() const {
  uint64_t elements = 0;
  for (const AdapterTensor& tensor : tensors_) elements += tensor.elements();
  return sizeof(StateHeader) + tensors_.size() * 16 + elements * sizeof(float) * std::size(kArrays) + sizeof(uint32_t);
}

void Adapter::export_state(uint8_t* out, uint64_t bytes) {
  if (bytes != state_bytes()) {
    fail(LR_INVALID_ARGUMENT, "the state has %llu bytes, not %llu", static_cast<unsigned long long>(state_bytes()),
         static_cast<unsigned long long>(bytes));
  }
  const std::string head = state_head(tensors_, adam_step_);
  std::memcpy(out, head.data(), head.size());
  uint8_t* at = out + head.size();
  for (const Array which : kArrays) {
    const float* values = array(which);
    for (const AdapterTensor& tensor : tensors_) {
      const size_t size = tensor.elements() * sizeof(float);
      if (values == nullptr) {
        std::memset(at, 0, size);
      } else {
        std::memcpy(at, values + tensor.at, size);
      }
      at += size;
    }
  }
  const uint32_t crc = crc32c(out, static_cast<size_t>(at - out));
  std::memcpy(at, &crc, sizeof crc);
}

void Adapter::import_state(const uint8_t* in, uint64_t bytes) {
  StateHeader header;
  if (bytes < sizeof header + sizeof(uint32_t)) fail(LR_BAD_FORMAT, "too few bytes for the state of an adapter");
  std::memcpy(&header, in, sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) fail(LR_BAD_FORMAT, "these bytes are not the state of an adapter");
  if (header.version != kVersion) {
    fail(LR_BAD_FORMAT, "adapter state of version %u; this library reads %u", header.version, kVersion);
  }
  uint32_t crc;
  std::memcpy(&crc, in + bytes - sizeof crc, sizeof crc);
  if (crc != crc32c(in, bytes - sizeof crc)) fail(LR_BAD_FORMAT, "the state of the adapter is damaged: its checksum is wrong");
  const std::string head = state_head(tensors_, header.adam_step);
  if (bytes != state_bytes() || std::memcmp(in, head.data(), head.size()) != 0) {
    fail(LR_BAD_FORMAT, "the state belongs to an adapter with other targets or ranks");
  }
  for (const Array which : kArrays) prepare(which);
  const uint8_t* at = in + head.size();
  for (const Array which : kArrays) {
    for (const AdapterTensor& tensor : tensors_) {
      const size_t size = tensor.elements() * sizeof(float);
      std::memcpy(array(which) + tensor.at, at, size);
      at += size;
    }
  }
  adam_step_ = header.adam_step;
}

}  // namespace lr
