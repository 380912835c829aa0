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
  Weight weight = {};  // of no size in a fused model's unused places
  const float* bias = nullptr;  // [out]
};

struct Layer {
  const float* norms[kNorms] = {};  // what norm_shape says, with the offset of 1 where the model has one; null: none
  Linear linears[kLinears];         // without a name: none
};

class Base {
 public:
  // `memory` is what operations use: a device's gets a copy of the file, but for an embedding that is not the head too. Of that a step reads a row a
  // token, and it lies in pinned memory, where there is some. Throws Error: LR_IO_ERROR, LR_BAD_FORMAT, LR_UNSUPPORTED_MODEL.
  Base(const std::string& path, MemoryCounter& memory, MemoryCounter& host_memory);

  const ModelConfig& config() const { return index_.config; }
  const std::vector<Layer>& layers() const { return layers_; }
  const Weight& embedding() const { return embedding_; }
  const Weight& head() const { return head_; }
  const float* final_norm() const { return final_norm_; }
  MemoryCounter& memory() const { return memory_; }
  MemoryCounter& host_memory() const { return host_memory_; }
  // A weight of this base as it lies in the mapped file.
  Weight on_host(Weight weight) const;
  // What embeddings are multiplied by.
  float embedding_scale() const { return embedding_scale_; }
  // One for each of config().ropes.
  std::vector<RopeTable>& ropes() { return ropes_; }
  // JSON of lr_base_info.
  std::string info() const;
  // Layer and kind of a linear layer by its full name. Throws Error(LR_INVALID_ARGUMENT) that lists names near to it.
  std::pair<int, int> find_linear(const std::string& name) const;

 private:
  void copy_to_device();
  const float* norm(const BaseTensor& tensor);
  Weight weight_in(const BaseTensor& tensor) const;

  MemoryCounter &memory_, &host_memory_;
  MappedFile file_;
  Buffer<uint8_t> copy_;   // of the file, on a device; without what lies in pinned_
  Buffer<uint8_t> pinned_;  // the embedding
  const uint8_t* data_;    // the file's bytes where operations find them
  BaseIndex index_;
  std::vector<RopeTable> ropes_;
  std::vector<Layer> layers_;
  std::vector<Buffer<float>> norms_;  // norms that are not used as they lie in the file; tiny
  Weight embedding_{}, head_{};
  const float* final_norm_ = nullptr;
  float embedding_scale_ = 1;
  uint64_t parameters_ = 0, linear_parameters_ = 0, linear_bytes_ = 0;
};

}  // namespace lr
