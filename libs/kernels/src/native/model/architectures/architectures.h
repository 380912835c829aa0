// One function for each model_type, from its config.json to a ModelConfig, and the building blocks that they share. What a
// function does not set keeps the default of ModelConfig: llama's. Facts are those of Hugging Face's modeling and configuration
// files of the same name; settings that a config.json leaves out have the defaults of transformers' configuration class.
#pragma once
#include <functional>

#include "../config.h"
#include "../config_reader.h"

namespace lr::architectures {

void llama(const ConfigReader& config, ModelConfig& model);
void qwen2(const ConfigReader& config, ModelConfig& model);
void qwen3(const ConfigReader& config, ModelConfig& model);
void mistral(const ConfigReader& config, ModelConfig& model);
void gemma2(const ConfigReader& config, ModelConfig& model);
void gemma3_text(const ConfigReader& config, ModelConfig& model);
void gemma3(const ConfigReader& config, ModelConfig& model);  // the language model within
void phi3(const ConfigReader& config, ModelConfig& model);

// What a family assumes where config.json says nothing; 0: it has to say.
struct Defaults {
  int64_t max_positions;
  double rms_eps = 1e-6;
  bool tied = false;
  int64_t vocab = 0, hidden = 0, intermediate = 0, layers = 0, heads = 0;
  int64_t kv_heads = 0, head_dim = 0;  // 0: as many as heads; hidden / heads
};

// Sizes, norms' epsilon, tying, activation (`activation_key`), the attention scale 1/√head_dim, and layers without a window.
void read_decoder(const ConfigReader& config, ModelConfig& model, const Defaults& defaults,
                  const char* activation_key = "hidden_act", const char* activation = "silu");

// What a family allows and assumes of RoPE settings.
struct RopeRules {
  double theta = 10000;
  bool partial = false;        // part of a head may turn
  bool only_longrope = false;  // longrope, also under its older names su and yarn, or none
  int64_t original = 0;        // positions of pre-training; 0: max_position_embeddings
};
// One RoPE for all layers, from rope_parameters (transformers 5, with theta inside) or rope_theta and rope_scaling (before).
void read_rope(const ConfigReader& config, ModelConfig& model, RopeRules rules = {});
// The settings in one object of that kind; `settings` may be `config` itself where there are none.
RopeConfig read_rope_settings(const ConfigReader& config, const ConfigReader& settings, const RopeRules& rules,
                              const ModelConfig& model);
// How many positions can be used: some stretched RoPEs leave max_position_embeddings at that of pre-training.
void stretch_positions(ModelConfig& model);

// A window on the layers that layer_types calls sliding_attention, or without it, on those that `slides` says.
void read_windows(const ConfigReader& config, ModelConfig& model, int64_t window, const std::function<bool(int64_t)>& slides);
// The same window, or none (0), on all layers, for families that do not read layer_types: one that says otherwise is refused.
void read_window_everywhere(const ConfigReader& config, ModelConfig& model, int64_t window);

// Bounds that no model reaches and within which no product of sizes overflows.
constexpr int64_t kMaxWidth = 1 << 20, kMaxLayers = 1 << 12, kMaxVocab = 1 << 24, kMaxPositions = 1 << 27;

}  // namespace lr::architectures
