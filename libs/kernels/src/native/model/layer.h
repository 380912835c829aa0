// One decoder layer over the operations of a backend: forward, and backward into LoRA gradients and the layer's input.
//
//   n1 = norm(x)        q, k, v = linears(n1), normed where the model has q/k norms, rotated       o = attention(q, k, v)
//   x2 = x + o_proj(o)  n2 = norm(x2)                                         out = x2 + down(activation(gate(n2)) · up(n2))
//
// Where the model has output norms, x2 = x + norm(o_proj(o)) and out = x2 + norm(down(…)). Where layers are fused, one product
// gives q, k, v and one gives gate, up.
//
// Sizes in comments: T tokens, d hidden, q = heads · head_dim, kv = key-value heads · head_dim, f intermediate, r rank.
#pragma once
#include <cstdint>
#include <vector>

#include "adapter.h"
#include "arena.h"

namespace lr {

// The tokens [begin, end) go through this adapter (null: the bare base).
struct RowGroup {
  Adapter* adapter;
  int64_t begin, end;
  float loss_scale;
  uint64_t dropout_seed;
  float label_smoothing, neftune_alpha;
};

// Where the rotation of every token lies.
struct RopeRows {
  const float *cos, *sin;  // [rows, width / 2]
  const int32_t* rows;     // [T]
};

// What every layer of a pass has in common.
struct Pass {
  const Run& run;
  const Ops& ops;
  const Base& base;
  const std::vector<RowGroup>& groups;
  int64_t tokens;            // T
  bool training;             // dropout and gradients
  bool recomputing = false;  // a layer's kept activations are there: only the others are computed
  RopeRows ropes[kMaxRopes] = {};  // one for each of ModelConfig::ropes
  // Whether operands are in bfloat16, and the room that each then has for the hidden values of a pair.
  bool bf16_operands = ops.bf16_operands && run.compute == Compute::BF16 && !run.decoding;
  int64_t pair_room = bf16_operands ? widest_pair() : 0;

  const ModelConfig& config() const { return base.config(); }
  MemoryCounter& memory() const { return base.memory(); }
  Attention attention(int layer) const { return config().attention(layer); }
  // True when an adapter of this pass has a pair or a bias on one of the kinds first … last of a layer.
  bool has_lora(int layer, int first, int last) const;
  int64_t lora_hidden_size(int layer, int kind) const;  // Σ over groups of rank · tokens
  // Memory for an operand [tokens, parts · width].
  OperandOut operand(Arena& arena, int64_t width, int64_t parts = 1) const;

 private:
  int64_t widest_pair() const;  // rounded up to a multiple of eight
};

// What backward needs of a layer's forward. Norm outputs and activation(gate) · up are recomputed instead: they cost little.
struct LayerActivations {
  float* x;             // [T, d] the layer's input
  // Kept while checkpointing too: small, and dear to compute again.
  float* h[kLinears];   // LoRA's x·Aᵀ: [tokens, r] of each group that has a pair, one after the other
  OperandOut o;         // [T, q]
  float* lse;           // [T, heads]
  float* o_proj;        // [T, d] o_proj(o), to which x is then added; with output norms it stays as it is, before its norm
  // Computed again while checkpointing.
  float *rstd1, *rstd2;  // [T]
  float* q;             // [T, q]
  float *k, *v;         // [T, kv]
  float *q_in, *k_in;   // [T, q], [T, kv] before their norms; without these norms they are q and k
  float *rstd_q, *rstd_k;  // [T, heads], [T, key-value heads]
  float* x2;            // [T, d]; o_proj without output norms
  OperandOut gate, up;  // [T, f]
  float* mlp_out;       // [T, d] before the output norm; null without them
  float *rstd_o, *rstd_mlp;  // [T]
};

// Memory of a pass that no layer keeps. Some of it is used twice in a layer, for parts that do not live at the same time.
struct LayerScratch {
  OperandOut n;          // [T, d]
  OperandOut act;        // [T, f]
  float* fused_inputs;   // [T, q + 2 kv] of fused layers
  OperandOut fused_mlp;  // [T, 2 f], in the same place
  float *dn, *dx;        // [T, d] gradients (training)
  OperandOut dact;       // [T, f]
  float *d_o, *dq;       // [T, q]
  float *dk, *dv;        // [T, kv]
};

// Everything but x and h, in the two parts of LayerActivations. `cached`: keys come from a cache, and nothing is kept for backward.
void take_kept(Arena& arena, const Pass& pass, bool cached, LayerActivations& a);
void take_recomputed(Arena& arena, const Pass& pass, LayerActivations& a);
void take_scratch(Arena& arena, const Pass& pass, bool training, LayerScratch& s);

// tokens → x [T, d]
void embed(const Pass& pass, const int32_t* tokens, float* x);
// x → q, k, v (rotated).
void forward_attention_inputs(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s);
// o → x2.
void forward_attention_output(const Pass& pass, int layer, const LayerActivations& a);
// The same from o_proj, while recomputing.
void recompute_attention_output(const Pass& pass, int layer, const LayerActivations& a);
// x2 → gate, up and the product in s.act.
void forward_mlp_inputs(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s);
// s.act and x2 → out [T, d], which may be a.x.
void forward_output(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s, float* out);
// Of forward_output only what backward needs, while recomputing; overwrites s.dn.
void recompute_output(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s);
// x [T, d] of the last layer → its final norm n [T, d]; rstd [T].
void final_norm(const Pass& pass, const float* x, OperandOut n, float* rstd, int64_t T);
// n [T, d] → logits [T, vocab] in the machine's own memory.
void logits_of(const Pass& pass, Operand n, float* logits, int64_t T);

// s.dx [T, d]: gradient of the layer's output in, of its input out. `fresh`: s.n and s.act hold n2 and activation(gate) · up of
// this layer. `input_gradient` false: nothing below needs a gradient, so s.dx is left undefined. Overwrites q, k, gate and up.
void backward_layer(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s, const int32_t* starts,
                    int64_t n_sequences, bool fresh, bool input_gradient);

}  // namespace lr
