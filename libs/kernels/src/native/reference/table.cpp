#include "reference.h"

namespace lr {

const Ops& reference_ops() {
  static constexpr Ops ops = {
      .name = "reference",
      .nf4_quantize = reference::nf4_quantize,
      .nf4_dequantize = reference::nf4_dequantize,
      .linear_forward = reference::linear_forward,
      .linear_backward = reference::linear_backward,
      .lora_forward = reference::lora_forward,
      .lora_backward = reference::lora_backward,
      .rmsnorm_forward = reference::rmsnorm_forward,
      .rmsnorm_backward = reference::rmsnorm_backward,
      .rope = reference::rope,
      .attention_forward = reference::attention_forward,
      .attention_backward = reference::attention_backward,
      .attention_cached = reference::attention_cached,
      .gated_forward = reference::gated_forward,
      .gated_backward = reference::gated_backward,
      .embedding = reference::embedding,
      .head_loss = reference::head_loss,
      .softcap = reference::softcap,
      .add = reference::add,
      .sum_squares = reference::sum_squares,
      .adamw = reference::adamw,
  };
  return ops;
}

}  // namespace lr
