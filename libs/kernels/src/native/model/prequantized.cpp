#include "prequantized.h"

#include <algorithm>

#include "../quantization.h"
#include "error.h"

namespace lr {
namespace {

using json::Value;

constexpr uint64_t kMaxStateBytes = 4096;

bool flag(const Value& object, const char* key) {
  const Value* value = object.find(key);
  return value != nullptr && value->boolean;
}

std::string text(const Value& object, const char* key, const char* fallback) {
  const Value* value = object.find(key);
  return value == nullptr || !value->is(Value::Type::String) ? fallback : value->string.substr(0, 64);
}

std::string module_of(const BaseTensor& tensor) { return tensor.name.substr(0, tensor.name.rfind('.')); }

// Names the checkpoint and the layer in every refusal.
class LayerReader {
 public:
  LayerReader(const Checkpoint& checkpoint, const BaseTensor& tensor)
      : checkpoint_(checkpoint), where_(checkpoint.folder() + ", layer " + module_of(tensor)) {}

  const std::string& where() const { return where_; }

  const TensorInfo& part(const std::string& name, Dtype dtype, const char* dtype_name, const std::vector<int64_t>& shape) const {
    const TensorInfo* found = checkpoint_.find(name);
    if (found == nullptr) fail(LR_BAD_FORMAT, "%s: \"%s\" is missing from the weights", where_.c_str(), name.c_str());
    if (found->dtype != dtype) {
      fail(LR_UNSUPPORTED_MODEL, "%s: \"%s\" has dtype %s; supported: %s", where_.c_str(), name.c_str(),
           found->dtype_name.c_str(), dtype_name);
    }
    if (found->shape != shape) fail(LR_BAD_FORMAT, "%s: \"%s\" has not the shape that the layer asks for", where_.c_str(), name.c_str());
    return *found;
  }

  // A table of codes has to be the one this library computes with; −0 is as good as 0.
  void check_table(const std::string& name, const float* wanted, int64_t count) const {
    std::vector<float> found(static_cast<size_t>(count));
    checkpoint_.read_float(part(name, Dtype::F32, "F32", {count}), 0, count, found.data());
    if (!std::equal(found.begin(), found.end(), wanted)) {
      fail(LR_UNSUPPORTED_MODEL, "%s: \"%s\" is not the standard table of codes; quantize the model again with bitsandbytes' "
           "own", where_.c_str(), name.c_str());
    }
  }

  Value state(const std::string& name) const {
    const TensorInfo* found = checkpoint_.find(name);
    if (found == nullptr) {
      fail(LR_BAD_FORMAT, "%s: \"%s\" is missing, or config.json names another 4-bit type", where_.c_str(), name.c_str());
    }
    if (found->dtype != Dtype::U8 || found->bytes > kMaxStateBytes) {
      fail(LR_BAD_FORMAT, "%s: \"%s\" is no text of at most %llu bytes", where_.c_str(), name.c_str(),
           static_cast<unsigned long long>(kMaxStateBytes));
    }
    std::string bytes(found->bytes, '\0');
    checkpoint_.read_raw(*found, 0, found->bytes, bytes.data());
    return json::parse(bytes, where_ + ", \"" + name + "\"");
  }

  void require_number(const Value& state, const char* key, int64_t wanted) const {
    const Value* value = state.find(key);
    if (value == nullptr || !value->is(Value::Type::Integer)) fail(LR_BAD_FORMAT, "%s: its state has no \"%s\"", where_.c_str(), key);
    if (value->integer != wanted) {
      fail(LR_UNSUPPORTED_MODEL, "%s: %s is %lld; supported: %lld", where_.c_str(), key, static_cast<long long>(value->integer),
           static_cast<long long>(wanted));
    }
  }

 private:
  const Checkpoint& checkpoint_;
  std::string where_;
};

void check_shape(const Value& state, const BaseTensor& tensor, const std::string& where) {
  const Value* shape = state.find("shape");
  const auto is = [](const Value& value, int64_t wanted) { return value.is(Value::Type::Integer) && value.integer == wanted; };
  if (shape == nullptr || shape->items.size() != 2 || !is(shape->items[0], tensor.rows) || !is(shape->items[1], tensor.cols)) {
    fail(LR_BAD_FORMAT, "%s: it has not the shape [%lld, %lld] that config.json asks for", where.c_str(),
         static_cast<long long>(tensor.rows), static_cast<long long>(tensor.cols));
  }
}

Prequantized find_four_bit(const LayerReader& layer, const Checkpoint& checkpoint, const BaseTensor& tensor,
                           const Quantization& quantization) {
  const WeightLayout layout(quantization.storage, quantization.double_quant, tensor.rows, tensor.cols);
  const auto blocks = static_cast<int64_t>(layout.absmax_count);
  const std::string& name = tensor.name;
  const Value state = layer.state(name + ".quant_state.bitsandbytes__" + storage_name(quantization.storage));
  check_shape(state, tensor, layer.where());
  layer.require_number(state, "blocksize", quant::kBlock);
  layer.check_table(name + ".quant_map", quant::four_bit(quantization.storage).levels.data(), 16);

  Prequantized parts;
  parts.codes = &layer.part(name, Dtype::U8, "U8", {static_cast<int64_t>(layout.data_bytes), 1});
  const bool nested = checkpoint.find(name + ".nested_absmax") != nullptr;
  if (nested != quantization.double_quant) {
    fail(LR_BAD_FORMAT, "%s: it is %sdouble-quantized, config.json says otherwise", layer.where().c_str(), nested ? "" : "not ");
  }
  if (!nested) {
    parts.absmax = &layer.part(name + ".absmax", Dtype::F32, "F32", {blocks});
    return parts;
  }
  layer.require_number(state, "nested_blocksize", quant::kNestedBlock);
  layer.check_table(name + ".nested_quant_map", quant::dynamic_levels().data(), 256);
  parts.absmax_codes = &layer.part(name + ".absmax", Dtype::U8, "U8", {blocks});
  parts.nested_absmax = &layer.part(name + ".nested_absmax", Dtype::F32, "F32", {static_cast<int64_t>(layout.nested_count)});
  const Value* offset = state.find("nested_offset");
  if (offset == nullptr || !offset->is_number()) fail(LR_BAD_FORMAT, "%s: its state has no \"nested_offset\"", layer.where().c_str());
  parts.offset = static_cast<float>(offset->number);
  return parts;
}

Prequantized find_int8(const LayerReader& layer, const Checkpoint& checkpoint, const BaseTensor& tensor) {
  const std::string module = module_of(tensor), format = module + ".weight_format";
  Prequantized parts;
  parts.codes = &layer.part(tensor.name, Dtype::I8, "I8", {tensor.rows, tensor.cols});
  parts.absmax = &layer.part(module + ".SCB", Dtype::F32, "F32", {tensor.rows});
  if (checkpoint.find(format) != nullptr) {  // 0: row-major. Old versions also wrote the orders that GPUs multiplied fastest.
    uint8_t order;
    checkpoint.read_raw(layer.part(format, Dtype::U8, "U8", {}), 0, 1, &order);
    if (order != 0) {
      fail(LR_UNSUPPORTED_MODEL, "%s: \"%s\" is %u; supported: 0, row-major", layer.where().c_str(), format.c_str(), order);
    }
  }
  return parts;
}

}  // namespace

std::optional<Quantization> read_quantization_config(const Value& config, const std::string& where) {
  const Value* found = config.find("quantization_config");
  if (found == nullptr || found->is(Value::Type::Null)) return std::nullopt;
  const std::string place = where + ", \"quantization_config\"";
  const std::string method = text(*found, "quant_method", "bitsandbytes");
  if (method != "bitsandbytes") {
    fail(LR_UNSUPPORTED_MODEL, "%s: weights quantized by \"%s\" are not supported; supported: bitsandbytes. Import the 16-bit or "
         "32-bit model", place.c_str(), method.c_str());
  }
  if (flag(*found, "load_in_8bit")) return Quantization{Storage::INT8, false};
  if (!flag(*found, "load_in_4bit")) fail(LR_UNSUPPORTED_MODEL, "%s: neither load_in_4bit nor load_in_8bit is true", place.c_str());
  const std::string type = text(*found, "bnb_4bit_quant_type", "fp4");  // transformers' defaults
  if (type != "nf4" && type != "fp4") {
    fail(LR_UNSUPPORTED_MODEL, "%s: bnb_4bit_quant_type \"%s\" is not supported; supported: nf4, fp4", place.c_str(), type.c_str());
  }
  const std::string kept_in = text(*found, "bnb_4bit_quant_storage", "uint8");
  if (kept_in != "uint8") {
    fail(LR_UNSUPPORTED_MODEL, "%s: bnb_4bit_quant_storage \"%s\" is not supported; supported: uint8", place.c_str(), kept_in.c_str());
  }
  return Quantization{type == "nf4" ? Storage::NF4 : Storage::FP4, flag(*found, "bnb_4bit_use_double_quant")};
}

bool is_prequantized(const Checkpoint& checkpoint, const BaseTensor& tensor) {
  if (tensor.role == BaseTensor::Role::Bias) return false;
  return checkpoint.find(tensor.name + ".absmax") != nullptr || checkpoint.find(module_of(tensor) + ".SCB") != nullptr;
}

Prequantized find_prequantized(const Checkpoint& checkpoint, const BaseTensor& tensor, const Quantization& quantization) {
  const LayerReader layer(checkpoint, tensor);
  return quantization.storage == Storage::INT8 ? find_int8(layer, checkpoint, tensor)
                                               : find_four_bit(layer, checkpoint, tensor, quantization);
}

}  // namespace lr
