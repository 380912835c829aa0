// Checkpoints that bitsandbytes has quantized, as transformers saves them: config.json says how, and beside the codes of a layer
// lie its scales. Formats: bitsandbytes' QuantState.as_dict(packed=True) for 4 bits, Linear8bitLt's state for int8.
#pragma once
#include <optional>

#include "base_file.h"
#include "safetensors.h"

namespace lr {

// What "quantization_config" of a config.json says; nothing when there is none. Throws Error: LR_UNSUPPORTED_MODEL for other
// methods and settings, by name.
std::optional<Quantization> read_quantization_config(const json::Value& config, const std::string& where);

// The parts of one layer in the checkpoint, all checked; absmax, or the three of double quantization.
struct Prequantized {
  const TensorInfo* codes = nullptr;
  const TensorInfo* absmax = nullptr;
  const TensorInfo *absmax_codes = nullptr, *nested_absmax = nullptr;
  float offset = 0;
};

// True when bitsandbytes has quantized this tensor. The tensors decide, not "llm_int8_skip_modules": what it lists was left in
// full precision and has no scales.
bool is_prequantized(const Checkpoint& checkpoint, const BaseTensor& tensor);
// Its parts. Throws Error: LR_BAD_FORMAT for parts that are missing or contradict each other or `quantization`,
// LR_UNSUPPORTED_MODEL for block sizes, code tables and dtypes that this library does not know.
Prequantized find_prequantized(const Checkpoint& checkpoint, const BaseTensor& tensor, const Quantization& quantization);

}  // namespace lr
