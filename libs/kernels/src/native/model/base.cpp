#include "base.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "../bf16.h"
#include "error.h"
#include "offload.h"

namespace lr {
namespace {

// The weight whose parts lie `distance` bytes further on.
Weight moved(Weight weight, std::ptrdiff_t distance) {
  const auto move = [distance]<typename T>(const T*& part) {
    if (part != nullptr) part = reinterpret_cast<const T*>(reinterpret_cast<uintptr_t>(part) + static_cast<uintptr_t>(distance));
  };
  auto* data = static_cast<const uint8_t*>(weight.data);
  move(data);
  weight.data = data;
  move(weight.scales.absmax);
  move(weight.scales.absmax_codes);
  move(weight.scales.nested_absmax);
  return weight;
}

// Levenshtein distance, for suggestions.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row[b.size()];
}

}  // namespace

Base::Base(const std::string& path, MemoryCounter& memory, MemoryCounter& host_memory)
    : memory_(memory),
      host_memory_(host_memory),
      file_(path),
      data_(file_.data()),
      index_(read_base_head(file_.data(), file_.size(), path)) {
  if (!memory.is_host()) copy_to_device();
  const ModelConfig& c = config();
  for (const RopeConfig& rope : c.ropes) ropes_.emplace_back(rope, c.max_positions, memory);
  std::map<std::string, const BaseTensor*> by_name;
  for (const BaseTensor& tensor : index_.tensors) {
    by_name.emplace(tensor.name, &tensor);
    parameters_ += static_cast<uint64_t>(tensor.elements());
    if (tensor.role == BaseTensor::Role::Linear) {
      linear_bytes_ += tensor.bytes;
      linear_parameters_ += static_cast<uint64_t>(tensor.elements());
    }
  }
  const auto tensor = [&](const std::string& name) -> const BaseTensor& { return *by_name.at(name); };
  for (int64_t i = 0; i < c.layers; ++i) {
    Layer layer;
    for (int kind = 0; kind < kNorms; ++kind) {
      const NormShape shape = norm_shape(c, kind);
      if (shape.name != nullptr) layer.norms[kind] = norm(tensor(layer_name(c, i, shape.name) + ".weight"));
    }
    for (int kind = 0; kind < kLinears; ++kind) {
      const LinearShape shape = linear_shape(c, kind);
      if (shape.name == nullptr) continue;
      Linear& linear = layer.linears[kind];
      linear.name = layer_name(c, i, shape.name);
      linear.weight = weight_in(tensor(linear.name + ".weight"));
      if (shape.bias) linear.bias = reinterpret_cast<const float*>(data_ + tensor(linear.name + ".bias").offset);
    }
    layers_.push_back(std::move(layer));
  }
  embedding_ = weight_in(tensor(c.prefix + "embed_tokens.weight"));
  if (!pinned_.empty()) embedding_.data = pinned_.data();
  head_ = c.tied ? embedding_ : weight_in(tensor("lm_head.weight"));
  final_norm_ = norm(tensor(c.prefix + "norm.weight"));
  // Transformers rounds the factor to the type of the embeddings, which for √3072 in bfloat16 is 55.5 instead of 55.43.
  embedding_scale_ = static_cast<float>(c.embedding_scale);
  if (embedding_.storage == Storage::BF16) embedding_scale_ = round_to_bf16(embedding_scale_);
}

void Base::copy_to_device() {
  const BaseTensor& first = index_.tensors.front();  // the embedding
  Offload* offload = memory_.offload();
  size_t begin = 0;  // of what goes to the device
  if (!config().tied && offload != nullptr) {
    try {
      pinned_ = Buffer<uint8_t>(offload->memory(), first.bytes);
      pinned_.write(0, file_.data() + first.offset, first.bytes);
      begin = index_.tensors[1].offset;
    } catch (const std::bad_alloc&) {
      // Nothing could be pinned: it goes with the others.
    }
  }
  copy_ = Buffer<uint8_t>(memory_, file_.size() - begin);
  copy_.write(0, file_.data() + begin, copy_.size());
  data_ = reinterpret_cast<const uint8_t*>(reinterpret_cast<uintptr_t>(copy_.data()) - begin);
}

const float* Base::norm(const BaseTensor& tensor) {
  const auto count = static_cast<size_t>(tensor.elements());
  const uint8_t* at = file_.data() + tensor.offset;
  const bool floats = tensor.storage == Storage::F32;
  if (floats && !config().norm_offset) return reinterpret_cast<const float*>(data_ + tensor.offset);
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = floats ? reinterpret_cast<const float*>(at)[i] : bf16_to_float(reinterpret_cast<const uint16_t*>(at)[i]);
    if (config().norm_offset) values[i] += 1;
  }
  Buffer<float>& kept = norms_.emplace_back(memory_, count);
  kept.write(0, values.data(), count);
  return kept.data();
}

Weight Base::weight_in(const BaseTensor& tensor) const {
  // One of the scales is a number in the weight itself: it is read where the machine can.
  return moved(weight_at(file_.data() + tensor.offset, tensor.storage, tensor.double_quant, tensor.rows, tensor.cols),
               reinterpret_cast<std::ptrdiff_t>(data_) - reinterpret_cast<std::ptrdiff_t>(file_.data()));
}

Weight Base::on_host(Weight weight) const {
  return moved(weight, reinterpret_cast<std::ptrdiff_t>(file_.data()) - reinterpret_cast<std::ptrdiff_t>(data_));
}

std::pair<int, int> Base::find_linear(const std::string& name) const {
  std::vector<std::pair<size_t, std::string>> near;
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    for (int kind = 0; kind < kLinears; ++kind) {
      if (!name.empty() && layers_[layer].linears[kind].name == name) return {static_cast<int>(layer), kind};
    }
  }
  const std::string wanted = name.substr(0, 128);
  for (int kind = 0; kind < kLinears; ++kind) {
    const std::string& known = layers_[0].linears[kind].name;
    if (known.empty()) continue;
    near.emplace_back(edit_distance(wanted, known), known);
  }
  std::sort(near.begin(), near.end());
  fail(LR_INVALID_ARGUMENT, "LoRA target \"%s\" is no linear layer of this base (layers 0 to %zu); near to it: %s, %s, %s",
       wanted.c_str(), layers_.size() - 1, near[0].second.c_str(), near[1].second.c_str(), near[2].second.c_str());
}

std::string Base::info() const {
  const ModelConfig& c = config();
  std::string out = "{\"modelType\":";
  json::append_string(out, c.model_type);
  const auto number = [&out](const char* key, uint64_t value) {
    out += format(",\"%s\":%llu", key, static_cast<unsigned long long>(value));
  };
  const std::pair<const char*, int64_t> sizes[] = {
      {"layers", c.layers},     {"hidden", c.hidden},             {"heads", c.heads}, {"kvHeads", c.kv_heads},
      {"headDim", c.head_dim},  {"intermediate", c.intermediate}, {"vocab", c.vocab}, {"maxPositions", c.max_positions}};
  for (const auto& [key, value] : sizes) number(key, static_cast<uint64_t>(value));
  out += format(",\"tied\":%s", c.tied ? "true" : "false");
  number("fileBytes", file_.size());
  number("parameters", parameters_);
  out += format(",\"quantization\":{\"format\":\"%s\",\"doubleQuantization\":%s},\"prequantized\":%s",
                storage_name(index_.quantization.storage), index_.quantization.double_quant ? "true" : "false",
                index_.prequantized ? "true" : "false");
  out += format(",\"bytesPerParameter\":%.6g", static_cast<double>(linear_bytes_) / static_cast<double>(linear_parameters_));
  out += ",\"linears\":[";
  for (const Layer& layer : layers_) {
    for (const Linear& linear : layer.linears) {
      if (linear.name.empty()) continue;
      if (out.back() != '[') out += ',';
      out += "{\"name\":";
      json::append_string(out, linear.name);
      out += format(",\"in\":%lld,\"out\":%lld,\"bias\":%s,\"storage\":\"%s\"}", static_cast<long long>(linear.weight.cols),
                    static_cast<long long>(linear.weight.rows), linear.bias == nullptr ? "false" : "true",
                    storage_name(linear.weight.storage));
    }
  }
  return out + "]}";
}

}  // namespace lr
