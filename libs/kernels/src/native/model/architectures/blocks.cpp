#include <cmath>

#include "architectures.h"

namespace lr::architectures {
namespace {

using json::Value;

void check_heads(const ModelConfig& model, const std::string& where) {
  if (model.heads % model.kv_heads != 0) {
    fail(LR_BAD_FORMAT, "%s: %lld attention heads cannot share %lld key-value heads evenly", where.c_str(),
         static_cast<long long>(model.heads), static_cast<long long>(model.kv_heads));
  }
  if (model.head_dim % 2 != 0 || model.q_width() > kMaxWidth) {
    fail(LR_BAD_FORMAT, "%s: head_dim %lld is odd, or too large for %lld heads", where.c_str(),
         static_cast<long long>(model.head_dim), static_cast<long long>(model.heads));
  }
}

int64_t size(const ConfigReader& config, const char* key, int64_t fallback, int64_t high) {
  return fallback == 0 ? config.integer(key, 1, high) : config.integer_or(key, fallback, 1, high);
}

Activation read_activation(const ConfigReader& config, const char* key, const char* fallback) {
  const std::string name = config.string_or(key, fallback);
  if (name == "silu" || name == "swish") return Activation::Silu;
  if (name == "gelu_pytorch_tanh") return Activation::GeluTanh;
  fail(LR_UNSUPPORTED_MODEL, "%s: %s \"%s\" is not supported; supported: silu, gelu_pytorch_tanh", config.where().c_str(), key,
       name.c_str());
}

}  // namespace

void read_decoder(const ConfigReader& config, ModelConfig& model, const Defaults& defaults, const char* activation_key,
                  const char* activation) {
  model.vocab = size(config, "vocab_size", defaults.vocab, kMaxVocab);
  model.hidden = size(config, "hidden_size", defaults.hidden, kMaxWidth);
  model.intermediate = size(config, "intermediate_size", defaults.intermediate, kMaxWidth / 2);
  model.layers = size(config, "num_hidden_layers", defaults.layers, kMaxLayers);
  model.heads = size(config, "num_attention_heads", defaults.heads, kMaxWidth);
  model.kv_heads =
      config.integer_or("num_key_value_heads", defaults.kv_heads == 0 ? model.heads : defaults.kv_heads, 1, kMaxWidth);
  if (config.find("head_dim") == nullptr && defaults.head_dim == 0 && model.hidden % model.heads != 0) {
    fail(LR_BAD_FORMAT, "%s: hidden_size %lld is no multiple of num_attention_heads %lld and there is no head_dim",
         config.where().c_str(), static_cast<long long>(model.hidden), static_cast<long long>(model.heads));
  }
  model.head_dim =
      config.integer_or("head_dim", defaults.head_dim == 0 ? model.hidden / model.heads : defaults.head_dim, 2, kMaxWidth);
  check_heads(model, config.where());
  model.max_positions = config.integer_or("max_position_embeddings", defaults.max_positions, 1, kMaxPositions);
  model.rms_eps = config.positive_or("rms_norm_eps", defaults.rms_eps);
  model.tied = config.boolean_or("tie_word_embeddings", defaults.tied);
  model.activation = read_activation(config, activation_key, activation);
  model.attention_scale = 1 / std::sqrt(static_cast<double>(model.head_dim));
  model.layer.assign(static_cast<size_t>(model.layers), {});
  config.refuse("attention_dropout");
}

void read_windows(const ConfigReader& config, ModelConfig& model, int64_t window, const std::function<bool(int64_t)>& slides) {
  const Value* types = config.find("layer_types");
  if (types != nullptr && (!types->is(Value::Type::Array) || types->items.size() != model.layer.size())) {
    fail(LR_BAD_FORMAT, "%s: \"layer_types\" has to list %zu layers", config.where().c_str(), model.layer.size());
  }
  for (size_t i = 0; i < model.layer.size(); ++i) {
    const std::string type = types == nullptr ? slides(static_cast<int64_t>(i)) ? "sliding_attention" : "full_attention"
                                              : types->items[i].string.substr(0, 64);
    if (type == "full_attention") continue;
    if (type != "sliding_attention") {
      fail(LR_UNSUPPORTED_MODEL, "%s: layer type \"%s\" is not supported; supported: full_attention, sliding_attention",
           config.where().c_str(), type.c_str());
    }
    if (window == 0) fail(LR_BAD_FORMAT, "%s: layers with sliding attention and no sliding_window", config.where().c_str());
    model.layer[i].window = window;
  }
}

void read_window_everywhere(const ConfigReader& config, ModelConfig& model, int64_t window) {
  read_windows(config, model, window, [window](int64_t) { return window > 0; });
  for (const LayerConfig& layer : model.layer) {
    if (layer.window == window) continue;
    fail(LR_UNSUPPORTED_MODEL, "%s: \"layer_types\" leaves some layers without a window; %s has one on all layers or on none",
         config.where().c_str(), model.model_type.c_str());
  }
}

}  // namespace lr::architectures
