// The operations of the CUDA backend; what each does is written in ops.h. Pointers to floats, weights and codes lie on the device,
// arrays of integers, PagedSequence, and what head_loss has a value a token of, on the host.
#pragma once
#include "../launch.h"

namespace lr::cuda {

using In = Operand;
using Out = OperandOut;
template <auto function>
constexpr auto entry = function;

#include "operations.inc"

void round_pairs(const Run&, std::span<const RoundedPair> pairs);

// lora_output and lora_input_gradient of several pairs.
void lora_outputs(const Run&, std::span<const LoraRows> pairs, int64_t out, float* y);
void lora_input_gradients(const Run&, std::span<const LoraRows> pairs, int64_t in, float* dx);

}  // namespace lr::cuda
