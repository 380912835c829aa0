// Llama (Touvron et al. 2023): RMSNorm, grouped queries, rotary embeddings, SiLU-gated MLP; everything else is a variation.
#include "architectures.h"

namespace lr::architectures {

void llama(const ConfigReader& config, ModelConfig& model) {
  read_decoder(config, model, {.max_positions = 2048});
  model.qkv_bias = model.o_bias = config.boolean_or("attention_bias", false);
  model.mlp_bias = config.boolean_or("mlp_bias", false);
  read_rope(config, model);
}

}  // namespace lr::architectures
