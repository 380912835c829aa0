#include "config.h"

#include "architectures/architectures.h"

namespace lr {
namespace {

struct Architecture {
  const char* model_type;
  void (*read)(const ConfigReader& config, ModelConfig& model);
};

constexpr Architecture kArchitectures[] = {
    {"llama", architectures::llama},
    {"mistral", architectures::mistral},
    {"qwen2", architectures::qwen2},
    {"qwen3", architectures::qwen3},
    {"gemma2", architectures::gemma2},
    {"gemma3", architectures::gemma3},
    {"gemma3_text", architectures::gemma3_text},
    {"phi3", architectures::phi3},
};

const Architecture& find_architecture(const std::string& model_type, const std::string& where) {
  std::string supported;
  for (const Architecture& architecture : kArchitectures) {
    if (model_type == architecture.model_type) return architecture;
    supported += (supported.empty() ? "" : ", ") + std::string(architecture.model_type);
  }
  fail(LR_UNSUPPORTED_MODEL, "%s: model_type \"%s\" is not supported; supported: %s", where.c_str(), model_type.c_str(),
       supported.c_str());
}

}  // namespace

LinearShape linear_shape(const ModelConfig& c, int kind) {
  const LinearShape none = {nullptr, 0, 0, false};
  switch (kind) {
    case kQ:
      return c.fused ? LinearShape{"self_attn.qkv_proj", c.hidden, c.q_width() + 2 * c.kv_width(), c.qkv_bias}
                     : LinearShape{"self_attn.q_proj", c.hidden, c.q_width(), c.qkv_bias};
    case kK: return c.fused ? none : LinearShape{"self_attn.k_proj", c.hidden, c.kv_width(), c.qkv_bias};
    case kV: return c.fused ? none : LinearShape{"self_attn.v_proj", c.hidden, c.kv_width(), c.qkv_bias};
    case kO: return {"self_attn.o_proj", c.q_width(), c.hidden, c.o_bias};
    case kGate:
      return c.fused ? LinearShape{"mlp.gate_up_proj", c.hidden, 2 * c.intermediate, c.mlp_bias}
                     : LinearShape{"mlp.gate_proj", c.hidden, c.intermediate, c.mlp_bias};
    case kUp: return c.fused ? none : LinearShape{"mlp.up_proj", c.hidden, c.intermediate, c.mlp_bias};
    case kDown: return {"mlp.down_proj", c.intermediate, c.hidden, c.mlp_bias};
    default: fail(LR_INTERNAL, "no linear layer %d", kind);
  }
}

NormShape norm_shape(const ModelConfig& c, int kind) {
  switch (kind) {
    case kAttentionNorm: return {"input_layernorm", c.hidden};
    case kMlpNorm: return {c.output_norms ? "pre_feedforward_layernorm" : "post_attention_layernorm", c.hidden};
    case kAttentionOutNorm: return {c.output_norms ? "post_attention_layernorm" : nullptr, c.hidden};
    case kMlpOutNorm: return {c.output_norms ? "post_feedforward_layernorm" : nullptr, c.hidden};
    case kQNorm: return {c.qk_norm ? "self_attn.q_norm" : nullptr, c.head_dim};
    case kKNorm: return {c.qk_norm ? "self_attn.k_norm" : nullptr, c.head_dim};
    default: fail(LR_INTERNAL, "no norm %d", kind);
  }
}

std::string layer_name(const ModelConfig& config, int64_t layer, const char* name) {
  return config.prefix + format("layers.%lld.%s", static_cast<long long>(layer), name);
}

std::string older_name(const ModelConfig& config, const std::string& name) {
  if (config.older_prefix.empty()) return name;
  if (name.compare(0, config.prefix.size(), config.prefix) == 0) return config.older_prefix + name.substr(config.prefix.size());
  return "language_model." + name;  // the head
}

ModelConfig parse_model_config(const json::Value& value, const std::string& where) {
  const ConfigReader config(value, where);
  ModelConfig model;
  model.model_type = config.string_or("model_type", "");
  const Architecture& architecture = find_architecture(model.model_type, where);
  architecture.read(config, model);
  return model;
}

}  // namespace lr
