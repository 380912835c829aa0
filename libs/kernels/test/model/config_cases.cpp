#include <cmath>

#include "model/config.h"
#include "model/error.h"
#include "model/rope.h"
#include "tiny_model.h"

namespace lr::test {
namespace {

const std::string kSizes =
    "\"vocab_size\":97,\"hidden_size\":48,\"intermediate_size\":80,\"num_hidden_layers\":3,\"num_attention_heads\":4";

ModelConfig parsed(const std::string& members, const std::string& type = "llama") {
  return parse_model_config(json::parse("{\"model_type\":\"" + type + "\"," + kSizes + (members.empty() ? "" : ",") + members + "}", "test"),
                            "config.json");
}

void refused(const std::string& members, lr_status status, const std::string& mention, const std::string& type = "llama") {
  try {
    parsed(members, type);
    expect(false, "configuration accepted: " + members);
  } catch (const Error& error) {
    expect(error.status() == status && std::string(error.what()).find(mention) != std::string::npos,
           "configuration " + members + ": " + error.what());
  }
}

void defaults() {
  const ModelConfig llama = parsed("");
  expect(llama.kv_heads == 4 && llama.head_dim == 12 && llama.max_positions == 2048 && llama.rms_eps == 1e-6, "llama's sizes");
  expect(!llama.tied && !llama.qkv_bias && !llama.o_bias && !llama.mlp_bias && llama.rope.theta == 10000, "llama's flags");
  const ModelConfig biased = parsed("\"attention_bias\":true,\"mlp_bias\":true,\"head_dim\":16,\"rope_scaling\":null");
  expect(biased.qkv_bias && biased.o_bias && biased.mlp_bias && biased.q_width() == 64, "llama's biases and head_dim");
  const ModelConfig qwen = parsed("\"tie_word_embeddings\":true,\"layer_types\":[\"full_attention\"]", "qwen2");
  expect(qwen.qkv_bias && !qwen.o_bias && !qwen.mlp_bias && qwen.tied && qwen.max_positions == 32768, "qwen2");
  expect(parsed("\"rope_theta\":5e5").rope.theta == 5e5, "rope_theta at the top");
  expect(parsed("\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":7.0}").rope.theta == 7, "rope_theta in rope_parameters");
  const std::string llama3 = "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192}";
  const ModelConfig old = parsed("\"rope_theta\":500000.0,\"rope_scaling\":{\"type\":\"llama3\"," + llama3);
  expect(old.rope.llama3 && old.rope.factor == 8 && old.rope.theta == 500000, "rope_scaling of transformers 4");
  expect(parsed("\"rope_scaling\":{\"rope_type\":\"llama3\"," + llama3).rope.original_positions == 8192, "rope_type in rope_scaling");
}

void refusals() {
  refused("", LR_UNSUPPORTED_MODEL, "\"mamba\" is not supported; supported: llama, qwen2", "mamba");
  refused("\"hidden_act\":\"gelu\"", LR_UNSUPPORTED_MODEL, "hidden_act");
  refused("\"use_sliding_window\":true", LR_UNSUPPORTED_MODEL, "sliding-window", "qwen2");
  refused("\"layer_types\":[\"full_attention\",\"sliding_attention\"]", LR_UNSUPPORTED_MODEL, "sliding-window", "qwen2");
  refused("\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2.0}", LR_UNSUPPORTED_MODEL, "RoPE type \"yarn\"");
  refused("\"rope_parameters\":{\"partial_rotary_factor\":0.5}", LR_UNSUPPORTED_MODEL, "partial rotary");
  refused("\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8.0}", LR_BAD_FORMAT, "low_freq_factor");
  refused("\"rope_scaling\":3", LR_BAD_FORMAT, "expected an object");
  refused("\"num_key_value_heads\":3", LR_BAD_FORMAT, "share 3 key-value heads");
  refused("\"num_key_value_heads\":0", LR_BAD_FORMAT, "whole number from 1");
  refused("\"head_dim\":13", LR_BAD_FORMAT, "odd");
  refused("\"head_dim\":1048576", LR_BAD_FORMAT, "too large");
  refused("\"rms_norm_eps\":-1", LR_BAD_FORMAT, "positive");
  refused("\"tie_word_embeddings\":1", LR_BAD_FORMAT, "true or false");
  refused("\"max_position_embeddings\":1e3", LR_BAD_FORMAT, "whole number");
  try {
    parse_model_config(json::parse("[]", "test"), "config.json");
    expect(false, "an array is no configuration");
  } catch (const Error& error) {
    expect(error.status() == LR_BAD_FORMAT, "an array is no configuration");
  }
}

// With the settings of Llama 3.1 8B.
void llama3_frequencies() {
  RopeConfig rope;
  rope.theta = 500000;
  rope.llama3 = true;
  rope.factor = 8;
  rope.low_freq_factor = 1;
  rope.high_freq_factor = 4;
  rope.original_positions = 8192;
  std::vector<float> f(64);
  rope_frequencies(rope, 128, f.data());
  const double plain = std::pow(500000.0, -126.0 / 128);
  expect(f[0] == 1.0f, "the shortest wavelength is kept");
  expect(std::fabs(f[63] - plain / 8) < 1e-12, "the longest wavelength is stretched by the factor");
  const double middle = std::pow(500000.0, -62.0 / 128);  // wavelength 3602: between 8192/4 and 8192/1
  const double keep = (8192 * middle / (2 * M_PI) - 1) / 3;
  expect(std::fabs(f[31] - ((1 - keep) * middle / 8 + keep * middle)) < 1e-9, "wavelengths between are blended");
}

void round_trip() {
  ModelConfig config = parsed("\"rope_theta\":500000.0,\"rms_norm_eps\":1e-05,\"attention_bias\":true", "llama");
  const ModelConfig back = read_config(json::parse(write_config(config), "index"), "index");
  expect(write_config(back) == write_config(config) && back.rms_eps == 1e-5 && back.qkv_bias, "a configuration survives the index");
}

}  // namespace

void config_cases() {
  defaults();
  refusals();
  llama3_frequencies();
  round_trip();
}

}  // namespace lr::test
