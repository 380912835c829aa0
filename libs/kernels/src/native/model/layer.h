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
  bool cached = false;       // keys come from a cache, and nothing is kept for backward
  RopeRows ropes[kMaxRopes] = {};  // one for each of ModelConfig::ropes
  // Whether operands are in bfloat16, and the room that each then has for the hidden values of a pair, where products want it.
  bool bf16_operands = ops.bf16_operands && run.compute == Compute::BF16 && !run.decoding;
  int64_t pair_room = bf16_operands && ops.pair_room ? widest_pair() : 0;

  const ModelConfig& config() const { return base.config(); }
  MemoryCounter& memory() const { return base.memory(); }
  Attention attention(int layer) const { return config().attention(layer); }
  // True when an adapter of this pass has a pair or a bias on one of the kinds first … last of a layer.
  bool has_lora(int layer, int first, int last) const;
  int64_t lora_hidden_size(int layer, int kind) const;  // Σ over groups of rank · tokens
  // Whether norms read the residual stream rounded to bfloat16. Then this is what is kept of it, and the stream itself lies in one place, to
  // which every layer adds.
  bool rounds_stream() const { return in_halves(config().hidden); }
  // Whether what attention reads is in bfloat16. A cache takes floats, and parts of fused rows are of one type.
  bool rounds_attention() const {
    return bf16_operands && !cached && !config().fused && (config().head_dim == 64 || config().head_dim == 128);
  }
  // Memory for an operand [tokens, parts · width],
  OperandOut operand(Arena& arena, int64_t width, int64_t parts = 1) const;
  // and for what has no room for a pair: [tokens, width] in bfloat16 or floats.
  OperandOut rows(Arena& arena, int64_t width, bool halves) const {
    return halves ? arena.halves(tokens, width, 0) : OperandOut(arena.floats(tokens * width));
  }

 private:
  // Widths that are no multiple of eight are those of no model that has to be fast.
  bool in_halves(int64_t width) const { return bf16_operands && width % 8 == 0; }
  int64_t widest_pair() const;  // rounded up to a multiple of eight
};

// What backward needs of a layer's forward. Norm outputs and activation(gate) · up are recomputed instead: they cost little.
struct LayerActivations {
  float* x;             // [T, d] the layer's input: the residual stream
  OperandOut x_kept;    // [T, d] the same rounded, for its norm; null where that reads x
  // Kept while checkpointing too: small, and dear to compute again.
  float* h[kLinears];   // LoRA's x·Aᵀ: [tokens, r] of each group that has a pair, one after the other
  OperandOut o;         // [T, q]
  float* lse;           // [T, heads]
  OperandOut x2_kept;   // [T, d] as x_kept, of x2
  OperandOut o_proj;    // [T, d] o_proj(o) before the output norm; null without them
  // Computed again while checkpointing.
  float *rstd1, *rstd2;  // [T]
  OperandOut q;         // [T, q]
  OperandOut k, v;      // [T, kv]
  OperandOut q_in, k_in;  // [T, q], [T, kv] before their norms; null without them
  float *rstd_q, *rstd_k;  // [T, heads], [T, key-value heads]
  float* x2;            // [T, d] the stream behind attention; kept too without output norms, where it is not rounded
  OperandOut gate, up;  // [T, f]
  OperandOut mlp_out;   // [T, d] before the output norm; null without them
  float *rstd_o, *rstd_mlp;  // [T]

  // What norms read of the stream.
  Operand x_read() const { return x_kept.halves == nullptr ? Operand(x) : x_kept; }
  Operand x2_read() const { return x2_kept.halves == nullptr ? Operand(x2) : x2_kept; }
};

// Memory of a pass that no layer keeps. Some of it is used twice in a layer, for parts that do not live at the same time.
struct LayerScratch {
  OperandOut n;          // [T, d]
  float* dn;             // [T, d] gradient of n (training)
  // Of one direction of a pass. Nobody needs it between the last layer forward and the first one backward.
  OperandOut act;        // [T, f]
  float* fused_inputs;   // [T, q + 2 kv] of fused layers
  OperandOut fused_mlp;  // [T, 2 f], in the same place
  float* dx;             // [T, d] gradient of the stream (from here on backward)
  OperandOut dact;       // [T, f]
  // Queries and keys before they turn, where what attention reads is in bfloat16; else null: they turn in their place.
  float *q, *k;          // [T, q], [T, kv]
  OperandOut d_o;        // [T, q]
  float *dq, *dk;        // [T, q], [T, kv] gradients of what attention reads
  OperandOut dq_in, dk_in, dv;  // [T, q], [T, kv] turned back: where there are no norms of them, of the products' outputs
};

// Everything but x, h and, with rounds_stream(), x2, in the two parts of LayerActivations.
void take_kept(Arena& arena, const Pass& pass, LayerActivations& a);
void take_recomputed(Arena& arena, const Pass& pass, LayerActivations& a);
// Everything but n and dn: what layers use forward, and what they use backward, where they may be computed again.
void take_forward(Arena& arena, const Pass& pass, LayerScratch& s);
void take_backward(Arena& arena, const Pass& pass, LayerScratch& s);

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
