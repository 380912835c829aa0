// The quantized base file, format version 2 (little-endian):
//   0   header, 64 bytes: magic "LRBASE\r\n", u32 version, u32 CRC-32C of the index, u64 index bytes, u64 file bytes,
//       28 zero bytes, u32 CRC-32C of the 60 bytes before
//   64  index, JSON: {"config":{…},"quantization":{"storage","double_quant","prequantized"},
//       "tensors":[{"name","storage","double_quant","rows","cols","offset","bytes"},…]}
//       config is the model's config.json as it was
//   …   tensors in index order, each at a multiple of 64, laid out as WeightLayout says
// The magic ends in CR LF so that a transfer in text mode is noticed.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cancel.h"
#include "config.h"
#include "memory.h"
#include "storage.h"

namespace lr {

struct BaseTensor {
  enum class Role { Kept, Linear, Bias };
  std::string name;
  Role role;
  int64_t rows, cols;
  Storage storage = Storage::F32;
  bool double_quant = false;
  uint64_t offset = 0, bytes = 0;  // in the file

  int64_t elements() const { return rows * cols; }
  WeightLayout layout() const { return {storage, double_quant, rows, cols}; }
};

// Every tensor of a model of this configuration, in file order: embedding, layers, final norm, head unless tied.
std::vector<BaseTensor> expected_tensors(const ModelConfig& config);

struct BaseIndex {
  ModelConfig config;
  std::string config_text;  // what config was read from; only for writing
  Quantization quantization;  // of the linear layers; some of a prequantized checkpoint have another storage
  bool prequantized = false;  // bitsandbytes had quantized the checkpoint
  std::vector<BaseTensor> tensors;
};

// Header and index bytes, padded to where the first tensor begins; sets the offsets of the tensors.
std::string write_base_head(BaseIndex& index);
// Checks header and index of a file of `size` bytes mapped at `data`; every tensor is then known to lie within it and to have
// the shape that its configuration asks for. Throws Error: LR_BAD_FORMAT, or LR_UNSUPPORTED_MODEL for a model of another version.
BaseIndex read_base_head(const uint8_t* data, uint64_t size, const std::string& path);

using ProgressFn = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

// lr_base_quantize: see the public header.
void quantize_base(const Run& run, const Ops& ops, MemoryCounter& memory, const std::string& model_dir, const std::string& file,
                   const Quantization& quantization, const CancelFlag* cancel, const ProgressFn& progress);

}  // namespace lr
