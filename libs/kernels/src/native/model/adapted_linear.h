// What adapters add to the linear layers of a pass: LoRA pairs, PiSSA's share to take away, DoRA's magnitudes, biases. With g the
// magnitude over the norm of the rows of W + s · B A, a constant in the backward pass as in PEFT, and b the bias:
//
//   LoRA   y = W x + s · B A drop(x) + b
//   PiSSA  y = W x + s · B A drop(x) - s · B₀ A₀ x + b
//   DoRA   y = W x + (g - 1) · W drop(x) + g · s · B A drop(x) + b, which without dropout is g · (W x + s · B A x) + b
#pragma once
#include "layer.h"

namespace lr {

// y[T, out] = linear(x[T, in]) as the adapters of the pass have it, and h as LayerActivations::h of this kind, unless recomputing.
void adapted_forward(const Pass& pass, int layer, int kind, Operand x, float* h, OperandOut y);

enum class InputGradient { Write, Add, Skip };
// Gradients of the adapters, and dx[T, in] as asked for: nothing is added to one in bfloat16.
void adapted_backward(const Pass& pass, int layer, int kind, Operand dy, Operand x, float* h, OperandOut dx, InputGradient input);

}  // namespace lr
