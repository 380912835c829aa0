// Tiny models as bitsandbytes leaves them.
#pragma once
#include "tiny_model.h"

namespace lr::test {

// Replaces a linear layer of a checkpoint in F32 by what bitsandbytes would have saved.
void quantize_layer(lr_context* context, TinyModel& model, const std::string& module, const lr_quantization& quantization);
// Every linear layer quantized but `skipped`, and config.json saying so.
TinyModel prequantized(lr_context* context, TinyModel model, const lr_quantization& quantization, const std::string& skipped = "");

}  // namespace lr::test
