// Mistral 7B (Jiang et al. 2023): a Llama whose layers all have a window, unless sliding_window is null.
#include "architectures.h"

namespace lr::architectures {

void mistral(const ConfigReader& config, ModelConfig& model) {
  read_decoder(config, model, {.max_positions = 4096 * 32, .kv_heads = 8});
  read_window_everywhere(config, model, config.integer_or_null("sliding_window", 4096, 1, kMaxPositions));
  read_rope(config, model);
}

}  // namespace lr::architectures
