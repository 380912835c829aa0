#include "safetensors.h"

#include <dirent.h>

#include <algorithm>
#include <memory>
#include <set>

#include "../bf16.h"
#include "error.h"
#include "json.h"

namespace lr {
namespace {

constexpr uint64_t kMaxHeader = 16u << 20;
constexpr size_t kMaxDimensions = 8;

using json::Value;

// Bytes of one value of a safetensors dtype; 0 when unknown.
int dtype_bytes(const std::string& name) {
  static const std::map<std::string, int> bytes = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
                                                   {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
                                                   {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};
  const auto found = bytes.find(name);
  return found == bytes.end() ? 0 : found->second;
}

Dtype dtype_of(const std::string& name) {
  if (name == "F32") return Dtype::F32;
  if (name == "F16") return Dtype::F16;
  if (name == "BF16") return Dtype::BF16;
  if (name == "I8") return Dtype::I8;
  if (name == "U8") return Dtype::U8;
  return Dtype::Other;
}

TensorInfo read_entry(const std::string& where, const Value& entry, uint64_t data_bytes) {
  const Value* dtype = entry.find("dtype");
  const Value* shape = entry.find("shape");
  const Value* offsets = entry.find("data_offsets");
  if (dtype == nullptr || !dtype->is(Value::Type::String) || shape == nullptr || !shape->is(Value::Type::Array) ||
      offsets == nullptr || !offsets->is(Value::Type::Array) || offsets->items.size() != 2) {
    fail(LR_BAD_FORMAT, "%s: an entry needs dtype, shape and two data_offsets", where.c_str());
  }
  TensorInfo tensor;
  tensor.dtype_name = dtype->string.substr(0, 16);
  tensor.dtype = dtype_of(dtype->string);
  const int value_bytes = dtype_bytes(dtype->string);
  if (value_bytes == 0) fail(LR_BAD_FORMAT, "%s: unknown dtype \"%s\"", where.c_str(), tensor.dtype_name.c_str());
  if (shape->items.size() > kMaxDimensions) fail(LR_BAD_FORMAT, "%s: more than 8 dimensions", where.c_str());
  uint64_t bytes = static_cast<uint64_t>(value_bytes);
  for (const Value& dimension : shape->items) {
    if (!dimension.is(Value::Type::Integer) || dimension.integer < 0) {
      fail(LR_BAD_FORMAT, "%s: a dimension is not a whole number from 0", where.c_str());
    }
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(dimension.integer), &bytes)) {
      fail(LR_BAD_FORMAT, "%s: the shape overflows 64 bits", where.c_str());
    }
    tensor.shape.push_back(dimension.integer);
  }
  for (const Value& offset : offsets->items) {
    if (!offset.is(Value::Type::Integer) || offset.integer < 0) {
      fail(LR_BAD_FORMAT, "%s: a data offset is not a whole number from 0", where.c_str());
    }
  }
  const auto begin = static_cast<uint64_t>(offsets->items[0].integer);
  const auto end = static_cast<uint64_t>(offsets->items[1].integer);
  if (begin > end || end > data_bytes) {
    fail(LR_BAD_FORMAT, "%s: data offsets [%llu, %llu] lie outside the file's %llu data bytes (is it truncated?)", where.c_str(),
         static_cast<unsigned long long>(begin), static_cast<unsigned long long>(end),
         static_cast<unsigned long long>(data_bytes));
  }
  if (end - begin != bytes) {
    fail(LR_BAD_FORMAT, "%s: shape and dtype need %llu bytes, data offsets give %llu", where.c_str(),
         static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(end - begin));
  }
  tensor.offset = begin;
  tensor.bytes = bytes;
  return tensor;
}

// The tensors have to cover the data bytes exactly: an overlap or a hole could smuggle data past whoever scans the file.
void check_cover(const std::string& path, const std::map<std::string, TensorInfo>& tensors, uint64_t data_bytes) {
  std::vector<std::pair<uint64_t, uint64_t>> spans;
  for (const auto& [name, tensor] : tensors) spans.emplace_back(tensor.offset, tensor.offset + tensor.bytes);
  std::sort(spans.begin(), spans.end());
  uint64_t at = 0;
  for (const auto& [begin, end] : spans) {
    if (begin != at) {
      fail(LR_BAD_FORMAT, "%s: tensors %s at data byte %llu", path.c_str(), begin < at ? "overlap" : "leave a hole",
           static_cast<unsigned long long>(std::min(begin, at)));
    }
    at = end;
  }
  if (at != data_bytes) {
    fail(LR_BAD_FORMAT, "%s: %llu bytes after the last tensor", path.c_str(), static_cast<unsigned long long>(data_bytes - at));
  }
}

std::string pickle_in(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(folder.c_str()), ::closedir);
  if (directory == nullptr) fail_io("open model folder", folder);
  std::string found;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string name = entry->d_name;
    const size_t dot = name.rfind('.');
    const std::string ending = dot == std::string::npos ? "" : name.substr(dot);
    if (ending == ".bin" || ending == ".pt" || ending == ".pth" || ending == ".ckpt" || ending == ".pkl") found = name;
  }
  return found;
}

bool is_plain_name(const std::string& name) {
  const std::string ending = ".safetensors";
  return name.size() > ending.size() && name.size() <= 255 && name.find_first_of(std::string("/\\\0", 3)) == std::string::npos &&
         name.front() != '.' && name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
}

}  // namespace

std::map<std::string, TensorInfo> read_safetensors_header(const InputFile& file) {
  const std::string& path = file.path();
  uint64_t header_bytes = 0;
  if (file.size() < 8) fail(LR_BAD_FORMAT, "%s: %zu bytes are too few for a safetensors file", path.c_str(), (size_t)file.size());
  file.read(&header_bytes, 8, 0);
  if (header_bytes > kMaxHeader || header_bytes > file.size() - 8) {
    fail(LR_BAD_FORMAT, "%s: header of %llu bytes in a file of %llu: not a safetensors file, or truncated", path.c_str(),
         static_cast<unsigned long long>(header_bytes), static_cast<unsigned long long>(file.size()));
  }
  std::string text(header_bytes, '\0');
  file.read(text.data(), header_bytes, 8);
  if (text.empty() || text[0] != '{') fail(LR_BAD_FORMAT, "%s: a safetensors header begins with '{'", path.c_str());
  const Value header = json::parse(text, path);
  const uint64_t data_bytes = file.size() - 8 - header_bytes;
  std::map<std::string, TensorInfo> tensors;
  for (const auto& [name, entry] : header.members) {
    if (name == "__metadata__") continue;
    tensors.emplace(name, read_entry(path + ", tensor \"" + name.substr(0, 200) + "\"", entry, data_bytes));
  }
  check_cover(path, tensors, data_bytes);
  for (auto& [name, tensor] : tensors) tensor.offset += 8 + header_bytes;
  return tensors;
}

Checkpoint::Checkpoint(const std::string& folder) : folder_(folder) {
  const std::string index = folder + "/model.safetensors.index.json";
  if (file_exists(folder + "/model.safetensors")) {
    add_file("model.safetensors");
  } else if (file_exists(index)) {
    add_shards(index);
  } else {
    const std::string pickle = pickle_in(folder);
    if (!pickle.empty()) {
      fail(LR_BAD_FORMAT, "%s holds pickled weights (%s), which can run code when read; convert the model to safetensors",
           folder.c_str(), pickle.c_str());
    }
    fail(LR_BAD_FORMAT, "%s has neither model.safetensors nor model.safetensors.index.json", folder.c_str());
  }
}

void Checkpoint::add_file(const std::string& name) {
  files_.emplace_back(folder_ + "/" + name);
  for (auto& [tensor_name, tensor] : read_safetensors_header(files_.back())) {
    tensor.file = files_.size() - 1;
    if (!tensors_.emplace(tensor_name, std::move(tensor)).second) {
      fail(LR_BAD_FORMAT, "%s: tensor \"%s\" is also in another shard", name.c_str(), tensor_name.c_str());
    }
  }
}

void Checkpoint::add_shards(const std::string& index_path) {
  const Value index = json::parse(read_text(index_path, kMaxHeader), index_path);
  const Value* weight_map = index.find("weight_map");
  if (weight_map == nullptr || !weight_map->is(Value::Type::Object)) {
    fail(LR_BAD_FORMAT, "%s: no weight_map object", index_path.c_str());
  }
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map->members) {
    if (!file.is(Value::Type::String) || !is_plain_name(file.string)) {
      fail(LR_BAD_FORMAT, "%s: \"%s\" is not mapped to the plain name of a .safetensors file beside it", index_path.c_str(),
           tensor.substr(0, 200).c_str());
    }
    names.insert(file.string);
  }
  if (names.size() > 1024) fail(LR_BAD_FORMAT, "%s: more than 1024 shards", index_path.c_str());
  for (const std::string& name : names) add_file(name);
  for (const auto& [tensor, file] : weight_map->members) {
    const TensorInfo* found = find(tensor);
    if (found == nullptr || files_[found->file].path() != folder_ + "/" + file.string) {
      fail(LR_BAD_FORMAT, "%s: \"%s\" is not in %s as the index says", index_path.c_str(), tensor.substr(0, 200).c_str(),
           file.string.c_str());
    }
  }
}

const TensorInfo* Checkpoint::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

void Checkpoint::read_raw(const TensorInfo& tensor, uint64_t first, uint64_t count, void* out) const {
  files_[tensor.file].read(out, count, tensor.offset + first);
}

void Checkpoint::read_float(const TensorInfo& tensor, int64_t first, int64_t count, float* out) const {
  const uint64_t begin = static_cast<uint64_t>(first), values = static_cast<uint64_t>(count);
  if (tensor.dtype == Dtype::F32) {
    read_raw(tensor, begin * 4, values * 4, out);
    return;
  }
  uint16_t chunk[8192];
  const auto convert = tensor.dtype == Dtype::BF16 ? bf16_to_float : f16_to_float;
  for (uint64_t at = 0; at < values; at += 8192) {
    const uint64_t part = std::min<uint64_t>(8192, values - at);
    read_raw(tensor, (begin + at) * 2, part * 2, chunk);
    for (uint64_t i = 0; i < part; ++i) out[at + i] = convert(chunk[i]);
  }
}

float f16_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = bits >> 10 & 0x1F;
  const uint32_t fraction = bits & 0x3FF;
  if (exponent == 0) {  // zero and subnormals: fraction · 2^-24, exact in float
    const float value = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | (exponent == 31 ? 0x7F800000u : (exponent + 112) << 23) | fraction << 13);
}

}  // namespace lr
