// The settings of a decoder, read from a Hugging Face config.json or from the index of a quantized base.
#pragma once
#include <cstdint>
#include <string>

#include "json.h"

namespace lr {

// Rotary embeddings; the llama3 fields are used when llama3 is set (Llama 3.1's frequency scaling).
struct RopeConfig {
  double theta = 10000;
  bool llama3 = false;
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;
  int64_t original_positions = 8192;
};

struct ModelConfig {
  std::string model_type;  // "llama" or "qwen2"
  int64_t vocab = 0, hidden = 0, intermediate = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, max_positions = 0;
  double rms_eps = 1e-6;
  bool tied = false;       // the head is the embedding matrix
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  RopeConfig rope;

  int64_t q_width() const { return heads * head_dim; }
  int64_t kv_width() const { return kv_heads * head_dim; }
};

// The linear layers of a decoder layer, in the order in which they run.
enum LinearKind { kQ, kK, kV, kO, kGate, kUp, kDown, kLinears };

struct LinearShape {
  const char* name;  // within the layer, e.g. "self_attn.q_proj"
  int64_t in, out;
  bool bias;
};
LinearShape linear_shape(const ModelConfig& config, int kind);
std::string linear_name(int64_t layer, const char* name);  // "model.layers.<layer>.<name>"

// From a config.json. Throws Error: LR_UNSUPPORTED_MODEL for a model or setting this library does not know, LR_BAD_FORMAT for
// missing or impossible values.
ModelConfig parse_model_config(const json::Value& config, const std::string& where);

// To and from the index of a quantized base.
std::string write_config(const ModelConfig& config);
ModelConfig read_config(const json::Value& config, const std::string& where);

}  // namespace lr
