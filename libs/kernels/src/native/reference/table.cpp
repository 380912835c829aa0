#include "reference.h"

namespace lr {

const Ops& reference_ops() {
  static constexpr Ops ops = {
      .name = "reference",
      .quantize = reference::quantize,
      .dequantize = reference::dequantize,
      .linear_forward = reference::linear_forward,
      .linear_backward = reference::linear_backward,
      .lora_hidden = reference::lora_hidden,
      .lora_output = reference::lora_output,
      .lora_gradients = reference::lora_gradients,
      .lora_input_gradient = reference::lora_input_gradient,
      .dropout = reference::dropout,
      .row_norms = reference::row_norms,
      .column_affine = reference::column_affine,
      .column_sums = reference::column_sums,
      .rmsnorm_forward = reference::rmsnorm_forward,
      .rmsnorm_backward = reference::rmsnorm_backward,
      .rope = reference::rope,
      .attention_forward = reference::attention_forward,
      .attention_backward = reference::attention_backward,
      .attention_cached = reference::attention_cached,
      .gated_forward = reference::gated_forward,
      .gated_backward = reference::gated_backward,
      .embedding = reference::embedding,
      .add_noise = reference::add_noise,
      .head_loss = reference::head_loss,
      .softcap = reference::softcap,
      .scale = reference::scale,
      .add = reference::add,
      .sum_squares = reference::sum_squares,
      .adamw = reference::adamw,
      .adamw8 = reference::adamw8,
  };
  return ops;
}

}  // namespace lr
