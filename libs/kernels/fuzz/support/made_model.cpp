#include "made_model.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "model/base_file.h"
#include "model/crc32c.h"
#include "model/error.h"
#include "model/prequantized.h"
#include "quantization.h"

namespace {

using lr::BaseTensor;
using lr::Storage;
using lr::json::Value;

constexpr uint64_t kMostBytes = 1 << 18;
constexpr int64_t kMostLayers = 6;

template <typename T>
void put(std::string& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

template <typename T>
T get(const std::string& bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// The input's bytes one after the other, from the first again when all were taken.
class Choices {
 public:
  explicit Choices(std::string_view bytes) : bytes_(bytes) {}
  uint8_t next() { return bytes_.empty() ? 0 : static_cast<uint8_t>(bytes_[at_++ % bytes_.size()]); }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
};

// Bytes that make small numbers as floats of any width.
void fill(std::string& bytes, size_t begin, size_t count, uint8_t choice) {
  for (size_t i = begin; i < begin + count; ++i) bytes[i] = static_cast<char>(i % 2 == 0 ? (i * 7 + choice) & 0xFF : 0x3C ^ (choice & 0x80));
}

lr::ModelConfig parse(const std::string& config) { return lr::parse_model_config(lr::json::parse(config, "config"), "config"); }

void choose_storage(BaseTensor& tensor, uint8_t choice) {
  constexpr Storage kLinear[] = {Storage::NF4, Storage::FP4, Storage::INT8, Storage::BF16, Storage::F32};
  if (tensor.role == BaseTensor::Role::Linear) tensor.storage = kLinear[choice % 5];
  if (tensor.role == BaseTensor::Role::Kept) tensor.storage = choice % 2 == 0 ? Storage::BF16 : Storage::F32;
  tensor.double_quant = lr::quant::is_four_bit(tensor.storage) && choice < 128;
  tensor.bytes = tensor.layout().bytes;
}

constexpr size_t kHeaderBytes = 64, kIndexCrc = 12, kIndexBytes = 16, kFileBytes = 24, kHeaderCrc = 60;

// Moves the tensors of an index to where they have to lie after it; returns where the last one ends.
uint64_t place_tensors(std::string& index) {
  const std::string bytes_key = "\"bytes\":", offset_key = "\"offset\":\"";
  uint64_t end = kHeaderBytes + index.size();
  for (size_t at = 0; (at = index.find(bytes_key, at)) != std::string::npos;) {
    at += bytes_key.size();
    const uint64_t bytes = std::strtoull(index.c_str() + at, nullptr, 10);
    const size_t offset = index.find(offset_key, at);
    if (offset == std::string::npos || offset + offset_key.size() + 16 > index.size()) break;
    const uint64_t begin = (end + 63) / 64 * 64;
    index.replace(offset + offset_key.size(), 16, lr::format("%016llx", static_cast<unsigned long long>(begin)));
    if (bytes > kMostBytes) return begin;
    end = begin + bytes;
  }
  return end;
}

int value_bytes(const std::string& dtype) {
  static const std::map<std::string, int> bytes = {{"BOOL", 1}, {"U8", 1}, {"I8", 1}, {"F16", 2}, {"BF16", 2}, {"F32", 4}, {"F64", 8}};
  const auto found = bytes.find(dtype);
  return found == bytes.end() ? 2 : found->second;
}

// Bytes of a tensor; 0 for one that is too large to make.
size_t size_of(const std::string& dtype, const std::vector<int64_t>& shape) {
  uint64_t bytes = static_cast<uint64_t>(value_bytes(dtype));
  for (const int64_t dimension : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(dimension), &bytes)) return 0;
  }
  return bytes > kMostBytes ? 0 : bytes;
}

// A safetensors file of tensors that are added one by one.
class Weights {
 public:
  void add(const std::string& name, const std::string& dtype, const std::vector<int64_t>& shape, const std::string& bytes) {
    header_ += header_.size() == 1 ? "" : ",";
    lr::json::append_string(header_, name);
    header_ += ":{\"dtype\":";
    lr::json::append_string(header_, dtype);
    header_ += ",\"shape\":[";
    for (size_t i = 0; i < shape.size(); ++i) header_ += (i == 0 ? "" : ",") + std::to_string(shape[i]);
    header_ += "],\"data_offsets\":[" + std::to_string(data_.size()) + "," + std::to_string(data_.size() + bytes.size()) + "]}";
    data_ += bytes;
  }

  void add(const std::string& name, const std::string& dtype, const std::vector<int64_t>& shape, uint8_t choice) {
    std::string values(size_of(dtype, shape), '\0');
    fill(values, 0, values.size(), choice);
    add(name, dtype, shape, values);
  }

  std::string file() const { return with_size(header_ + "}") + data_; }
  uint64_t size() const { return header_.size() + data_.size(); }

  static std::string with_size(const std::string& header) {
    const uint64_t size = header.size();
    return std::string(reinterpret_cast<const char*>(&size), sizeof size) + header;
  }

 private:
  std::string header_ = "{", data_;
};

template <typename Numbers>
std::string bytes_of(const Numbers& numbers) {
  return std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(numbers[0]));
}

void add_prequantized(Weights& weights, const BaseTensor& tensor, const lr::Quantization& done, uint8_t choice) {
  const lr::WeightLayout layout(done.storage, done.double_quant, tensor.rows, tensor.cols);
  const std::string& name = tensor.name;
  const std::string module = name.substr(0, name.rfind('.'));
  const auto blocks = static_cast<int64_t>(layout.absmax_count);
  if (done.storage == Storage::INT8) {
    weights.add(name, "I8", {tensor.rows, tensor.cols}, choice);
    weights.add(module + ".SCB", "F32", {tensor.rows}, choice);
    if (choice % 2 == 0) weights.add(module + ".weight_format", "U8", {}, std::string(1, '\0'));
    return;
  }
  weights.add(name, "U8", {static_cast<int64_t>(layout.data_bytes), 1}, choice);
  weights.add(name + ".quant_map", "F32", {16}, bytes_of(lr::quant::four_bit(done.storage).levels));
  weights.add(name + ".absmax", done.double_quant ? "U8" : "F32", {blocks}, choice);
  if (done.double_quant) {
    weights.add(name + ".nested_absmax", "F32", {static_cast<int64_t>(layout.nested_count)}, choice);
    weights.add(name + ".nested_quant_map", "F32", {256}, bytes_of(lr::quant::dynamic_levels()));
  }
  const std::string state = lr::format("{\"blocksize\":64,\"shape\":[%lld,%lld],\"nested_blocksize\":256,\"nested_offset\":0.5}",
                                       static_cast<long long>(tensor.rows), static_cast<long long>(tensor.cols));
  weights.add(name + ".quant_state.bitsandbytes__" + lr::storage_name(done.storage), "U8", {static_cast<int64_t>(state.size())}, state);
}

// The tensors of a safetensors header laid out anew, with the values that they had in `data` as far as there are some.
std::optional<std::string> laid_out(const std::string& header, const std::string& data) {
  const Value root = lr::json::parse(header, "header");
  Weights weights;
  for (const auto& [name, entry] : root.members) {
    const Value *dtype = entry.find("dtype"), *shape = entry.find("shape"), *offsets = entry.find("data_offsets");
    if (dtype == nullptr || shape == nullptr) continue;
    std::vector<int64_t> sizes;
    for (const Value& size : shape->items) sizes.push_back(size.integer);
    const bool placed = offsets != nullptr && !offsets->items.empty();
    const uint64_t begin = placed ? static_cast<uint64_t>(offsets->items[0].integer) : 0;
    std::string values = data.substr(std::min<uint64_t>(begin, data.size()), size_of(dtype->string, sizes));
    values.resize(size_of(dtype->string, sizes), '\x3C');
    weights.add(name, dtype->string, sizes, values);
    if (weights.size() > kMostBytes) return std::nullopt;
  }
  return weights.file();
}

}  // namespace

std::optional<std::string> made_base(const std::string& config, std::string_view choices) {
  Choices choice(choices);
  lr::BaseIndex index;
  try {
    index.config = parse(config);
  } catch (const lr::Error&) {
    return std::nullopt;
  }
  if (index.config.layers > kMostLayers) return std::nullopt;
  index.config_text = config;
  index.prequantized = choice.next() % 2 == 1;
  index.tensors = lr::expected_tensors(index.config);
  uint64_t total = 0;
  for (BaseTensor& tensor : index.tensors) {
    choose_storage(tensor, choice.next());
    if ((total += tensor.bytes) > kMostBytes) return std::nullopt;
  }
  std::string bytes = lr::write_base_head(index);
  const size_t head = bytes.size();
  bytes.resize(index.tensors.back().offset + index.tensors.back().bytes);
  fill(bytes, head, bytes.size() - head, choice.next());
  return bytes;
}

void make_right(std::string& base) {
  if (base.size() < kHeaderBytes) return;
  const std::string_view rest = std::string_view(base).substr(kHeaderBytes);
  const size_t end = object_end(rest);
  const uint64_t index_bytes = end == std::string_view::npos ? std::min<uint64_t>(get<uint64_t>(base, kIndexBytes), rest.size()) : end;
  put(base, kIndexBytes, index_bytes);
  put(base, kIndexCrc, lr::crc32c(rest.data(), index_bytes));
  put(base, kFileBytes, static_cast<uint64_t>(base.size()));
  put(base, kHeaderCrc, lr::crc32c(base.data(), kHeaderCrc));
}

std::string mutate_base(const std::string& base, Random& random, size_t most) {
  const size_t end = base.size() < kHeaderBytes ? std::string::npos : object_end(std::string_view(base).substr(kHeaderBytes));
  if (end == std::string::npos || random(4) == 0) return mutate_bytes(base, most);
  std::string index = mutate_json(base.substr(kHeaderBytes, end), random, most);
  const uint64_t size = random(8) == 0 ? base.size() : place_tensors(index);
  std::string changed = base.substr(0, kHeaderBytes) + index;
  changed.resize((changed.size() + 63) / 64 * 64, '\0');
  if (end + kHeaderBytes < base.size()) changed += base.substr(end + kHeaderBytes);
  changed.resize(std::min<uint64_t>(size, most), '\x3C');
  return changed;
}

std::optional<std::string> made_weights(const std::string& config, std::string_view choices) {
  constexpr const char* kDtypes[] = {"F32", "F16", "BF16"};
  Choices choice(choices);
  Weights weights;
  try {
    const lr::ModelConfig model = parse(config);
    if (model.layers > kMostLayers) return std::nullopt;
    const std::optional<lr::Quantization> done = lr::read_quantization_config(lr::json::parse(config, "config"), "config");
    const bool older = choice.next() % 4 == 3;
    for (BaseTensor tensor : lr::expected_tensors(model)) {
      const uint8_t chosen = choice.next();
      if (older) tensor.name = lr::older_name(model, tensor.name);
      if (done && tensor.role == BaseTensor::Role::Linear && chosen % 8 != 7) {
        add_prequantized(weights, tensor, *done, chosen);
      } else {
        weights.add(tensor.name, kDtypes[chosen % 3],
                    tensor.rows == 1 ? std::vector<int64_t>{tensor.cols} : std::vector<int64_t>{tensor.rows, tensor.cols}, chosen);
      }
      if (weights.size() > kMostBytes) return std::nullopt;
    }
  } catch (const lr::Error&) {
    return std::nullopt;
  }
  return weights.file();
}

std::string mutate_safetensors(const std::string& bytes, Random& random, size_t most) {
  constexpr size_t kSize = sizeof(uint64_t);
  const size_t end = bytes.size() < kSize ? std::string::npos : object_end(std::string_view(bytes).substr(kSize));
  if (end == std::string::npos || random(4) == 0) return mutate_bytes(bytes, most);
  const std::string header = mutate_json(bytes.substr(kSize, end), random, most);
  const std::string data = bytes.substr(kSize + end);
  std::string changed = Weights::with_size(header) + data;
  if (random(4) != 0) {
    try {
      changed = laid_out(header, data).value_or(changed);
    } catch (const lr::Error&) {
    }
  }
  if (changed.size() > most) changed.resize(most);
  return changed;
}
