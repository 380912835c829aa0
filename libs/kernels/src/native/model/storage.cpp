#include "storage.h"

#include "../quantization.h"
#include "error.h"

namespace lr {
namespace {

constexpr uint64_t kAlign = 64;
constexpr const char* kNames[] = {"f32", "bf16", "nf4", "fp4", "int8"};

uint64_t bytes_of(Storage storage, uint64_t values) {
  switch (storage) {
    case Storage::F32: return values * 4;
    case Storage::BF16: return values * 2;
    case Storage::INT8: return values;
    default: return (values + 1) / 2;
  }
}

}  // namespace

WeightLayout::WeightLayout(Storage storage, bool double_quant, int64_t rows, int64_t cols)
    : data_bytes(bytes_of(storage, static_cast<uint64_t>(rows * cols))), bytes(data_bytes) {
  if (!quant::is_quantized(storage)) return;
  const auto append = [this](uint64_t part_bytes) {
    const uint64_t at = (bytes + kAlign - 1) / kAlign * kAlign;
    bytes = at + part_bytes;
    return at;
  };
  const int64_t blocks = (rows * cols + quant::kBlock - 1) / quant::kBlock;
  absmax_count = static_cast<uint64_t>(quant::is_four_bit(storage) ? blocks : rows);
  if (!double_quant) {
    absmax = append(absmax_count * sizeof(float));
    return;
  }
  nested_count = static_cast<uint64_t>((blocks + quant::kNestedBlock - 1) / quant::kNestedBlock);
  absmax_codes = append(absmax_count);
  nested_absmax = append(nested_count * sizeof(float));
  offset = append(sizeof(float));
}

Weight weight_at(const uint8_t* at, Storage storage, bool double_quant, int64_t rows, int64_t cols) {
  Weight weight = {storage, rows, cols, at, {}};
  const WeightLayout layout(storage, double_quant, rows, cols);
  const auto floats = [at](uint64_t position) { return reinterpret_cast<const float*>(at + position); };
  if (layout.absmax != 0) weight.scales.absmax = floats(layout.absmax);
  if (layout.absmax_codes != 0) weight.scales = {nullptr, at + layout.absmax_codes, floats(layout.nested_absmax), *floats(layout.offset)};
  return weight;
}

QuantizedParts parts_at(uint8_t* at, const WeightLayout& layout) {
  const auto floats = [at](uint64_t position) { return reinterpret_cast<float*>(at + position); };
  if (layout.absmax != 0) return {at, floats(layout.absmax), nullptr, nullptr, nullptr};
  return {at, nullptr, at + layout.absmax_codes, floats(layout.nested_absmax), floats(layout.offset)};
}

const char* storage_name(Storage storage) { return kNames[static_cast<int>(storage)]; }

Storage parse_storage(const std::string& name, const std::string& where) {
  for (int i = 0; i < 5; ++i) {
    if (name == kNames[i]) return static_cast<Storage>(i);
  }
  fail(LR_BAD_FORMAT, "%s: unknown storage \"%s\"", where.c_str(), name.substr(0, 16).c_str());
}

}  // namespace lr
