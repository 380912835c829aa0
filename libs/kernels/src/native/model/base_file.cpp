#include "base_file.h"

#include <cstring>

#include "../quantization.h"
#include "crc32c.h"
#include "error.h"

namespace lr {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files of this library are little-endian and read in place");

constexpr char kMagic[8] = {'L', 'R', 'B', 'A', 'S', 'E', '\r', '\n'};
constexpr uint32_t kVersion = 2;
constexpr uint64_t kHeaderBytes = 64;
constexpr uint64_t kAlign = 64;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t index_crc;
  uint64_t index_bytes;
  uint64_t file_bytes;
  uint8_t reserved[28];
  uint32_t header_crc;
};
static_assert(sizeof(Header) == kHeaderBytes);

uint64_t align_up(uint64_t value) { return (value + kAlign - 1) / kAlign * kAlign; }

using json::Value;

std::string write_index(const BaseIndex& index) {
  const auto boolean = [](bool value) { return value ? "true" : "false"; };
  std::string out = "{\"config\":" + index.config_text;
  out += format(",\"quantization\":{\"storage\":\"%s\",\"double_quant\":%s,\"prequantized\":%s},\"tensors\":[",
                storage_name(index.quantization.storage), boolean(index.quantization.double_quant), boolean(index.prequantized));
  for (const BaseTensor& tensor : index.tensors) {
    if (&tensor != &index.tensors.front()) out += ',';
    out += "{\"name\":";
    json::append_string(out, tensor.name);
    // Offsets have a fixed width so that the size of the index does not depend on them.
    out += format(",\"storage\":\"%s\",\"double_quant\":%s,\"rows\":%lld,\"cols\":%lld,\"bytes\":%llu,\"offset\":\"%016llx\"}",
                  storage_name(tensor.storage), boolean(tensor.double_quant), static_cast<long long>(tensor.rows),
                  static_cast<long long>(tensor.cols), static_cast<unsigned long long>(tensor.bytes),
                  static_cast<unsigned long long>(tensor.offset));
  }
  return out + "]}";
}

bool storage_fits(BaseTensor::Role role, Storage storage) {
  switch (role) {
    case BaseTensor::Role::Linear: return true;
    case BaseTensor::Role::Bias: return storage == Storage::F32;
    default: return !quant::is_quantized(storage);
  }
}

const Value& member(const Value& object, const char* key, Value::Type type, const std::string& where) {
  const Value* value = object.find(key);
  if (value == nullptr || !value->is(type)) fail(LR_BAD_FORMAT, "%s: \"%s\" is missing or of the wrong type", where.c_str(), key);
  return *value;
}

// Reads "storage" and "double_quant" of an object of the index.
Quantization read_quantization(const Value& object, const std::string& where) {
  const Storage storage = parse_storage(member(object, "storage", Value::Type::String, where).string, where);
  const bool double_quant = member(object, "double_quant", Value::Type::Bool, where).boolean;
  if (double_quant && !quant::is_four_bit(storage)) fail(LR_BAD_FORMAT, "%s: only 4-bit storages are double-quantized", where.c_str());
  return {storage, double_quant};
}

// Completes `tensor` (name, role and shape as the configuration wants them) from its entry in the index.
void read_tensor_entry(const Value& entry, const std::string& path, uint64_t begin, uint64_t file_bytes, BaseTensor& tensor) {
  const std::string where = path + ", tensor " + tensor.name;
  if (member(entry, "name", Value::Type::String, where).string != tensor.name ||
      member(entry, "rows", Value::Type::Integer, where).integer != tensor.rows ||
      member(entry, "cols", Value::Type::Integer, where).integer != tensor.cols) {
    fail(LR_BAD_FORMAT, "%s: the index has another name or shape than the configuration asks for", where.c_str());
  }
  const Quantization quantization = read_quantization(entry, where);
  tensor.storage = quantization.storage;
  tensor.double_quant = quantization.double_quant;
  if (!storage_fits(tensor.role, tensor.storage)) fail(LR_BAD_FORMAT, "%s: wrong storage for its role", where.c_str());
  tensor.bytes = tensor.layout().bytes;
  const std::string& offset = member(entry, "offset", Value::Type::String, where).string;
  if (offset.size() != 16 || offset.find_first_not_of("0123456789abcdef") != std::string::npos) {
    fail(LR_BAD_FORMAT, "%s: malformed offset", where.c_str());
  }
  tensor.offset = std::stoull(offset, nullptr, 16);
  if (member(entry, "bytes", Value::Type::Integer, where).integer != static_cast<int64_t>(tensor.bytes) ||
      tensor.offset < begin || tensor.offset % kAlign != 0 || tensor.offset > file_bytes ||
      tensor.bytes > file_bytes - tensor.offset) {
    fail(LR_BAD_FORMAT, "%s: it does not lie where the format allows", where.c_str());
  }
}

}  // namespace

std::vector<BaseTensor> expected_tensors(const ModelConfig& c) {
  using Role = BaseTensor::Role;
  std::vector<BaseTensor> tensors;
  tensors.push_back({c.prefix + "embed_tokens.weight", Role::Kept, c.vocab, c.hidden});
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    for (int kind = 0; kind < kNorms; ++kind) {
      const NormShape shape = norm_shape(c, kind);
      if (shape.name != nullptr) tensors.push_back({layer_name(c, layer, shape.name) + ".weight", Role::Kept, 1, shape.size});
    }
    for (int kind = 0; kind < kLinears; ++kind) {
      const LinearShape shape = linear_shape(c, kind);
      if (shape.name == nullptr) continue;
      const std::string name = layer_name(c, layer, shape.name);
      tensors.push_back({name + ".weight", Role::Linear, shape.out, shape.in});
      if (shape.bias) tensors.push_back({name + ".bias", Role::Bias, 1, shape.out});
    }
  }
  tensors.push_back({c.prefix + "norm.weight", Role::Kept, 1, c.hidden});
  if (!c.tied) tensors.push_back({"lm_head.weight", Role::Kept, c.vocab, c.hidden});
  return tensors;
}

std::string write_base_head(BaseIndex& index) {
  uint64_t at = align_up(kHeaderBytes + write_index(index).size());
  for (BaseTensor& tensor : index.tensors) {
    tensor.offset = at;
    at = align_up(at + tensor.bytes);
  }
  const std::string text = write_index(index);
  Header header = {};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.index_crc = crc32c(text.data(), text.size());
  header.index_bytes = text.size();
  header.file_bytes = index.tensors.back().offset + index.tensors.back().bytes;
  header.header_crc = crc32c(&header, kHeaderBytes - 4);
  std::string head(reinterpret_cast<const char*>(&header), kHeaderBytes);
  head += text;
  head.resize(index.tensors.front().offset, '\0');
  return head;
}

BaseIndex read_base_head(const uint8_t* data, uint64_t size, const std::string& path) {
  Header header;
  if (size < kHeaderBytes) fail(LR_BAD_FORMAT, "%s: too short for a quantized base", path.c_str());
  std::memcpy(&header, data, kHeaderBytes);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) fail(LR_BAD_FORMAT, "%s is not a quantized base", path.c_str());
  if (header.header_crc != crc32c(&header, kHeaderBytes - 4)) fail(LR_BAD_FORMAT, "%s: the header is damaged", path.c_str());
  if (header.version != kVersion) {
    fail(LR_BAD_FORMAT, "%s has format version %u, this library reads %u: quantize the base model again", path.c_str(),
         header.version, kVersion);
  }
  if (header.file_bytes != size) {
    fail(LR_BAD_FORMAT, "%s has %llu bytes instead of %llu: it is truncated or has grown", path.c_str(),
         static_cast<unsigned long long>(size), static_cast<unsigned long long>(header.file_bytes));
  }
  if (header.index_bytes > size - kHeaderBytes) fail(LR_BAD_FORMAT, "%s: the index does not fit the file", path.c_str());
  const std::string_view text(reinterpret_cast<const char*>(data) + kHeaderBytes, header.index_bytes);
  if (crc32c(text.data(), text.size()) != header.index_crc) fail(LR_BAD_FORMAT, "%s: the index is damaged", path.c_str());

  const Value root = json::parse(text, path);
  BaseIndex index;
  index.config = parse_model_config(member(root, "config", Value::Type::Object, path), path);
  const Value& quantization = member(root, "quantization", Value::Type::Object, path);
  index.quantization = read_quantization(quantization, path);
  index.prequantized = member(quantization, "prequantized", Value::Type::Bool, path).boolean;
  const Value& entries = member(root, "tensors", Value::Type::Array, path);
  index.tensors = expected_tensors(index.config);
  if (entries.items.size() != index.tensors.size()) {
    fail(LR_BAD_FORMAT, "%s: %zu tensors where the configuration asks for %zu", path.c_str(), entries.items.size(),
         index.tensors.size());
  }
  uint64_t begin = kHeaderBytes + header.index_bytes;
  for (size_t i = 0; i < index.tensors.size(); ++i) {
    read_tensor_entry(entries.items[i], path, begin, size, index.tensors[i]);
    begin = index.tensors[i].offset + index.tensors[i].bytes;
  }
  return index;
}

}  // namespace lr
