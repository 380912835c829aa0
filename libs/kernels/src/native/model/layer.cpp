#include "layer.h"

#include <algorithm>

#include "adapted_linear.h"

namespace lr {
namespace {

const Layer& layer_of(const Pass& pass, int layer) { return pass.base.layers()[static_cast<size_t>(layer)]; }

// The rows of an operand in bytes: where they begin, how long they are and how far apart.
struct Part {
  Part(const OperandOut& rows, int64_t width)
      : at(rows.halves == nullptr ? reinterpret_cast<std::byte*>(rows.floats) : reinterpret_cast<std::byte*>(rows.halves)),
        bytes(static_cast<size_t>(width) * (rows.halves == nullptr ? sizeof(float) : sizeof(uint16_t))),
        stride(rows.halves == nullptr ? bytes : static_cast<size_t>(rows.stride) * sizeof(uint16_t)) {}
  std::byte* at;
  size_t bytes, stride;
};

// `parts` are columns of the fused rows, one after the other, all in its type.
void split(const Pass& pass, Part fused, std::initializer_list<Part> parts) {
  for (const Part& part : parts) {
    pass.memory().copy_rows(part.at, part.stride, fused.at, fused.stride, part.bytes, pass.tokens);
    fused.at += part.bytes;
  }
}

void join(const Pass& pass, Part fused, std::initializer_list<Part> parts) {
  for (const Part& part : parts) {
    pass.memory().copy_rows(fused.at, fused.stride, part.at, part.stride, part.bytes, pass.tokens);
    fused.at += part.bytes;
  }
}

int64_t inputs_width(const ModelConfig& c) { return c.q_width() + 2 * c.kv_width(); }

// Norm over rows of `width` elements: [rows, width].
void norm_forward(const Pass& pass, int layer, int kind, Operand x, OperandOut y, float* rstd, int64_t rows) {
  pass.ops.rmsnorm_forward(pass.run, x, layer_of(pass, layer).norms[kind], static_cast<float>(pass.config().rms_eps), y, rstd, rows,
                           norm_shape(pass.config(), kind).size);
}

// dx += the gradient through the norm
void norm_backward(const Pass& pass, int layer, int kind, const float* dy, Operand x, const float* rstd, float* dx, int64_t rows) {
  pass.ops.rmsnorm_backward(pass.run, dy, x, layer_of(pass, layer).norms[kind], rstd, dx, rows,
                            norm_shape(pass.config(), kind).size);
}

// dx =, where dx is not dy
void norm_backward_write(const Pass& pass, int layer, int kind, const float* dy, Operand x, const float* rstd, float* dx, int64_t rows) {
  pass.memory().zero(dx, static_cast<size_t>(rows * norm_shape(pass.config(), kind).size) * sizeof(float));
  norm_backward(pass, layer, kind, dy, x, rstd, dx, rows);
}

// y, which may be x, = x [T, heads · head_dim] turned
void rotate(const Pass& pass, int layer, const float* x, OperandOut y, int64_t heads, int sign) {
  const ModelConfig& c = pass.config();
  const int which = c.layer[static_cast<size_t>(layer)].rope;
  const RopeRows& rope = pass.ropes[which];
  pass.ops.rope(pass.run, x, y, rope.rows, rope.cos, rope.sin, sign, pass.tokens, heads, c.head_dim,
                c.ropes[static_cast<size_t>(which)].width);
}

// Forward, what norms read of the stream.
void round_stream(const Pass& pass, const float* x, OperandOut kept) {
  if (kept.halves == nullptr || pass.recomputing) return;
  pass.ops.column_affine(pass.run, x, nullptr, nullptr, nullptr, kept, pass.tokens, pass.config().hidden);
}

// Where queries or keys are before they turn.
float* unturned(const OperandOut& turned, float* scratch) { return turned.halves == nullptr ? turned.floats : scratch; }

// Rows of all heads as rows of one head each.
Operand each_head(const Pass& pass, const OperandOut& rows) {
  return rows.halves == nullptr ? rows : Operand(rows.halves, pass.config().head_dim);
}

void take_fused(Arena& arena, const Pass& pass, LayerScratch& s) {
  const ModelConfig& c = pass.config();
  if (!c.fused) return;
  const size_t fused = arena.mark();
  s.fused_inputs = arena.floats(pass.tokens * inputs_width(c));
  const size_t end = arena.mark();
  arena.rewind(fused);
  s.fused_mlp = pass.operand(arena, c.intermediate, 2);
  arena.rewind(std::max(end, arena.mark()));
}

// s.dx of the layer's output → s.dx of x2; leaves out what nothing below asks for.
void backward_mlp(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s, bool fresh, bool below_mlp) {
  const ModelConfig& c = pass.config();
  const int64_t T = pass.tokens, f = c.intermediate;
  const bool below_down = below_mlp || pass.has_lora(layer, kGate, kUp);
  if (!fresh && pass.has_lora(layer, kDown, kDown)) pass.ops.gated_forward(pass.run, c.activation, a.gate, a.up, s.act, T, f);
  if (c.output_norms) norm_backward_write(pass, layer, kMlpOutNorm, s.dx, a.mlp_out, a.rstd_mlp, s.dn, T);
  adapted_backward(pass, layer, kDown, c.output_norms ? s.dn : s.dx, s.act, a.h[kDown], s.dact,
                  below_down ? InputGradient::Write : InputGradient::Skip);
  if (!below_down) return;
  pass.ops.gated_backward(pass.run, c.activation, s.dact, a.gate, a.up, a.gate, a.up, T, f);
  if (!fresh && pass.has_lora(layer, kGate, kUp)) norm_forward(pass, layer, kMlpNorm, a.x2_read(), s.n, a.rstd2, T);
  const InputGradient write = below_mlp ? InputGradient::Write : InputGradient::Skip;
  if (c.fused) {
    join(pass, {s.fused_mlp, 2 * f}, {{a.gate, f}, {a.up, f}});
    adapted_backward(pass, layer, kGate, s.fused_mlp, s.n, a.h[kGate], s.dn, write);
  } else {
    adapted_backward(pass, layer, kGate, a.gate, s.n, a.h[kGate], s.dn, write);
    adapted_backward(pass, layer, kUp, a.up, s.n, a.h[kUp], s.dn, below_mlp ? InputGradient::Add : InputGradient::Skip);
  }
  if (below_mlp) norm_backward(pass, layer, kMlpNorm, s.dn, a.x2_read(), a.rstd2, s.dx, T);
}

// s.d_o → the gradients of what q, k and v were made from: the products' outputs, in dq, dk, s.dv.
void backward_attention(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s, const int32_t* starts,
                        int64_t n_sequences, OperandOut& dq, OperandOut& dk) {
  const ModelConfig& c = pass.config();
  pass.ops.attention_backward(pass.run, pass.attention(layer), s.d_o, a.q, a.k, a.v, a.o, a.lse, starts, n_sequences, s.dq, s.dk,
                              s.dv);
  dq = c.qk_norm ? OperandOut(s.dq) : s.dq_in;
  dk = c.qk_norm ? OperandOut(s.dk) : s.dk_in;
  rotate(pass, layer, s.dq, dq, c.heads, -1);
  rotate(pass, layer, s.dk, dk, c.kv_heads, -1);
  if (!c.qk_norm) return;
  float *q = unturned(a.q, s.q), *k = unturned(a.k, s.k);
  norm_backward_write(pass, layer, kQNorm, s.dq, each_head(pass, a.q_in), a.rstd_q, q, pass.tokens * c.heads);
  norm_backward_write(pass, layer, kKNorm, s.dk, each_head(pass, a.k_in), a.rstd_k, k, pass.tokens * c.kv_heads);
  dq = q;
  dk = k;
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

OperandOut Pass::operand(Arena& arena, int64_t width, int64_t parts) const {
  if (in_halves(width)) return arena.halves(tokens, parts * width, pair_room);
  return arena.floats(tokens * parts * width);
}

int64_t Pass::widest_pair() const {
  int64_t widest = 0;
  for (const RowGroup& group : groups) {
    if (group.adapter != nullptr) widest = std::max(widest, group.adapter->widest_rank());
  }
  return (widest + 7) / 8 * 8;
}

void take_kept(Arena& arena, const Pass& pass, LayerActivations& a) {
  const ModelConfig& c = pass.config();
  const int64_t T = pass.tokens;
  a.o = pass.operand(arena, c.q_width());
  if (!pass.cached) a.lse = arena.floats(T * c.heads);
  const bool rounds = pass.rounds_stream();
  if (rounds) {
    a.x_kept = pass.rows(arena, c.hidden, true);
    a.x2_kept = pass.rows(arena, c.hidden, true);
  }
  if (c.output_norms) {
    a.o_proj = pass.rows(arena, c.hidden, rounds);
  } else if (!rounds) {
    a.x2 = arena.floats(T * c.hidden);
  }
}

void take_recomputed(Arena& arena, const Pass& pass, LayerActivations& a) {
  const ModelConfig& c = pass.config();
  const int64_t T = pass.tokens;
  a.rstd1 = arena.floats(T);
  a.rstd2 = arena.floats(T);
  const bool rounds = pass.rounds_attention();
  a.q = pass.rows(arena, c.q_width(), rounds);
  a.k = pass.rows(arena, c.kv_width(), rounds);
  a.v = pass.rows(arena, c.kv_width(), rounds);
  if (c.qk_norm) {
    a.q_in = pass.rows(arena, c.q_width(), rounds);
    a.k_in = pass.rows(arena, c.kv_width(), rounds);
    a.rstd_q = arena.floats(T * c.heads);
    a.rstd_k = arena.floats(T * c.kv_heads);
  }
  a.gate = pass.operand(arena, c.intermediate);
  a.up = pass.operand(arena, c.intermediate);
  if (c.output_norms) {
    if (!pass.rounds_stream()) a.x2 = arena.floats(T * c.hidden);
    a.mlp_out = pass.rows(arena, c.hidden, pass.rounds_stream());
    a.rstd_o = arena.floats(T);
    a.rstd_mlp = arena.floats(T);
  }
}

void take_forward(Arena& arena, const Pass& pass, LayerScratch& s) {
  const ModelConfig& c = pass.config();
  take_fused(arena, pass, s);
  const size_t inputs = arena.mark();
  if (pass.rounds_attention()) {
    s.q = arena.floats(pass.tokens * c.q_width());
    s.k = arena.floats(pass.tokens * c.kv_width());
  }
  arena.rewind(inputs);  // queries and keys have turned when the MLP comes
  s.act = pass.operand(arena, c.intermediate);
}

void take_backward(Arena& arena, const Pass& pass, LayerScratch& s) {
  const ModelConfig& c = pass.config();
  const int64_t T = pass.tokens;
  const bool rounds = pass.rounds_attention();
  take_fused(arena, pass, s);
  s.dx = arena.floats(T * c.hidden);
  const size_t mlp = arena.mark();
  s.act = pass.operand(arena, c.intermediate);
  s.dact = pass.operand(arena, c.intermediate);
  arena.rewind(mlp);  // attention's gradients come after the MLP's are done with
  s.d_o = pass.rows(arena, c.q_width(), rounds);
  s.dq = arena.floats(T * c.q_width());
  s.dk = arena.floats(T * c.kv_width());
  if (!rounds) {
    s.dq_in = s.dq;
    s.dk_in = s.dk;
    s.dv = arena.floats(T * c.kv_width());
    return;
  }
  s.dv = pass.operand(arena, c.kv_width());
  if (c.qk_norm) {
    s.q = arena.floats(T * c.q_width());  // gradients come there too
    s.k = arena.floats(T * c.kv_width());
  } else {
    s.q = s.dq;
    s.k = s.dk;
    s.dq_in = pass.operand(arena, c.q_width());
    s.dk_in = pass.operand(arena, c.kv_width());
  }
}

void embed(const Pass& pass, const int32_t* tokens, float* x) {
  pass.ops.embedding(pass.run, pass.base.embedding(), tokens, pass.base.embedding_scale(), x, pass.tokens);
}

void forward_attention_inputs(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s) {
  const ModelConfig& c = pass.config();
  round_stream(pass, a.x, a.x_kept);
  norm_forward(pass, layer, kAttentionNorm, a.x_read(), s.n, a.rstd1, pass.tokens);
  float *q = unturned(a.q, s.q), *k = unturned(a.k, s.k);
  const OperandOut q_in = c.qk_norm ? a.q_in : OperandOut(q), k_in = c.qk_norm ? a.k_in : OperandOut(k);
  if (c.fused) {
    adapted_forward(pass, layer, kQ, s.n, a.h[kQ], s.fused_inputs);
    split(pass, {s.fused_inputs, inputs_width(c)}, {{q_in, c.q_width()}, {k_in, c.kv_width()}, {a.v, c.kv_width()}});
  } else {
    adapted_forward(pass, layer, kQ, s.n, a.h[kQ], q_in);
    adapted_forward(pass, layer, kK, s.n, a.h[kK], k_in);
    adapted_forward(pass, layer, kV, s.n, a.h[kV], a.v);
  }
  if (c.qk_norm) {
    norm_forward(pass, layer, kQNorm, each_head(pass, q_in), q, a.rstd_q, pass.tokens * c.heads);
    norm_forward(pass, layer, kKNorm, each_head(pass, k_in), k, a.rstd_k, pass.tokens * c.kv_heads);
  }
  rotate(pass, layer, q, a.q, c.heads, 1);
  rotate(pass, layer, k, a.k, c.kv_heads, 1);
}

void forward_attention_output(const Pass& pass, int layer, const LayerActivations& a) {
  const bool output_norms = pass.config().output_norms;
  adapted_forward(pass, layer, kO, a.o, a.h[kO], output_norms ? a.o_proj : OperandOut(a.x2));
  if (output_norms) norm_forward(pass, layer, kAttentionOutNorm, a.o_proj, a.x2, a.rstd_o, pass.tokens);
  pass.ops.add(pass.run, a.x2, a.x, a.x2, pass.tokens * pass.config().hidden);
}

void recompute_attention_output(const Pass& pass, int layer, const LayerActivations& a) {
  if (!pass.config().output_norms) return;
  norm_forward(pass, layer, kAttentionOutNorm, a.o_proj, a.x2, a.rstd_o, pass.tokens);
  if (pass.rounds_stream()) return;  // x2_kept is what is read of it
  pass.ops.add(pass.run, a.x2, a.x, a.x2, pass.tokens * pass.config().hidden);
}

void forward_mlp_inputs(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s) {
  const ModelConfig& c = pass.config();
  const int64_t T = pass.tokens;
  round_stream(pass, a.x2, a.x2_kept);
  norm_forward(pass, layer, kMlpNorm, a.x2_read(), s.n, a.rstd2, T);
  if (c.fused) {
    adapted_forward(pass, layer, kGate, s.n, a.h[kGate], s.fused_mlp);
    split(pass, {s.fused_mlp, 2 * c.intermediate}, {{a.gate, c.intermediate}, {a.up, c.intermediate}});
  } else {
    adapted_forward(pass, layer, kGate, s.n, a.h[kGate], a.gate);
    adapted_forward(pass, layer, kUp, s.n, a.h[kUp], a.up);
  }
  pass.ops.gated_forward(pass.run, c.activation, a.gate, a.up, s.act, T, c.intermediate);
}

void forward_output(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s, float* out) {
  const ModelConfig& c = pass.config();
  adapted_forward(pass, layer, kDown, s.act, a.h[kDown], c.output_norms ? a.mlp_out : OperandOut(out));
  if (c.output_norms) norm_forward(pass, layer, kMlpOutNorm, a.mlp_out, out, a.rstd_mlp, pass.tokens);
  pass.ops.add(pass.run, out, a.x2, out, pass.tokens * c.hidden);
}

void recompute_output(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s) {
  if (!pass.config().output_norms) return;
  adapted_forward(pass, layer, kDown, s.act, a.h[kDown], a.mlp_out);
  norm_forward(pass, layer, kMlpOutNorm, a.mlp_out, s.dn, a.rstd_mlp, pass.tokens);
}

void final_norm(const Pass& pass, const float* x, OperandOut n, float* rstd, int64_t T) {
  const ModelConfig& c = pass.config();
  pass.ops.rmsnorm_forward(pass.run, x, pass.base.final_norm(), static_cast<float>(c.rms_eps), n, rstd, T, c.hidden);
}

void logits_of(const Pass& pass, Operand n, float* logits, int64_t T) {
  const ModelConfig& c = pass.config();
  const auto compute = [&](Operand from, float* to, int64_t rows) {
    pass.ops.linear_forward(pass.run, from, pass.base.head(), nullptr, {}, to, rows);
    if (c.logit_softcap > 0) pass.ops.softcap(pass.run, to, static_cast<float>(c.logit_softcap), rows * c.vocab);
  };
  if (pass.memory().is_host()) return compute(n, logits, T);
  constexpr int64_t kRows = 128;  // on their way out of the device: what products of decoding take together
  const size_t mark = pass.run.scratch->mark();
  auto* some = static_cast<float*>(pass.run.scratch->take(static_cast<size_t>(std::min(kRows, T) * c.vocab) * sizeof(float)));
  for (int64_t first = 0; first < T; first += kRows) {
    const int64_t rows = std::min(kRows, T - first);
    compute(n.at(first, c.hidden), some, rows);
    pass.memory().read(logits + first * c.vocab, some, static_cast<size_t>(rows * c.vocab) * sizeof(float));
  }
  pass.run.scratch->release(mark);
}

void backward_layer(const Pass& pass, int layer, const LayerActivations& a, const LayerScratch& s, const int32_t* starts,
                    int64_t n_sequences, bool fresh, bool input_gradient) {
  const ModelConfig& c = pass.config();
  const int64_t T = pass.tokens;
  const bool below_o = input_gradient || pass.has_lora(layer, kQ, kV);
  const bool below_mlp = below_o || pass.has_lora(layer, kO, kO);
  backward_mlp(pass, layer, a, s, fresh, below_mlp);
  if (!below_mlp) return;

  if (c.output_norms) norm_backward_write(pass, layer, kAttentionOutNorm, s.dx, a.o_proj, a.rstd_o, s.dn, T);
  adapted_backward(pass, layer, kO, c.output_norms ? s.dn : s.dx, a.o, a.h[kO], s.d_o,
                  below_o ? InputGradient::Write : InputGradient::Skip);
  if (!below_o) return;
  OperandOut dq, dk;
  backward_attention(pass, layer, a, s, starts, n_sequences, dq, dk);
  if (pass.has_lora(layer, kQ, kV)) norm_forward(pass, layer, kAttentionNorm, a.x_read(), s.n, a.rstd1, T);
  const InputGradient write = input_gradient ? InputGradient::Write : InputGradient::Skip;
  const InputGradient add = input_gradient ? InputGradient::Add : InputGradient::Skip;
  if (c.fused) {
    join(pass, {s.fused_inputs, inputs_width(c)}, {{dq, c.q_width()}, {dk, c.kv_width()}, {s.dv, c.kv_width()}});
    adapted_backward(pass, layer, kQ, s.fused_inputs, s.n, a.h[kQ], s.dn, write);
  } else {
    adapted_backward(pass, layer, kQ, dq, s.n, a.h[kQ], s.dn, write);
    adapted_backward(pass, layer, kK, dk, s.n, a.h[kK], s.dn, add);
    adapted_backward(pass, layer, kV, s.dv, s.n, a.h[kV], s.dn, add);
  }
  if (input_gradient) norm_backward(pass, layer, kAttentionNorm, s.dn, a.x_read(), a.rstd1, s.dx, T);
}

}  // namespace lr
