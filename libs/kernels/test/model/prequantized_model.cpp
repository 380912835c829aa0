#include "prequantized_model.h"

#include <cstdio>

#include "model/storage.h"
#include "quantization.h"

namespace lr::test {
namespace {

std::string bytes_of(const void* data, size_t bytes) { return {static_cast<const char*>(data), bytes}; }

const char* type_name(const lr_quantization& quantization) { return quantization.format == LR_NF4 ? "nf4" : "fp4"; }

std::string quantization_config(const lr_quantization& quantization) {
  if (quantization.format == LR_INT8) return "\"quantization_config\":{\"load_in_8bit\":true,\"quant_method\":\"bitsandbytes\"}";
  return std::string("\"quantization_config\":{\"load_in_4bit\":true,\"bnb_4bit_quant_storage\":\"uint8\",\"bnb_4bit_quant_type\":\"") +
         type_name(quantization) + "\",\"bnb_4bit_use_double_quant\":" + (quantization.double_quant ? "true" : "false") +
         ",\"quant_method\":\"bitsandbytes\"}";
}

}  // namespace

void quantize_layer(lr_context* context, TinyModel& model, const std::string& module, const lr_quantization& quantization) {
  const std::string name = module + ".weight";
  const StoredTensor whole = model.tensors.at(name);
  const int64_t rows = whole.shape[0], cols = whole.shape[1];
  const bool int8 = quantization.format == LR_INT8, nested = quantization.double_quant != 0;
  const Storage storage = int8 ? Storage::INT8 : quantization.format == LR_NF4 ? Storage::NF4 : Storage::FP4;
  const WeightLayout layout(storage, nested, rows, cols);
  std::string codes(layout.data_bytes, '\0'), scale_codes(layout.absmax_count, '\0');
  Floats scales(layout.absmax_count), nested_scales(layout.nested_count), offset(1);
  const lr_quantized parts = {reinterpret_cast<uint8_t*>(codes.data()), scales.data(), reinterpret_cast<uint8_t*>(scale_codes.data()),
                              nested_scales.data(), offset.data()};
  check(context, lr_quantize(context, &quantization, reinterpret_cast<const float*>(whole.bytes.data()), static_cast<uint64_t>(rows),
                             static_cast<uint64_t>(cols), &parts));
  const auto count = static_cast<int64_t>(layout.absmax_count), nested_count = static_cast<int64_t>(layout.nested_count);
  if (int8) {
    model.tensors[name] = {"I8", {rows, cols}, codes};
    model.tensors[module + ".SCB"] = {"F32", {rows}, bytes_of(scales.data(), scales.size() * 4)};
    model.tensors[module + ".weight_format"] = {"U8", {}, std::string(1, '\0')};
    return;
  }
  model.tensors[name] = {"U8", {static_cast<int64_t>(codes.size()), 1}, codes};
  model.tensors[name + ".quant_map"] = {"F32", {16}, bytes_of(quant::four_bit(storage).levels.data(), 64)};
  char state[512];
  int written = std::snprintf(state, sizeof state, "{\"quant_type\": \"%s\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [%d, %d]",
                              type_name(quantization), static_cast<int>(rows), static_cast<int>(cols));
  if (nested) {
    model.tensors[name + ".absmax"] = {"U8", {count}, scale_codes};
    model.tensors[name + ".nested_absmax"] = {"F32", {nested_count}, bytes_of(nested_scales.data(), nested_scales.size() * 4)};
    model.tensors[name + ".nested_quant_map"] = {"F32", {256}, bytes_of(quant::dynamic_levels().data(), 1024)};
    written += std::snprintf(state + written, sizeof state - static_cast<size_t>(written),
                             ", \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": %.17g", double{offset[0]});
  } else {
    model.tensors[name + ".absmax"] = {"F32", {count}, bytes_of(scales.data(), scales.size() * 4)};
  }
  const std::string text = std::string(state, static_cast<size_t>(written)) + "}";
  model.tensors[name + ".quant_state.bitsandbytes__" + type_name(quantization)] = {"U8", {static_cast<int64_t>(text.size())}, text};
}

TinyModel prequantized(lr_context* context, TinyModel model, const lr_quantization& quantization, const std::string& skipped) {
  std::vector<std::string> modules;
  for (const auto& [name, tensor] : model.tensors) {
    const size_t end = name.rfind(".weight");
    if (end != std::string::npos && name.find("_proj") != std::string::npos) modules.push_back(name.substr(0, end));
  }
  for (const std::string& module : modules)
    if (module != skipped) quantize_layer(context, model, module, quantization);
  model.config.back() = ',';
  model.config += quantization_config(quantization) + "}";
  return model;
}

}  // namespace lr::test
