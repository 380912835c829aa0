// Phi-3 (Abdin et al. 2024): q, k, v in one linear layer and gate, up in another; LongRoPE on the long ones; in Phi-4-mini a part
// of each head turns.
#include "architectures.h"

namespace lr::architectures {

void phi3(const ConfigReader& config, ModelConfig& model) {
  read_decoder(config, model, {.max_positions = 4096, .rms_eps = 1e-5});
  for (const char* key : {"resid_pdrop", "embd_pdrop"}) config.refuse(key);
  model.fused = true;
  read_window_everywhere(config, model, config.integer_or("sliding_window", 0, 1, kMaxPositions));
  read_rope(config, model, {.partial = true, .only_longrope = true, .original = 4096});
}

}  // namespace lr::architectures
