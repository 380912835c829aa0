// Writes a quantized base file from a Hugging Face folder, one tensor at a time.
#include <algorithm>
#include <cstring>

#include "../bf16.h"
#include "base_file.h"
#include "error.h"
#include "file.h"
#include "safetensors.h"

namespace lr {
namespace {

constexpr int64_t kCopyChunk = 1 << 18;  // values
constexpr uint64_t kMaxConfigBytes = 1u << 20;

const TensorInfo& find_tensor(const Checkpoint& checkpoint, const ModelConfig& config, const BaseTensor& wanted) {
  const TensorInfo* found = checkpoint.find(wanted.name);
  if (found == nullptr) found = checkpoint.find(older_name(config, wanted.name));
  if (found == nullptr) {
    fail(LR_BAD_FORMAT, "%s: tensor \"%s\" is missing from the weights", checkpoint.folder().c_str(), wanted.name.c_str());
  }
  const std::vector<int64_t> shape =
      wanted.rows == 1 ? std::vector<int64_t>{wanted.cols} : std::vector<int64_t>{wanted.rows, wanted.cols};
  // A matrix with a single row keeps its two dimensions.
  const bool single_row = found->shape == std::vector<int64_t>{1, wanted.cols};
  if (found->shape != shape && !(wanted.rows == 1 && single_row)) {
    fail(LR_BAD_FORMAT, "%s: tensor \"%s\" has not the shape [%lld, %lld] that config.json asks for", checkpoint.folder().c_str(),
         wanted.name.c_str(), static_cast<long long>(wanted.rows), static_cast<long long>(wanted.cols));
  }
  if (found->dtype == Dtype::Other) {
    fail(LR_UNSUPPORTED_MODEL, "%s: tensor \"%s\" has dtype %s; supported: F32, F16, BF16", checkpoint.folder().c_str(),
         wanted.name.c_str(), found->dtype_name.c_str());
  }
  return *found;
}

Storage storage_for(const BaseTensor& tensor, Dtype dtype) {
  if (tensor.role == BaseTensor::Role::Linear) return Storage::NF4;
  if (tensor.role == BaseTensor::Role::Bias) return Storage::F32;
  return dtype == Dtype::F32 ? Storage::F32 : Storage::BF16;
}

// Full-precision values and quantized form of the one linear layer in work; as large as the largest needs.
struct Workspace {
  Workspace(MemoryCounter& memory, int64_t largest)
      : values(memory, static_cast<size_t>(largest)), quantized(memory, Nf4Layout(largest).bytes) {}
  Buffer<float> values;
  Buffer<uint8_t> quantized;
};

void write_linear(const Run& run, const Ops& ops, const Checkpoint& checkpoint, const TensorInfo& source, Workspace& work,
                  AtomicFile& out) {
  const int64_t n = source.elements();
  const Nf4Layout layout(n);
  checkpoint.read_float(source, work.values.data());
  std::memset(work.quantized.data(), 0, layout.bytes);
  uint8_t* to = work.quantized.data();
  ops.nf4_quantize(run, work.values.data(), n, to, to + layout.absmax_codes, reinterpret_cast<float*>(to + layout.nested_absmax),
                   reinterpret_cast<float*>(to + layout.offset));
  out.write(to, layout.bytes);
}

void write_f32(const Checkpoint& checkpoint, const TensorInfo& source, MemoryCounter& memory, AtomicFile& out) {
  Buffer<float> values(memory, static_cast<size_t>(source.elements()));
  checkpoint.read_float(source, values.data());
  out.write(values.data(), values.size() * sizeof(float));
}

void write_kept(const Checkpoint& checkpoint, const TensorInfo& source, AtomicFile& out) {
  const size_t width = source.dtype == Dtype::F32 ? 4 : 2;
  std::vector<uint8_t> chunk(static_cast<size_t>(std::min(kCopyChunk, source.elements())) * width);
  for (int64_t at = 0; at < source.elements(); at += kCopyChunk) {
    const int64_t count = std::min(kCopyChunk, source.elements() - at);
    checkpoint.read_raw(source, at, count, chunk.data());
    if (source.dtype == Dtype::F16) {
      auto* bits = reinterpret_cast<uint16_t*>(chunk.data());
      std::transform(bits, bits + count, bits, [](uint16_t half) { return float_to_bf16(f16_to_float(half)); });
    }
    out.write(chunk.data(), static_cast<uint64_t>(count) * width);
  }
}

}  // namespace

void quantize_base(const Run& run, const Ops& ops, MemoryCounter& memory, const std::string& model_dir, const std::string& file,
                   const CancelFlag* cancel, const ProgressFn& progress) {
  const std::string config_path = model_dir + "/config.json";
  BaseIndex index;
  index.config_text = read_text(config_path, kMaxConfigBytes);
  index.config = parse_model_config(json::parse(index.config_text, config_path), config_path);
  index.tensors = expected_tensors(index.config);
  const Checkpoint checkpoint(model_dir);

  std::vector<const TensorInfo*> sources;
  uint64_t total_bytes = 0, done_bytes = 0;
  int64_t largest_linear = 0;
  for (BaseTensor& tensor : index.tensors) {
    const TensorInfo& source = find_tensor(checkpoint, index.config, tensor);
    tensor.storage = storage_for(tensor, source.dtype);
    tensor.bytes = storage_bytes(tensor.storage, tensor.elements());
    if (tensor.role == BaseTensor::Role::Linear) largest_linear = std::max(largest_linear, tensor.elements());
    total_bytes += source.bytes;
    sources.push_back(&source);
  }

  const std::string head = write_base_head(index);
  Workspace work(memory, largest_linear);
  AtomicFile out(file);
  out.write(head.data(), head.size());
  progress(0, total_bytes);
  for (size_t i = 0; i < sources.size(); ++i) {
    check_cancelled(cancel);
    const BaseTensor& tensor = index.tensors[i];
    out.pad_to(tensor.offset);
    switch (tensor.role) {
      case BaseTensor::Role::Linear: write_linear(run, ops, checkpoint, *sources[i], work, out); break;
      case BaseTensor::Role::Bias: write_f32(checkpoint, *sources[i], memory, out); break;
      case BaseTensor::Role::Kept: write_kept(checkpoint, *sources[i], out); break;
    }
    done_bytes += sources[i]->bytes;
    progress(done_bytes, total_bytes);
  }
  check_cancelled(cancel);
  out.commit();
}

}  // namespace lr
