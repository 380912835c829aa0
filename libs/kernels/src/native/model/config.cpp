#include "config.h"

#include <cmath>

#include "error.h"

namespace lr {
namespace {

using json::Value;

// Bounds that no model reaches and within which no product of sizes overflows.
constexpr int64_t kMaxWidth = 1 << 20, kMaxLayers = 1 << 12, kMaxVocab = 1 << 24, kMaxPositions = 1 << 27;

// Reads typed members of one JSON object; a member that is null counts as absent.
class Reader {
 public:
  Reader(const Value& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is(Value::Type::Object)) fail(LR_BAD_FORMAT, "%s: expected an object", where_.c_str());
  }

  const std::string& where() const { return where_; }

  const Value* find(const char* key) const {
    const Value* value = object_.find(key);
    return value == nullptr || value->is(Value::Type::Null) ? nullptr : value;
  }

  int64_t integer(const char* key, int64_t low, int64_t high) const {
    const Value* value = find(key);
    if (value == nullptr) fail(LR_BAD_FORMAT, "%s: \"%s\" is missing", where_.c_str(), key);
    return checked(*value, key, low, high);
  }
  int64_t integer_or(const char* key, int64_t fallback, int64_t low, int64_t high) const {
    const Value* value = find(key);
    return value == nullptr ? fallback : checked(*value, key, low, high);
  }

  double positive_or(const char* key, double fallback) const {
    const Value* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number() || !(value->number > 0) || value->number > 1e30) {
      fail(LR_BAD_FORMAT, "%s: \"%s\" has to be a positive number", where_.c_str(), key);
    }
    return value->number;
  }
  double positive(const char* key) const {
    if (find(key) == nullptr) fail(LR_BAD_FORMAT, "%s: \"%s\" is missing", where_.c_str(), key);
    return positive_or(key, 0);
  }

  bool boolean_or(const char* key, bool fallback) const {
    const Value* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is(Value::Type::Bool)) fail(LR_BAD_FORMAT, "%s: \"%s\" has to be true or false", where_.c_str(), key);
    return value->boolean;
  }

  std::string string_or(const char* key, const char* fallback) const {
    const Value* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is(Value::Type::String)) fail(LR_BAD_FORMAT, "%s: \"%s\" has to be a string", where_.c_str(), key);
    return value->string.substr(0, 64);
  }

 private:
  int64_t checked(const Value& value, const char* key, int64_t low, int64_t high) const {
    if (!value.is(Value::Type::Integer) || value.integer < low || value.integer > high) {
      fail(LR_BAD_FORMAT, "%s: \"%s\" has to be a whole number from %lld to %lld", where_.c_str(), key,
           static_cast<long long>(low), static_cast<long long>(high));
    }
    return value.integer;
  }

  const Value& object_;
  std::string where_;
};

// Transformers 5 writes "rope_parameters" with theta inside; 4 writes "rope_theta" and, where scaled, "rope_scaling".
RopeConfig parse_rope(const Reader& config) {
  RopeConfig rope;
  rope.theta = config.positive_or("rope_theta", 10000);
  const char* key = config.find("rope_parameters") != nullptr ? "rope_parameters" : "rope_scaling";
  const Value* found = config.find(key);
  if (found == nullptr) return rope;
  const Reader settings(*found, config.where() + ", \"" + key + "\"");
  rope.theta = settings.positive_or("rope_theta", rope.theta);
  if (settings.positive_or("partial_rotary_factor", 1) != 1) {
    fail(LR_UNSUPPORTED_MODEL, "%s: partial rotary embeddings are not supported", settings.where().c_str());
  }
  const std::string type = settings.string_or("rope_type", settings.string_or("type", "default").c_str());
  if (type == "default") return rope;
  if (type != "llama3") {
    fail(LR_UNSUPPORTED_MODEL, "%s: RoPE type \"%s\" is not supported; supported: default, llama3", settings.where().c_str(),
         type.c_str());
  }
  rope.llama3 = true;
  rope.factor = settings.positive("factor");
  rope.low_freq_factor = settings.positive("low_freq_factor");
  rope.high_freq_factor = settings.positive("high_freq_factor");
  rope.original_positions = settings.integer("original_max_position_embeddings", 1, kMaxPositions);
  return rope;
}

void check_rope(const RopeConfig& rope, const std::string& where) {
  if (rope.llama3 && !(rope.high_freq_factor > rope.low_freq_factor)) {
    fail(LR_BAD_FORMAT, "%s: RoPE's high_freq_factor has to be greater than low_freq_factor", where.c_str());
  }
}

void check_heads(const ModelConfig& config, const std::string& where) {
  if (config.heads % config.kv_heads != 0) {
    fail(LR_BAD_FORMAT, "%s: %lld attention heads cannot share %lld key-value heads evenly", where.c_str(),
         static_cast<long long>(config.heads), static_cast<long long>(config.kv_heads));
  }
  if (config.head_dim % 2 != 0 || config.q_width() > kMaxWidth) {
    fail(LR_BAD_FORMAT, "%s: head_dim %lld is odd, or too large for %lld heads", where.c_str(),
         static_cast<long long>(config.head_dim), static_cast<long long>(config.heads));
  }
}

void refuse_sliding_window(const Reader& config) {
  const Value* types = config.find("layer_types");
  bool sliding = config.boolean_or("use_sliding_window", false);
  if (types != nullptr) {
    for (const Value& type : types->items) sliding = sliding || type.string != "full_attention";
  }
  if (sliding) {
    fail(LR_UNSUPPORTED_MODEL, "%s: sliding-window attention is not supported; set use_sliding_window to false",
         config.where().c_str());
  }
}

void read_sizes(const Reader& config, ModelConfig& model) {
  model.vocab = config.integer("vocab_size", 1, kMaxVocab);
  model.hidden = config.integer("hidden_size", 1, kMaxWidth);
  model.intermediate = config.integer("intermediate_size", 1, kMaxWidth);
  model.layers = config.integer("num_hidden_layers", 1, kMaxLayers);
  model.heads = config.integer("num_attention_heads", 1, kMaxWidth);
  model.kv_heads = config.integer_or("num_key_value_heads", model.heads, 1, kMaxWidth);
  if (config.find("head_dim") == nullptr && model.hidden % model.heads != 0) {
    fail(LR_BAD_FORMAT, "%s: hidden_size %lld is no multiple of num_attention_heads %lld and there is no head_dim",
         config.where().c_str(), static_cast<long long>(model.hidden), static_cast<long long>(model.heads));
  }
  model.head_dim = config.integer_or("head_dim", model.hidden / model.heads, 2, kMaxWidth);
  check_heads(model, config.where());
}

}  // namespace

LinearShape linear_shape(const ModelConfig& c, int kind) {
  switch (kind) {
    case kQ: return {"self_attn.q_proj", c.hidden, c.q_width(), c.qkv_bias};
    case kK: return {"self_attn.k_proj", c.hidden, c.kv_width(), c.qkv_bias};
    case kV: return {"self_attn.v_proj", c.hidden, c.kv_width(), c.qkv_bias};
    case kO: return {"self_attn.o_proj", c.q_width(), c.hidden, c.o_bias};
    case kGate: return {"mlp.gate_proj", c.hidden, c.intermediate, c.mlp_bias};
    case kUp: return {"mlp.up_proj", c.hidden, c.intermediate, c.mlp_bias};
    case kDown: return {"mlp.down_proj", c.intermediate, c.hidden, c.mlp_bias};
    default: fail(LR_INTERNAL, "no linear layer %d", kind);
  }
}

std::string linear_name(int64_t layer, const char* name) {
  return format("model.layers.%lld.%s", static_cast<long long>(layer), name);
}

ModelConfig parse_model_config(const Value& value, const std::string& where) {
  const Reader config(value, where);
  ModelConfig model;
  model.model_type = config.string_or("model_type", "");
  const bool llama = model.model_type == "llama";
  if (!llama && model.model_type != "qwen2") {
    fail(LR_UNSUPPORTED_MODEL, "%s: model_type \"%s\" is not supported; supported: llama, qwen2", where.c_str(),
         model.model_type.c_str());
  }
  const std::string activation = config.string_or("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") {
    fail(LR_UNSUPPORTED_MODEL, "%s: hidden_act \"%s\" is not supported; supported: silu", where.c_str(), activation.c_str());
  }
  read_sizes(config, model);
  model.max_positions = config.integer_or("max_position_embeddings", llama ? 2048 : 32768, 1, kMaxPositions);
  model.rms_eps = config.positive_or("rms_norm_eps", 1e-6);
  model.tied = config.boolean_or("tie_word_embeddings", false);
  if (llama) {
    model.qkv_bias = model.o_bias = config.boolean_or("attention_bias", false);
    model.mlp_bias = config.boolean_or("mlp_bias", false);
  } else {
    refuse_sliding_window(config);
    model.qkv_bias = true;
  }
  model.rope = parse_rope(config);
  check_rope(model.rope, where);
  return model;
}

std::string write_config(const ModelConfig& c) {
  const auto number = [](const char* key, int64_t value) { return format(",\"%s\":%lld", key, static_cast<long long>(value)); };
  const auto real = [](const char* key, double value) { return format(",\"%s\":%.17g", key, value); };
  const auto flag = [](const char* key, bool value) { return format(",\"%s\":%s", key, value ? "true" : "false"); };
  std::string out = "{\"model_type\":";
  json::append_string(out, c.model_type);
  out += number("vocab_size", c.vocab) + number("hidden_size", c.hidden) + number("intermediate_size", c.intermediate) +
         number("num_hidden_layers", c.layers) + number("num_attention_heads", c.heads) +
         number("num_key_value_heads", c.kv_heads) + number("head_dim", c.head_dim) +
         number("max_position_embeddings", c.max_positions) + real("rms_norm_eps", c.rms_eps) + flag("tied", c.tied) +
         flag("qkv_bias", c.qkv_bias) + flag("o_bias", c.o_bias) + flag("mlp_bias", c.mlp_bias) +
         real("rope_theta", c.rope.theta) + flag("rope_llama3", c.rope.llama3) + real("rope_factor", c.rope.factor) +
         real("rope_low_freq_factor", c.rope.low_freq_factor) + real("rope_high_freq_factor", c.rope.high_freq_factor) +
         number("rope_original_positions", c.rope.original_positions);
  return out + "}";
}

ModelConfig read_config(const Value& value, const std::string& where) {
  const Reader config(value, where);
  ModelConfig model;
  model.model_type = config.string_or("model_type", "");
  read_sizes(config, model);
  model.max_positions = config.integer("max_position_embeddings", 1, kMaxPositions);
  model.rms_eps = config.positive("rms_norm_eps");
  model.tied = config.boolean_or("tied", false);
  model.qkv_bias = config.boolean_or("qkv_bias", false);
  model.o_bias = config.boolean_or("o_bias", false);
  model.mlp_bias = config.boolean_or("mlp_bias", false);
  model.rope.theta = config.positive("rope_theta");
  model.rope.llama3 = config.boolean_or("rope_llama3", false);
  model.rope.factor = config.positive("rope_factor");
  model.rope.low_freq_factor = config.positive("rope_low_freq_factor");
  model.rope.high_freq_factor = config.positive("rope_high_freq_factor");
  model.rope.original_positions = config.integer("rope_original_positions", 1, kMaxPositions);
  check_rope(model.rope, where);
  return model;
}

}  // namespace lr
