// Qwen2 (Yang et al. 2024): biases on q, k, v; a window on the upper layers where use_sliding_window is set.
// Qwen3 (Yang et al. 2025): no such biases, but norms on every query and key; head_dim is a setting of its own.
#include "architectures.h"

namespace lr::architectures {
namespace {

void windows(const ConfigReader& config, ModelConfig& model) {
  const bool use = config.boolean_or("use_sliding_window", false);
  const int64_t window = use ? config.integer_or_null("sliding_window", 4096, 1, kMaxPositions) : 0;
  const int64_t first = config.integer_or("max_window_layers", 28, 0, kMaxLayers);
  read_windows(config, model, window, [=](int64_t layer) { return window > 0 && layer >= first; });
}

}  // namespace

void qwen2(const ConfigReader& config, ModelConfig& model) {
  read_decoder(config, model, {.max_positions = 32768});
  model.qkv_bias = true;
  windows(config, model);
  read_rope(config, model);
}

void qwen3(const ConfigReader& config, ModelConfig& model) {
  read_decoder(config, model, {.max_positions = 32768, .head_dim = 128});
  model.qkv_bias = model.o_bias = config.boolean_or("attention_bias", false);
  model.qk_norm = true;
  windows(config, model);
  read_rope(config, model);
}

}  // namespace lr::architectures
