// Reads Hugging Face's safetensors files: u64 little-endian header size, a JSON header of names → {dtype, shape,
// data_offsets}, then the tensors without gaps. Everything in the header is checked before any of it is used.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "file.h"

namespace lr {

enum class Dtype : uint8_t { F32, F16, BF16, I8, U8, Other };

inline bool is_float(Dtype dtype) { return dtype <= Dtype::BF16; }

struct TensorInfo {
  Dtype dtype = Dtype::Other;
  std::string dtype_name;
  std::vector<int64_t> shape;
  uint64_t offset = 0;  // in the file
  uint64_t bytes = 0;
  size_t file = 0;      // which file of the checkpoint
};

// The header of one file, checked: sizes, overflow, overlap and holes. Throws Error(LR_BAD_FORMAT).
std::map<std::string, TensorInfo> read_safetensors_header(const InputFile& file);

// The weights of a model folder: model.safetensors, or the shards listed by model.safetensors.index.json.
class Checkpoint {
 public:
  // Throws Error: LR_IO_ERROR for a missing folder or file, LR_BAD_FORMAT for damaged files and for pickled weights.
  explicit Checkpoint(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const TensorInfo* find(const std::string& name) const;
  // Bytes [first, first + count) of a tensor.
  void read_raw(const TensorInfo& tensor, uint64_t first, uint64_t count, void* out) const;
  // Values [first, first + count) of a tensor of floats as float.
  void read_float(const TensorInfo& tensor, int64_t first, int64_t count, float* out) const;

 private:
  void add_file(const std::string& name);
  void add_shards(const std::string& index_path);

  std::string folder_;
  std::vector<InputFile> files_;
  std::map<std::string, TensorInfo> tensors_;
};

float f16_to_float(uint16_t bits);

}  // namespace lr
