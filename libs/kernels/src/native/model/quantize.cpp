// Writes a quantized base file from a Hugging Face folder, one tensor at a time.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "../bf16.h"
#include "../quantization.h"
#include "base_file.h"
#include "error.h"
#include "file.h"
#include "prequantized.h"
#include "safetensors.h"

namespace lr {
namespace {

constexpr int64_t kCopyChunk = 1 << 18;  // floats copied at a time
constexpr uint64_t kMaxConfigBytes = 1u << 20;
// Largest magnitude of a value that is kept in 4 bits. No weight comes near; the sum of all scales stays finite.
constexpr float kMost4Bit = 1e20f;

// Where a tensor of the base comes from: values in full precision, or the parts that bitsandbytes left.
struct Source {
  const TensorInfo* values = nullptr;
  Prequantized parts;

  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const TensorInfo* tensor : {values, parts.codes, parts.absmax, parts.absmax_codes, parts.nested_absmax})
      if (tensor != nullptr) sum += tensor->bytes;
    return sum;
  }
};

const TensorInfo& find_tensor(const Checkpoint& checkpoint, const BaseTensor& wanted) {
  const TensorInfo* found = checkpoint.find(wanted.name);
  if (found == nullptr) {
    fail(LR_BAD_FORMAT, "%s: tensor \"%s\" is missing from the weights", checkpoint.folder().c_str(), wanted.name.c_str());
  }
  if (!is_float(found->dtype)) {
    fail(LR_UNSUPPORTED_MODEL, "%s: tensor \"%s\" has dtype %s; supported: F32, F16, BF16", checkpoint.folder().c_str(),
         wanted.name.c_str(), found->dtype_name.c_str());
  }
  const std::vector<int64_t> shape =
      wanted.rows == 1 ? std::vector<int64_t>{wanted.cols} : std::vector<int64_t>{wanted.rows, wanted.cols};
  // A matrix with a single row keeps its two dimensions.
  const bool single_row = found->shape == std::vector<int64_t>{1, wanted.cols};
  if (found->shape != shape && !(wanted.rows == 1 && single_row)) {
    fail(LR_BAD_FORMAT, "%s: tensor \"%s\" has not the shape [%lld, %lld] that config.json asks for", checkpoint.folder().c_str(),
         wanted.name.c_str(), static_cast<long long>(wanted.rows), static_cast<long long>(wanted.cols));
  }
  return *found;
}

// The storage nearest to a dtype; halves are floats when `exact`, else bfloat16, which keeps their range and loses three bits.
Storage kept_storage(Dtype dtype, bool exact) {
  return dtype == Dtype::F32 || (dtype == Dtype::F16 && exact) ? Storage::F32 : Storage::BF16;
}

// `tensor` under the name that the checkpoint has for it: older releases of transformers wrote some models under other names.
BaseTensor as_in_checkpoint(const Checkpoint& checkpoint, const ModelConfig& config, BaseTensor tensor) {
  const std::string older = older_name(config, tensor.name);
  if (checkpoint.find(tensor.name) == nullptr && checkpoint.find(older) != nullptr) tensor.name = older;
  return tensor;
}

// Finds where `tensor` comes from and decides how it is stored.
Source plan_tensor(const Checkpoint& checkpoint, const BaseIndex& index, BaseTensor& tensor) {
  const auto& [storage, double_quant] = index.quantization;
  const BaseTensor wanted = as_in_checkpoint(checkpoint, index.config, tensor);
  Source source;
  if (index.prequantized && is_prequantized(checkpoint, wanted)) {
    if (tensor.role != BaseTensor::Role::Linear) {
      fail(LR_UNSUPPORTED_MODEL, "%s: \"%s\" is quantized; supported: linear layers of the decoder. Quantize the model again with "
           "it in llm_int8_skip_modules", checkpoint.folder().c_str(), tensor.name.c_str());
    }
    source.parts = find_prequantized(checkpoint, wanted, index.quantization);
    tensor.storage = storage;
    tensor.double_quant = double_quant;
  } else {
    source.values = &find_tensor(checkpoint, wanted);
    if (tensor.role == BaseTensor::Role::Bias) {
      tensor.storage = Storage::F32;
    } else if (tensor.role == BaseTensor::Role::Linear && !index.prequantized) {
      tensor.storage = storage;
      tensor.double_quant = double_quant;
    } else {
      tensor.storage = kept_storage(source.values->dtype, storage == Storage::F32);
    }
  }
  tensor.bytes = tensor.layout().bytes;
  return source;
}

// Full-precision values and quantized form of the one linear layer in work, as large as the largest needs; and what is copied
// at a time of everything else.
class Writer {
 public:
  Writer(const Run& run, const Ops& ops, MemoryCounter& memory, const Checkpoint& checkpoint, AtomicFile& out, int64_t most_values,
         uint64_t most_bytes, int64_t most_copied)
      : run_(run), ops_(ops), checkpoint_(checkpoint), out_(out), values_(memory, static_cast<size_t>(most_values)),
        quantized_(memory, most_bytes), chunk_(memory, static_cast<size_t>(std::min(kCopyChunk, most_copied))) {}

  void write(const BaseTensor& tensor, const Source& source) {
    out_.pad_to(tensor.offset);
    if (source.values == nullptr) {
      take_over(tensor, source.parts);
    } else if (quant::is_quantized(tensor.storage)) {
      quantize(tensor, *source.values);
    } else {
      convert(tensor, *source.values);
    }
  }

 private:
  void take_over(const BaseTensor& tensor, const Prequantized& parts) {
    const WeightLayout layout = tensor.layout();
    copy(*parts.codes);
    const auto part = [&](const TensorInfo* from, uint64_t position) {
      if (from == nullptr) return;
      out_.pad_to(tensor.offset + position);
      copy(*from);
    };
    part(parts.absmax, layout.absmax);
    part(parts.absmax_codes, layout.absmax_codes);
    part(parts.nested_absmax, layout.nested_absmax);
    if (!tensor.double_quant) return;
    out_.pad_to(tensor.offset + layout.offset);
    out_.write(&parts.offset, sizeof parts.offset);
  }

  void copy(const TensorInfo& from) {
    const uint64_t piece = chunk_.size() * sizeof(float);
    for (uint64_t at = 0; at < from.bytes; at += piece) {
      const uint64_t count = std::min(piece, from.bytes - at);
      checkpoint_.read_raw(from, at, count, chunk_.data());
      out_.write(chunk_.data(), count);
    }
  }

  void quantize(const BaseTensor& tensor, const TensorInfo& source) {
    const WeightLayout layout = tensor.layout();
    checkpoint_.read_float(source, 0, tensor.elements(), values_.data());
    if (quant::is_four_bit(tensor.storage)) {
      const float* values = values_.data();
      if (!std::all_of(values, values + tensor.elements(), [](float v) { return std::fabs(v) <= kMost4Bit; })) {
        fail_values(tensor, "1e20");
      }
    }
    std::memset(quantized_.data(), 0, layout.bytes);
    const QuantizedParts parts = parts_at(quantized_.data(), layout);
    ops_.quantize(run_, tensor.storage, values_.data(), tensor.rows, tensor.cols, parts);
    if (tensor.storage == Storage::INT8 && std::any_of(parts.absmax, parts.absmax + tensor.rows, [](float v) { return v != v; })) {
      fail_values(tensor, "65504");
    }
    out_.write(quantized_.data(), layout.bytes);
  }

  [[noreturn]] void fail_values(const BaseTensor& tensor, const char* most) const {
    fail(LR_BAD_FORMAT, "%s: tensor \"%s\" has values that %s does not reach (over %s, or not finite); choose another format",
         checkpoint_.folder().c_str(), tensor.name.c_str(), storage_name(tensor.storage), most);
  }

  void convert(const BaseTensor& tensor, const TensorInfo& source) {
    const auto piece = static_cast<int64_t>(chunk_.size());
    for (int64_t at = 0; at < tensor.elements(); at += piece) {
      const int64_t count = std::min(piece, tensor.elements() - at);
      checkpoint_.read_float(source, at, count, chunk_.data());
      if (tensor.storage == Storage::F32) {
        out_.write(chunk_.data(), static_cast<uint64_t>(count) * sizeof(float));
      } else {
        uint16_t narrow[4096];
        for (int64_t i = 0; i < count; i += 4096) {
          const int64_t n = std::min<int64_t>(4096, count - i);
          std::transform(chunk_.data() + i, chunk_.data() + i + n, narrow, float_to_bf16);
          out_.write(narrow, static_cast<uint64_t>(n) * sizeof(uint16_t));
        }
      }
    }
  }

  const Run& run_;
  const Ops& ops_;
  const Checkpoint& checkpoint_;
  AtomicFile& out_;
  Buffer<float> values_;
  Buffer<uint8_t> quantized_;
  Buffer<float> chunk_;
};

}  // namespace

void quantize_base(const Run& run, const Ops& ops, MemoryCounter& memory, const std::string& model_dir, const std::string& file,
                   const Quantization& quantization, const CancelFlag* cancel, const ProgressFn& progress) {
  const std::string config_path = model_dir + "/config.json";
  BaseIndex index;
  index.config_text = read_text(config_path, kMaxConfigBytes);
  const json::Value config = json::parse(index.config_text, config_path);
  index.config = parse_model_config(config, config_path);
  const std::optional<Quantization> done = read_quantization_config(config, config_path);
  index.quantization = done.value_or(quantization);
  index.prequantized = done.has_value();
  index.tensors = expected_tensors(index.config);
  const Checkpoint checkpoint(model_dir);

  std::vector<Source> sources;
  uint64_t total_bytes = 0, done_bytes = 0, most_bytes = 0;
  int64_t most_values = 0, most_copied = 0;
  bool any_taken_over = false;
  for (BaseTensor& tensor : index.tensors) {
    const Source& source = sources.emplace_back(plan_tensor(checkpoint, index, tensor));
    total_bytes += source.bytes();
    any_taken_over = any_taken_over || source.values == nullptr;
    if (source.values == nullptr || !quant::is_quantized(tensor.storage)) {
      most_copied = std::max(most_copied, tensor.elements());
      continue;
    }
    most_values = std::max(most_values, tensor.elements());
    most_bytes = std::max(most_bytes, tensor.bytes);
  }
  if (index.prequantized && !any_taken_over) {
    fail(LR_BAD_FORMAT, "%s has a quantization_config, but no linear layer is quantized: remove it from the file", config_path.c_str());
  }

  const std::string head = write_base_head(index);
  // Bounds of the reader that a configuration may pass alone, and not within an index, are better met now than by whoever opens it.
  const BaseTensor& last = index.tensors.back();
  read_base_head(reinterpret_cast<const uint8_t*>(head.data()), last.offset + last.bytes, config_path + " in a base");
  AtomicFile out(file);
  out.write(head.data(), head.size());
  Writer writer(run, ops, memory, checkpoint, out, most_values, most_bytes, most_copied);
  progress(0, total_bytes);
  for (size_t i = 0; i < sources.size(); ++i) {
    check_cancelled(cancel);
    writer.write(index.tensors[i], sources[i]);
    done_bytes += sources[i].bytes();
    progress(done_bytes, total_bytes);
  }
  check_cancelled(cancel);
  out.commit();
}

}  // namespace lr
