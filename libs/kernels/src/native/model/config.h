// What a decoder computes, read from a Hugging Face config.json. architectures/ turns the settings of each family into this
// one description; the rest of the model layer knows no family by name.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "../ops.h"
#include "json.h"

namespace lr {

// How the rotary frequencies are stretched beyond the positions of pre-training. Dynamic and Longrope choose them by the length
// of a sequence.
enum class RopeType { Default, Linear, Dynamic, Yarn, Llama3, Longrope };

// Rotary embeddings (Su et al. 2021).
struct RopeConfig {
  RopeType type = RopeType::Default;
  double theta = 10000;
  int64_t width = 0;                                // elements of a head that turn
  double factor = 1;                                // Linear, Dynamic, Yarn, Llama3
  int64_t original_positions = 0;                   // of pre-training: all but Default and Linear
  double attention_factor = 1;                      // times cosine and sine: Yarn, Longrope
  double low_freq_factor = 1, high_freq_factor = 4;  // Llama3
  double beta_fast = 32, beta_slow = 1;             // Yarn
  bool truncate = true;                             // Yarn
  std::vector<double> short_factors, long_factors;  // Longrope, [width / 2]
};

struct LayerConfig {
  int64_t window = 0;  // as in Attention
  int rope = 0;        // which of ModelConfig::ropes
};

struct ModelConfig {
  std::string model_type;
  std::string prefix = "model.";  // of tensor names, the head's excepted
  std::string older_prefix;       // what older checkpoints have instead (older_name); "" = the same
  int64_t vocab = 0, hidden = 0, intermediate = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, max_positions = 0;
  double rms_eps = 1e-6;
  bool tied = false;              // the head is the embedding matrix
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  bool fused = false;             // q, k, v are one linear layer, gate and up another
  bool norm_offset = false;       // norms multiply by 1 + w
  bool qk_norm = false;           // norms over head_dim on queries and keys, before they turn
  bool output_norms = false;      // norms on what attention and MLP give, before it joins the residual stream
  Activation activation = Activation::Silu;
  double attention_scale = 1, attention_softcap = 0, logit_softcap = 0;
  double embedding_scale = 1;     // before it is rounded to the type of the embeddings
  std::vector<RopeConfig> ropes;  // one, or two: of layers that see everything, of layers with a window
  std::vector<LayerConfig> layer;

  int64_t q_width() const { return heads * head_dim; }
  int64_t kv_width() const { return kv_heads * head_dim; }
  Attention attention(int64_t index) const {
    return {heads, kv_heads, head_dim, static_cast<float>(attention_scale), layer[static_cast<size_t>(index)].window,
            static_cast<float>(attention_softcap)};
  }
};
constexpr size_t kMaxRopes = 2;

// The linear layers of a decoder layer, in the order in which they run. Where they are fused, kQ is all of q, k, v, and kGate is
// gate and up; kK, kV and kUp are then absent.
enum LinearKind { kQ, kK, kV, kO, kGate, kUp, kDown, kLinears };

struct LinearShape {
  const char* name;  // within the layer, e.g. "self_attn.q_proj"; null: this model has none of the kind
  int64_t in, out;
  bool bias;
};
LinearShape linear_shape(const ModelConfig& config, int kind);

// The norms of a decoder layer; the last two on queries and keys.
enum NormKind { kAttentionNorm, kMlpNorm, kAttentionOutNorm, kMlpOutNorm, kQNorm, kKNorm, kNorms };

struct NormShape {
  const char* name;  // null: this model has none of the kind
  int64_t size;
};
NormShape norm_shape(const ModelConfig& config, int kind);

// "<prefix>layers.<layer>.<name>"
std::string layer_name(const ModelConfig& config, int64_t layer, const char* name);
// How an older checkpoint calls the tensor `name`.
std::string older_name(const ModelConfig& config, const std::string& name);

// Throws Error: LR_UNSUPPORTED_MODEL for a model or setting this library does not know, LR_BAD_FORMAT for missing or impossible
// values.
ModelConfig parse_model_config(const json::Value& config, const std::string& where);

}  // namespace lr
