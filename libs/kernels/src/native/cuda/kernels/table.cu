#include "kernels.h"

namespace lr::cuda {

extern const Ops kOps;
const Ops kOps = {
    .name = "cuda",
    .quantize = quantize,
    .dequantize = dequantize,
    .linear_forward = linear_forward,
    .linear_backward = linear_backward,
    .lora_hidden = lora_hidden,
    .lora_output = lora_output,
    .lora_gradients = lora_gradients,
    .lora_input_gradient = lora_input_gradient,
    .dropout = dropout,
    .row_norms = row_norms,
    .column_affine = column_affine,
    .column_sums = column_sums,
    .rmsnorm_forward = rmsnorm_forward,
    .rmsnorm_backward = rmsnorm_backward,
    .rope = rope,
    .attention_forward = attention_forward,
    .attention_backward = attention_backward,
    .attention_cached = attention_cached,
    .gated_forward = gated_forward,
    .gated_backward = gated_backward,
    .embedding = embedding,
    .add_noise = add_noise,
    .head_loss = head_loss,
    .softcap = softcap,
    .scale = scale,
    .add = add,
    .sum_squares = sum_squares,
    .adamw = adamw,
    .adamw8 = adamw8,
};

}  // namespace lr::cuda
