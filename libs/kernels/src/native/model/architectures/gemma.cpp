// Gemma 2 (Gemma Team 2024): four norms a layer that multiply by 1 + w, GELU, embeddings times √hidden, every other layer with
// a window, and soft-caps on attention scores and logits.
// Gemma 3 (Gemma Team 2025): norms on queries and keys instead of soft-caps, five layers with a window for one without, and a
// RoPE of their own for the layers with a window. The larger models come as the language model within a model that also sees.
#include <cmath>

#include "architectures.h"

namespace lr::architectures {
namespace {

void read_gemma(const ConfigReader& config, ModelConfig& model, const Defaults& defaults) {
  read_decoder(config, model, defaults, "hidden_activation", "gelu_pytorch_tanh");
  config.refuse("use_bidirectional_attention");
  model.qkv_bias = model.o_bias = config.boolean_or("attention_bias", false);
  model.norm_offset = model.output_norms = true;
  model.attention_scale = 1 / std::sqrt(config.positive_or("query_pre_attn_scalar", 256));
  model.embedding_scale = std::sqrt(static_cast<double>(model.hidden));
}

}  // namespace

void gemma2(const ConfigReader& config, ModelConfig& model) {
  read_gemma(config, model,
             {.max_positions = 8192, .tied = true, .vocab = 256000, .hidden = 2304, .intermediate = 9216, .layers = 26,
              .heads = 8, .kv_heads = 4, .head_dim = 256});
  model.attention_softcap = config.positive_or_null("attn_logit_softcapping", 50);
  model.logit_softcap = config.positive_or_null("final_logit_softcapping", 30);
  read_windows(config, model, config.integer_or_null("sliding_window", 4096, 1, kMaxPositions),
               [](int64_t layer) { return layer % 2 == 0; });
  read_rope(config, model);
}

void gemma3_text(const ConfigReader& config, ModelConfig& model) {
  read_gemma(config, model,
             {.max_positions = 131072, .tied = true, .vocab = 262208, .hidden = 2304, .intermediate = 9216, .layers = 26,
              .heads = 8, .kv_heads = 4, .head_dim = 256});
  config.refuse("attn_logit_softcapping");
  model.logit_softcap = config.positive_or_null("final_logit_softcapping", 0);
  model.qk_norm = true;
  const int64_t pattern = config.integer_or("sliding_window_pattern", 6, 1, kMaxLayers);
  read_windows(config, model, config.integer_or_null("sliding_window", 4096, 1, kMaxPositions),
               [pattern](int64_t layer) { return (layer + 1) % pattern != 0; });
  for (LayerConfig& layer : model.layer) layer.rope = layer.window > 0 ? 1 : 0;

  // Transformers 5 writes one set of RoPE settings for each kind of layer; before, those of layers with a window had a theta.
  json::Value none;
  none.type = json::Value::Type::Object;
  const auto settings = [&](const char* kind) {
    if (config.find("rope_parameters") != nullptr) return config.object("rope_parameters").object(kind);
    const bool scaled = config.find("rope_scaling") != nullptr && std::string(kind) == "full_attention";
    return scaled ? config.object("rope_scaling") : ConfigReader(none, config.where());
  };
  const double theta = config.positive_or("rope_theta", 1e6), local = config.positive_or("rope_local_base_freq", 1e4);
  model.ropes = {read_rope_settings(config, settings("full_attention"), {.theta = theta}, model),
                 read_rope_settings(config, settings("sliding_attention"), {.theta = local}, model)};
  stretch_positions(model);
}

void gemma3(const ConfigReader& config, ModelConfig& model) {
  const ConfigReader text = config.object("text_config");
  text.refuse("final_logit_softcapping");  // which transformers applies to gemma3_text alone
  gemma3_text(text, model);
  model.tied = config.boolean_or("tie_word_embeddings", true);
  model.prefix = "model.language_model.";
  model.older_prefix = "language_model.model.";
}

}  // namespace lr::architectures
