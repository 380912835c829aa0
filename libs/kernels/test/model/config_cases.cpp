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

const RopeConfig& rope(const ModelConfig& model) { return model.ropes[0]; }

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
  expect(!llama.tied && !llama.qkv_bias && !llama.o_bias && !llama.mlp_bias && rope(llama).theta == 10000, "llama's flags");
  const ModelConfig biased = parsed("\"attention_bias\":true,\"mlp_bias\":true,\"head_dim\":16,\"rope_scaling\":null");
  expect(biased.qkv_bias && biased.o_bias && biased.mlp_bias && biased.q_width() == 64, "llama's biases and head_dim");
  const ModelConfig qwen = parsed("\"tie_word_embeddings\":true,\"layer_types\":[\"full_attention\",\"full_attention\",\"full_attention\"]", "qwen2");
  expect(qwen.qkv_bias && !qwen.o_bias && !qwen.mlp_bias && qwen.tied && qwen.max_positions == 32768, "qwen2");
  expect(rope(parsed("\"rope_theta\":5e5")).theta == 5e5, "rope_theta at the top");
  expect(rope(parsed("\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":7.0}")).theta == 7, "rope_theta in rope_parameters");
  const std::string llama3 = "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192}";
  const ModelConfig old = parsed("\"rope_theta\":500000.0,\"rope_scaling\":{\"type\":\"llama3\"," + llama3);
  expect(rope(old).type == RopeType::Llama3 && rope(old).factor == 8 && rope(old).theta == 500000, "rope_scaling of transformers 4");
  expect(rope(parsed("\"rope_scaling\":{\"rope_type\":\"llama3\"," + llama3)).original_positions == 8192, "rope_type in rope_scaling");
}

// What each family takes from its configuration class where config.json is silent.
void families() {
  const ModelConfig mistral = parsed("\"num_key_value_heads\":2", "mistral");
  expect(mistral.layer[2].window == 4096 && mistral.max_positions == 131072, "mistral has a window unless told otherwise");
  expect(parsed("\"num_key_value_heads\":2,\"sliding_window\":null", "mistral").layer[0].window == 0, "mistral without a window");
  const ModelConfig qwen = parsed("\"use_sliding_window\":true,\"sliding_window\":9,\"max_window_layers\":2", "qwen3");
  expect(qwen.layer[1].window == 0 && qwen.layer[2].window == 9 && qwen.qk_norm && qwen.head_dim == 128, "qwen3's upper layers");
  const ModelConfig two = parsed("", "gemma2");
  expect(two.attention_softcap == 50 && two.logit_softcap == 30 && two.tied && two.kv_heads == 4 && two.head_dim == 256, "gemma2");
  expect(two.layer[0].window == 4096 && two.layer[1].window == 0 && two.attention_scale == 1.0 / 16, "gemma2's windows and scale");
  expect(parsed("\"attn_logit_softcapping\":null", "gemma2").attention_softcap == 0, "gemma2 without a soft-cap");
  const ModelConfig three = parsed("\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8.0}", "gemma3_text");
  expect(three.ropes.size() == 2 && three.ropes[0].theta == 1e6 && three.ropes[0].factor == 8 && three.ropes[1].theta == 1e4 &&
             three.ropes[1].type == RopeType::Default && three.layer[2].rope == 1,
         "gemma3's two RoPEs");
  const ModelConfig nested = parse_model_config(
      json::parse("{\"model_type\":\"gemma3\",\"text_config\":{\"model_type\":\"gemma3_text\",\"num_hidden_layers\":7}}", "test"), "test");
  expect(nested.layer[5].window == 0 && nested.layer[6].window == 4096 && nested.vocab == 262208, "gemma3 with all its defaults");
  expect(layer_name(nested, 1, "x") == "model.language_model.layers.1.x" &&
             older_name(nested, "model.language_model.norm.weight") == "language_model.model.norm.weight",
         "gemma3's names");
  const ModelConfig phi = parsed("\"partial_rotary_factor\":0.5", "phi3");
  expect(phi.ropes[0].width == 6 && phi.fused && phi.rms_eps == 1e-5, "phi3");
  expect(parsed("\"max_position_embeddings\":100,\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2.5}").max_positions == 250,
         "dynamic RoPE stretches the positions");
}

void refusals() {
  refused("", LR_UNSUPPORTED_MODEL, "\"mamba\" is not supported; supported: llama, mistral, qwen2, qwen3, gemma2, gemma3, gemma3_text, phi3", "mamba");
  refused("\"hidden_act\":\"gelu\"", LR_UNSUPPORTED_MODEL, "hidden_act");
  refused("\"layer_types\":[\"full_attention\"]", LR_BAD_FORMAT, "has to list 3 layers", "qwen2");
  refused("\"layer_types\":[\"chunked_attention\",\"\",\"\"]", LR_UNSUPPORTED_MODEL, "\"chunked_attention\"", "qwen2");
  refused("\"layer_types\":[\"sliding_attention\",\"full_attention\",\"full_attention\"]", LR_BAD_FORMAT, "no sliding_window", "qwen3");
  refused("\"num_key_value_heads\":2,\"layer_types\":[\"sliding_attention\",\"full_attention\",\"full_attention\"]", LR_UNSUPPORTED_MODEL,
          "\"layer_types\" leaves some layers", "mistral");
  refused("\"rope_scaling\":{\"type\":\"proportional\"}", LR_UNSUPPORTED_MODEL, "RoPE type \"proportional\"");
  refused("\"rope_scaling\":{\"type\":\"linear\"}", LR_BAD_FORMAT, "\"factor\" is missing");
  refused("\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}", LR_UNSUPPORTED_MODEL, "supported: default, longrope", "phi3");
  refused("\"rope_scaling\":{\"type\":\"su\",\"short_factor\":[1],\"long_factor\":[1]}", LR_BAD_FORMAT, "6 positive numbers", "phi3");
  for (const char* part : {"0.25", "1.25", "1e30"})
    refused(std::string("\"partial_rotary_factor\":") + part, LR_BAD_FORMAT, "no even number", "phi3");
  refused("\"rope_theta\":1", LR_BAD_FORMAT, "greater than 1");
  refused("\"attention_dropout\":0.1", LR_UNSUPPORTED_MODEL, "\"attention_dropout\" is set");
  refused("\"resid_pdrop\":0.1", LR_UNSUPPORTED_MODEL, "\"resid_pdrop\" is set", "phi3");
  refused("\"use_bidirectional_attention\":true", LR_UNSUPPORTED_MODEL, "\"use_bidirectional_attention\"", "gemma3_text");
  refused("\"attn_logit_softcapping\":50.0", LR_UNSUPPORTED_MODEL, "\"attn_logit_softcapping\"", "gemma3_text");
  refused("\"rope_parameters\":{\"rope_type\":\"default\"}", LR_BAD_FORMAT, "\"full_attention\" is missing", "gemma3_text");
  refused("", LR_BAD_FORMAT, "\"text_config\" is missing", "gemma3");
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
  rope.type = RopeType::Llama3;
  rope.width = 128;
  rope.factor = 8;
  rope.low_freq_factor = 1;
  rope.high_freq_factor = 4;
  rope.original_positions = 8192;
  std::vector<float> f(64);
  rope_frequencies(rope, 1, f.data());
  const double plain = std::pow(500000.0, -126.0 / 128);
  expect(f[0] == 1.0f, "the shortest wavelength is kept");
  expect(std::fabs(f[63] - plain / 8) < 1e-12, "the longest wavelength is stretched by the factor");
  const double middle = std::pow(500000.0, -62.0 / 128);  // wavelength 3602: between 8192/4 and 8192/1
  const double keep = (8192 * middle / (2 * M_PI) - 1) / 3;
  expect(std::fabs(f[31] - ((1 - keep) * middle / 8 + keep * middle)) < 1e-9, "wavelengths between are blended");
}

}  // namespace

void config_cases() {
  defaults();
  families();
  refusals();
  llama3_frequencies();
}

}  // namespace lr::test
