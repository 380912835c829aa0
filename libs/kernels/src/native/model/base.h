// An opened quantized base: the configuration and where each frozen weight lies in the mapped file.
#pragma once
#include <string>
#include <vector>

#include "base_file.h"
#include "file.h"
#include "rope.h"

namespace lr {

struct Linear {
  std::string name;  // as in lr_base_info
  Weight weight;
  const float* bias = nullptr;  // [out]
};

struct Layer {
  const float* attention_norm;  // [hidden]
  const float* mlp_norm;        // [hidden]
  Linear linears[kLinears];
};

class Base {
 public:
  // Throws Error: LR_IO_ERROR, LR_BAD_FORMAT.
  Base(const std::string& path, MemoryCounter& memory);

  const ModelConfig& config() const { return index_.config; }
  const std::vector<Layer>& layers() const { return layers_; }
  const Weight& embedding() const { return embedding_; }
  const Weight& head() const { return head_; }
  const float* final_norm() const { return final_norm_; }
  MemoryCounter& memory() const { return memory_; }
  // Tables for at least `positions` positions.
  const RopeTable& rope(int64_t positions);
  // JSON of lr_base_info.
  std::string info() const;
  // Layer and kind of a linear layer by its full name. Throws Error(LR_INVALID_ARGUMENT) that lists names near to it.
  std::pair<int, int> find_linear(const std::string& name) const;

 private:
  const float* norm(const BaseTensor& tensor);

  MemoryCounter& memory_;
  MappedFile file_;
  BaseIndex index_;
  RopeTable rope_;
  std::vector<Layer> layers_;
  std::vector<Buffer<float>> norms_;  // norms as float: kept as bf16 in the file, tiny
  Weight embedding_{}, head_{};
  const float* final_norm_ = nullptr;
  uint64_t parameters_ = 0, linear_parameters_ = 0, linear_bytes_ = 0;
};

}  // namespace lr
