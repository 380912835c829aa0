// What adapters add to the linear layers of a pass: LoRA pairs, PiSSA's share to take away, DoRA's magnitudes, biases. With g the
// magnitude over the norm of the rows of W + s · B A, a constant in the backward pass as in PEFT, and b the bias:
//
//   LoRA   y = W x + s · B A drop(x) + b
//   PiSSA  y = W x + s · B A drop(x) - s · B₀ A₀ x + b
//   DoRA   y = W x + (g - 1) · W drop(x) + g · s · B A drop(x) + b, which without dropout is g · (W x + s · B A x) + b
#pragma once
#include "layer.h"

namespace lr {

// y[T, out] = W x + base bias in; as the adapters of the pass have it out. h: as LayerActivations::h of this kind.
void forward_adapters(const Pass& pass, int layer, int kind, const float* x, float* h, float* y);
// Only h. unread [T, out] is overwritten.
void forward_hidden(const Pass& pass, int layer, int kind, const float* x, float* h, float* unread);

// What dy[T, out] is to W itself: g · dy in rows of DoRA without dropout. dy, or in the pass' scratch.
const float* gradient_through_magnitudes(const Pass& pass, int layer, int kind, const float* dy);
// Gradients of the adapters, and their share of dx[T, in], +=. `through` is gradient_through_magnitudes of dy.
void backward_adapters(const Pass& pass, int layer, int kind, const float* dy, const float* through, const float* x, float* h,
                       float* dx);

}  // namespace lr
