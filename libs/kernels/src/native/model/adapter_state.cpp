// The state of an adapter as bytes (little-endian): header; role, width of the moments in bits, rows and cols of every tensor; the
// weights, tensor by tensor without gaps; AdamW's moments as Moments lays them out; and the CRC-32C of all of it.
#include <cstring>

#include "adapter.h"
#include "crc32c.h"
#include "error.h"

namespace lr {
namespace {

constexpr char kMagic[8] = {'L', 'R', 'S', 'T', 'A', 'T', 'E', '\n'};
constexpr uint32_t kVersion = 2;

struct StateHeader {
  char magic[8];
  uint32_t version;
  uint32_t tensors;
  uint64_t adam_step;
};
static_assert(sizeof(StateHeader) == 24);

struct StateTensor {
  uint32_t role, moment_bits;
  int64_t rows, cols;
};
static_assert(sizeof(StateTensor) == 24);

}  // namespace

std::string Adapter::state_head(uint64_t adam_step) const {
  StateHeader header = {{}, kVersion, static_cast<uint32_t>(tensors_.size()), adam_step};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  std::string head(reinterpret_cast<const char*>(&header), sizeof header);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const AdapterTensor& tensor = tensors_[i];
    const uint32_t bits = !tensor.trained() ? 0 : moments_.eight_bit(i) ? 8 : 32;
    const StateTensor entry = {static_cast<uint32_t>(tensor.role), bits, tensor.rows, tensor.cols};
    head.append(reinterpret_cast<const char*>(&entry), sizeof entry);
  }
  return head;
}

uint64_t Adapter::state_bytes() const {
  require_trainable();
  uint64_t elements = 0;
  for (const AdapterTensor& tensor : tensors_) elements += tensor.elements();
  return sizeof(StateHeader) + tensors_.size() * sizeof(StateTensor) + elements * sizeof(float) + moments_.bytes() +
         sizeof(uint32_t);
}

void Adapter::export_state(uint8_t* out, uint64_t bytes) const {
  if (bytes != state_bytes()) {
    fail(LR_INVALID_ARGUMENT, "the state has %llu bytes, not %llu", static_cast<unsigned long long>(state_bytes()),
         static_cast<unsigned long long>(bytes));
  }
  const std::string head = state_head(adam_step_);
  std::memcpy(out, head.data(), head.size());
  uint8_t* at = out + head.size();
  for (const AdapterTensor& tensor : tensors_) {
    weights_.read(tensor.at, reinterpret_cast<float*>(at), tensor.elements());
    at += tensor.elements() * sizeof(float);
  }
  moments_.read_all(at);
  at += moments_.bytes();
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
  const std::string head = state_head(header.adam_step);
  if (bytes != state_bytes() || std::memcmp(in, head.data(), head.size()) != 0) {
    fail(LR_BAD_FORMAT, "the state belongs to an adapter with other targets or ranks, or of another method or optimizer");
  }
  moments_.prepare(base_.memory());
  const uint8_t* at = in + head.size();
  for (const AdapterTensor& tensor : tensors_) {
    weights_.write(tensor.at, reinterpret_cast<const float*>(at), tensor.elements());
    at += tensor.elements() * sizeof(float);
  }
  moments_.write_all(at);
  weights_changed();
  adam_step_ = header.adam_step;
}

}  // namespace lr
