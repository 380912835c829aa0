// One decoder layer over the operations of a backend: forward, and backward into LoRA gradients and the layer's input.
//
//   n1 = rmsnorm(x)          q, k, v = linears(n1), rotated        o = attention(q, k, v)
//   x2 = x + o_proj(o)       n2 = rmsnorm(x2)                      out = x2 + down(silu(gate(n2)) · up(n2))
//
// Sizes in comments: T tokens, d hidden, q = heads · head_dim, kv = key-value heads · head_dim, f intermediate, r rank.
#pragma once
#include <cstdint>
#include <vector>

#include "adapter.h"

namespace lr {

// The tokens [begin, end) go through this adapter (null: the bare base).
struct RowGroup {
  Adapter* adapter;
  int64_t begin, end;
  float loss_scale;
  uint64_t dropout_seed;
  float label_smoothing, neftune_alpha;
};

// What every layer of a pass has in common.
struct Pass {
  const Run& run;
  const Ops& ops;
  const Base& base;
  const RopeTable& rope;
  const std::vector<RowGroup>& groups;
  int64_t tokens;            // T
  const int32_t* positions;  // [T], within each sequence
  bool training;             // dropout and gradients

  // True when an adapter of this pass has a pair or a bias on one of the kinds first … last of a layer.
  bool has_lora(int layer, int first, int last) const;
  int64_t lora_hidden_size(int layer, int kind) const;  // Σ over groups of rank · tokens
};

// What backward needs of a layer's forward. Norm outputs and silu(gate) · up are recomputed instead: they cost little.
struct LayerActivations {
  float* x;           // [T, d] the layer's input
  float *rstd1, *rstd2;  // [T]
  float *q, *o;       // [T, q]
  float *k, *v;       // [T, kv]
  float* lse;         // [T, heads]
  float* x2;          // [T, d]
  float *gate, *up;   // [T, f]
  float* h[kLinears];  // LoRA's x·Aᵀ: [tokens, r] of each group that has a pair, one after the other
};

// Memory of a pass that no layer keeps. Some of it is used twice in a layer, for parts that do not live at the same time.
struct LayerScratch {
  float* n;              // [T, d]
  float* act;            // [T, f]
  float *dn, *dx;        // [T, d] gradients (training)
  float* dact;           // [T, f]
  float *d_o, *dq;       // [T, q]
  float *dk, *dv;        // [T, kv]
};

// x → q, k, v (rotated).
void forward_attention_inputs(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s);
// o → x2, gate, up and the product in s.act.
void forward_mlp_inputs(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s);
// s.act and x2 → out [T, d], which may be a.x.
void forward_output(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s, float* out);
// Only the LoRA hidden of the last linear, which backward needs and a recomputation would otherwise leave out.
void recompute_output_hidden(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s);

// s.dx [T, d]: gradient of the layer's output in, of its input out. `fresh`: s.n and s.act hold n2 and silu(gate)·up of this
// layer. `input_gradient` false: nothing below needs a gradient, so s.dx is left undefined. Overwrites a.gate and a.up.
void backward_layer(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s, const int32_t* starts,
                    int64_t n_sequences, bool fresh, bool input_gradient);

float attention_scale(const ModelConfig& config);

}  // namespace lr
