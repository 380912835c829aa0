#include "layer.h"

#include <algorithm>
#include <cmath>

#include "adapted_linear.h"

namespace lr {
namespace {

const Layer& layer_of(const Pass& pass, int layer) { return pass.base.layers()[static_cast<size_t>(layer)]; }

// y[T, out] = linear(x[T, in])
void linear_forward(const Pass& pass, int layer, int kind, const float* x, float* h, float* y) {
  const Linear& linear = layer_of(pass, layer).linears[kind];
  pass.ops.linear_forward(pass.run, x, linear.weight, linear.bias, y, pass.tokens);
  forward_adapters(pass, layer, kind, x, h, y);
}

enum class InputGradient { Write, Add, Skip };

// Gradients of the adapters, and dx[T, in] as asked for; skipped, dx is only somewhere for their own share, which nobody reads.
void linear_backward(const Pass& pass, int layer, int kind, const float* dy, const float* x, float* h, float* dx,
                     InputGradient input) {
  const Weight& w = layer_of(pass, layer).linears[kind].weight;
  const size_t mark = pass.run.scratch->mark();
  const float* through = gradient_through_magnitudes(pass, layer, kind, dy);
  if (input == InputGradient::Skip) {
    std::fill(dx, dx + pass.tokens * w.cols, 0.0f);
  } else {
    pass.ops.linear_backward(pass.run, through, w, dx, pass.tokens, input == InputGradient::Add);
  }
  backward_adapters(pass, layer, kind, dy, through, x, h, dx);
  pass.run.scratch->release(mark);
}

float rms_eps(const Pass& pass) { return static_cast<float>(pass.base.config().rms_eps); }

void normalise_input(const Pass& pass, int layer, const LayerActivations& a, float* out) {
  pass.ops.rmsnorm_forward(pass.run, a.x, layer_of(pass, layer).attention_norm, rms_eps(pass), out, a.rstd1, pass.tokens,
                           pass.base.config().hidden);
}

void normalise_middle(const Pass& pass, int layer, const LayerActivations& a, float* out) {
  pass.ops.rmsnorm_forward(pass.run, a.x2, layer_of(pass, layer).mlp_norm, rms_eps(pass), out, a.rstd2, pass.tokens,
                           pass.base.config().hidden);
}

void rotate(const Pass& pass, float* x, int64_t heads, int sign) {
  pass.ops.rope(pass.run, x, pass.positions, pass.rope.cos(), pass.rope.sin(), sign, pass.tokens, heads,
                pass.base.config().head_dim);
}

// s.dx of the layer's output → s.dx of x2; leaves out what nothing below asks for.
void backward_mlp(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s, bool fresh, bool below_mlp) {
  const ModelConfig& c = pass.base.config();
  const int64_t mlp_size = pass.tokens * c.intermediate;
  const bool below_down = below_mlp || pass.has_lora(layer, kGate, kUp);
  if (!fresh && pass.has_lora(layer, kDown, kDown)) pass.ops.swiglu_forward(pass.run, a.gate, a.up, s.act, mlp_size);
  linear_backward(pass, layer, kDown, s.dx, s.act, a.h[kDown], s.dact, below_down ? InputGradient::Write : InputGradient::Skip);
  if (!below_down) return;
  pass.ops.swiglu_backward(pass.run, s.dact, a.gate, a.up, a.gate, a.up, mlp_size);
  if (!fresh && pass.has_lora(layer, kGate, kUp)) normalise_middle(pass, layer, a, s.n);
  linear_backward(pass, layer, kGate, a.gate, s.n, a.h[kGate], s.dn, below_mlp ? InputGradient::Write : InputGradient::Skip);
  linear_backward(pass, layer, kUp, a.up, s.n, a.h[kUp], s.dn, below_mlp ? InputGradient::Add : InputGradient::Skip);
  if (!below_mlp) return;
  pass.ops.rmsnorm_backward(pass.run, s.dn, a.x2, layer_of(pass, layer).mlp_norm, a.rstd2, s.dx, pass.tokens, c.hidden);
}

}  // namespace

bool Pass::has_lora(int layer, int first, int last) const {
  for (const RowGroup& group : groups) {
    for (int kind = first; kind <= last; ++kind) {
      if (group.adapter != nullptr && group.adapter->has(layer, kind)) return true;
    }
  }
  return false;
}

int64_t Pass::lora_hidden_size(int layer, int kind) const {
  int64_t size = 0;
  for (const RowGroup& group : groups) {
    if (group.adapter != nullptr) size += group.adapter->rank(layer, kind) * (group.end - group.begin);
  }
  return size;
}

float attention_scale(const ModelConfig& config) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
}

void forward_attention_inputs(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s) {
  normalise_input(pass, layer, a, s.n);
  linear_forward(pass, layer, kQ, s.n, a.h[kQ], a.q);
  linear_forward(pass, layer, kK, s.n, a.h[kK], a.k);
  linear_forward(pass, layer, kV, s.n, a.h[kV], a.v);
  rotate(pass, a.q, pass.base.config().heads, 1);
  rotate(pass, a.k, pass.base.config().kv_heads, 1);
}

void forward_mlp_inputs(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s) {
  const ModelConfig& c = pass.base.config();
  linear_forward(pass, layer, kO, a.o, a.h[kO], a.x2);
  pass.ops.add(pass.run, a.x2, a.x, a.x2, pass.tokens * c.hidden);
  normalise_middle(pass, layer, a, s.n);
  linear_forward(pass, layer, kGate, s.n, a.h[kGate], a.gate);
  linear_forward(pass, layer, kUp, s.n, a.h[kUp], a.up);
  pass.ops.swiglu_forward(pass.run, a.gate, a.up, s.act, pass.tokens * c.intermediate);
}

void forward_output(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s, float* out) {
  linear_forward(pass, layer, kDown, s.act, a.h[kDown], out);
  pass.ops.add(pass.run, out, a.x2, out, pass.tokens * pass.base.config().hidden);
}

void recompute_output_hidden(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s) {
  if (!pass.has_lora(layer, kDown, kDown)) return;
  forward_hidden(pass, layer, kDown, s.act, a.h[kDown], s.dn);  // s.dn is free until backward writes it
}

void backward_layer(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s, const int32_t* starts,
                    int64_t n_sequences, bool fresh, bool input_gradient) {
  const ModelConfig& c = pass.base.config();
  const bool below_o = input_gradient || pass.has_lora(layer, kQ, kV);
  const bool below_mlp = below_o || pass.has_lora(layer, kO, kO);
  backward_mlp(pass, layer, a, s, fresh, below_mlp);
  if (!below_mlp) return;

  linear_backward(pass, layer, kO, s.dx, a.o, a.h[kO], s.d_o, below_o ? InputGradient::Write : InputGradient::Skip);
  if (!below_o) return;
  pass.ops.attention_backward(pass.run, s.d_o, a.q, a.k, a.v, a.o, a.lse, starts, n_sequences, attention_scale(c), s.dq, s.dk,
                              s.dv, c.heads, c.kv_heads, c.head_dim);
  rotate(pass, s.dq, c.heads, -1);
  rotate(pass, s.dk, c.kv_heads, -1);
  if (pass.has_lora(layer, kQ, kV)) normalise_input(pass, layer, a, s.n);
  linear_backward(pass, layer, kQ, s.dq, s.n, a.h[kQ], s.dn, input_gradient ? InputGradient::Write : InputGradient::Skip);
  linear_backward(pass, layer, kK, s.dk, s.n, a.h[kK], s.dn, input_gradient ? InputGradient::Add : InputGradient::Skip);
  linear_backward(pass, layer, kV, s.dv, s.n, a.h[kV], s.dn, input_gradient ? InputGradient::Add : InputGradient::Skip);
  if (!input_gradient) return;
  pass.ops.rmsnorm_backward(pass.run, s.dn, a.x, layer_of(pass, layer).attention_norm, a.rstd1, s.dx, pass.tokens, c.hidden);
}

}  // namespace lr
