#include "adapted_linear.h"

#include <algorithm>
#include <vector>

namespace lr {
namespace {

const Linear& linear_of(const Pass& pass, int layer, int kind) {
  return pass.base.layers()[static_cast<size_t>(layer)].linears[kind];
}

// Calls visit(group, adapted, h) for every group that adapts this linear layer; h is where the hidden of its pair lies.
template <typename Visit>
void for_each_adapted(const Pass& pass, int layer, int kind, float* h, const Visit& visit) {
  for (const RowGroup& group : pass.groups) {
    if (group.adapter == nullptr || !group.adapter->has(layer, kind)) continue;
    const Adapted adapted = group.adapter->adapted(pass.run, pass.ops, layer, kind, pass.training, group.dropout_seed);
    visit(group, adapted, h);
    h += (group.end - group.begin) * adapted.pair.rank;
  }
}

void hidden_forward(const Pass& pass, int layer, int kind, Operand x, float* h) {
  const Weight& w = linear_of(pass, layer, kind).weight;
  std::vector<LoraRows> pairs;
  for_each_adapted(pass, layer, kind, h, [&](const RowGroup& group, const Adapted& a, float* hidden) {
    if (a.pair.rank > 0) pairs.push_back({a.pair, group.begin, group.end, hidden, nullptr});
  });
  pass.ops.lora_hidden(pass.run, x, pairs, w.cols);
}

// DoRA's base product sees dropped inputs, so that it is a second one, beside that of the layer itself.
bool drops_magnitudes(const Adapted& a) { return a.factor != nullptr && a.pair.dropout > 0; }

float* scratch_floats(const Pass& pass, int64_t count) {
  return static_cast<float*>(pass.run.scratch->take(static_cast<size_t>(count) * sizeof(float)));
}

// to[T, width] = from, each in its type.
void convert(const Pass& pass, Operand from, OperandOut to, int64_t width) {
  pass.ops.column_affine(pass.run, from, nullptr, nullptr, nullptr, to, pass.tokens, width);
}

// Where sums [T, width] are taken: in floats of the pass' scratch when there is `more` to come to them and `out` is in bfloat16.
OperandOut in_floats(const Pass& pass, OperandOut out, int64_t width, bool more) {
  return more && out.halves != nullptr ? OperandOut(scratch_floats(pass, pass.tokens * width)) : out;
}

// W drop(x) into z [T, out]; and pairs, as linear_forward.
void dropped_product(const Pass& pass, const Weight& w, const Lora& pair, Operand x, std::span<const LoraRows> pairs, float* z,
                     int64_t T) {
  const size_t mark = pass.run.scratch->mark();
  float* dropped = scratch_floats(pass, T * w.cols);  // [T, in]
  pass.ops.dropout(pass.run, x, pair, w.cols, dropped, T);
  pass.ops.linear_forward(pass.run, dropped, w, nullptr, pairs, z, T);
  pass.run.scratch->release(mark);
}

// y[T, out] += (g - 1) · W drop(x) + g · s · B h
void add_dropped_magnitudes(const Pass& pass, const Weight& w, const Adapted& a, Operand x, const float* h, float* y, int64_t T) {
  const size_t mark = pass.run.scratch->mark();
  float* z = scratch_floats(pass, T * w.rows);
  dropped_product(pass, w, a.pair, x, {}, z, T);
  pass.ops.column_affine(pass.run, z, nullptr, a.factor_less_1, nullptr, z, T, w.rows);
  pass.ops.add(pass.run, y, z, y, T * w.rows);
  pass.memory().zero(z, static_cast<size_t>(T * w.rows) * sizeof(float));
  pass.ops.lora_output(pass.run, h, a.pair, w.rows, z, T);
  pass.ops.column_affine(pass.run, z, nullptr, a.factor, nullptr, z, T, w.rows);
  pass.ops.add(pass.run, y, z, y, T * w.rows);
  pass.run.scratch->release(mark);
}

// Gradient of the magnitudes, and, where there is a dx, dx[T, in] += mask · Wᵀ ((g - 1) · dy).
void backward_magnitudes(const Pass& pass, const Weight& w, const Adapted& a, Operand dy, Operand x, float* h, float* dx, int64_t T) {
  const size_t mark = pass.run.scratch->mark();
  float* z = scratch_floats(pass, T * w.rows);  // (W + s · B A) drop(x): computed again, so that no layer has to keep it
  const LoraRows pair{a.pair, 0, T, h, nullptr};
  const std::span<const LoraRows> pairs(&pair, a.pair.rank > 0 ? 1 : 0);
  if (drops_magnitudes(a)) {
    dropped_product(pass, w, a.pair, x, pairs, z, T);
  } else {
    pass.ops.linear_forward(pass.run, x, w, nullptr, pairs, z, T);
  }
  pass.ops.column_sums(pass.run, dy, z, a.inverse_norm, a.grad_magnitude, T, w.rows);
  if (dx != nullptr) {
    pass.ops.column_affine(pass.run, dy, nullptr, a.factor_less_1, nullptr, z, T, w.rows);
    float* share = scratch_floats(pass, T * w.cols);
    pass.ops.linear_backward(pass.run, z, w, {}, share, T, false);
    pass.ops.dropout(pass.run, share, a.pair, w.cols, share, T);
    pass.ops.add(pass.run, dx, share, dx, T * w.cols);
  }
  pass.run.scratch->release(mark);
}

// hidden_gradient and gradients of a pair whose base product drops inputs: from g · dy.
void dropped_pair_gradients(const Pass& pass, const Weight& w, const Adapted& a, Operand dy, Operand x, const LoraRows& rows) {
  const int64_t T = rows.end - rows.begin;
  const size_t mark = pass.run.scratch->mark();
  float* scaled = scratch_floats(pass, T * w.rows);
  pass.ops.column_affine(pass.run, dy.at(rows.begin, w.rows), nullptr, a.factor, nullptr, scaled, T, w.rows);
  const LoraRows alone{rows.pair, 0, T, rows.hidden, rows.hidden_gradient};
  pass.ops.lora_gradients(pass.run, scaled, x.at(rows.begin, w.cols), std::span(&alone, 1), w.cols, w.rows);
  pass.run.scratch->release(mark);
}

// What dy[T, out] is to W itself: g · dy in rows of DoRA without dropout. dy, or in the pass' scratch.
Operand gradient_through_magnitudes(const Pass& pass, int layer, int kind, Operand dy) {
  const int64_t width = linear_of(pass, layer, kind).weight.rows;
  float* through = nullptr;
  for_each_adapted(pass, layer, kind, nullptr, [&](const RowGroup& group, const Adapted& a, float*) {
    if (a.factor == nullptr || drops_magnitudes(a)) return;
    if (through == nullptr) {
      through = scratch_floats(pass, pass.tokens * width);
      convert(pass, dy, through, width);
    }
    pass.ops.column_affine(pass.run, dy.at(group.begin, width), nullptr, a.factor, nullptr, through + group.begin * width,
                           group.end - group.begin, width);
  });
  return through == nullptr ? dy : through;
}

}  // namespace

void adapted_forward(const Pass& pass, int layer, int kind, Operand x, float* h, OperandOut y) {
  const Linear& linear = linear_of(pass, layer, kind);
  const Weight& w = linear.weight;
  const size_t mark = pass.run.scratch->mark();
  std::vector<LoraRows> pairs, initial;
  bool more = false;  // than a product
  if (!pass.recomputing) hidden_forward(pass, layer, kind, x, h);
  for_each_adapted(pass, layer, kind, h, [&](const RowGroup& group, const Adapted& a, float* hidden) {
    more = more || a.factor != nullptr || a.bias != nullptr;
    if (a.pair.rank == 0 || drops_magnitudes(a)) return;
    pairs.push_back({a.pair, group.begin, group.end, hidden, nullptr});
    if (a.initial.rank == 0) return;
    float* values = scratch_floats(pass, (group.end - group.begin) * a.initial.rank);
    initial.push_back({a.initial, group.begin, group.end, values, nullptr});
  });
  pass.ops.lora_hidden(pass.run, x, initial, w.cols);
  pairs.insert(pairs.end(), initial.begin(), initial.end());
  const OperandOut sums = in_floats(pass, y, w.rows, more);
  pass.ops.linear_forward(pass.run, x, w, linear.bias, pairs, sums, pass.tokens);
  for_each_adapted(pass, layer, kind, h, [&](const RowGroup& group, const Adapted& a, float* hidden) {
    if (a.factor == nullptr && a.bias == nullptr) return;
    const int64_t T = group.end - group.begin;
    float* out = sums.floats + group.begin * w.rows;
    const bool dropped = drops_magnitudes(a);
    if (dropped) add_dropped_magnitudes(pass, w, a, x.at(group.begin, w.cols), hidden, out, T);
    const float* factor = dropped ? nullptr : a.factor;
    if (factor == nullptr && a.bias == nullptr) return;
    pass.ops.column_affine(pass.run, out, linear.bias, factor, a.bias != nullptr ? a.bias : linear.bias, out, T, w.rows);
  });
  if (sums.floats != y.floats) convert(pass, sums, y, w.rows);
  pass.run.scratch->release(mark);
}

void adapted_backward(const Pass& pass, int layer, int kind, Operand dy, Operand x, float* h, OperandOut dx, InputGradient input) {
  const Weight& w = linear_of(pass, layer, kind).weight;
  const bool wanted = input != InputGradient::Skip;
  const size_t mark = pass.run.scratch->mark();
  const Operand through = gradient_through_magnitudes(pass, layer, kind, dy);
  // What `riding` pairs give dx rides on the product with W; through a dropout mask it comes after.
  std::vector<LoraRows> pairs, initial, riding, masked;
  bool more = false;
  for_each_adapted(pass, layer, kind, h, [&](const RowGroup& group, const Adapted& a, float* hidden) {
    more = more || a.pair.dropout > 0;
    if (a.pair.rank == 0) return;
    const int64_t T = group.end - group.begin;
    const LoraRows rows{a.pair, group.begin, group.end, hidden, scratch_floats(pass, T * a.pair.rank)};
    (a.pair.dropout > 0 ? masked : riding).push_back(rows);
    if (drops_magnitudes(a)) {
      dropped_pair_gradients(pass, w, a, dy, x, rows);
    } else {
      pairs.push_back(rows);
    }
    if (a.initial.rank == 0) return;
    initial.push_back({a.initial, group.begin, group.end, nullptr, scratch_floats(pass, T * a.initial.rank)});
  });
  pass.ops.lora_gradients(pass.run, through, x, pairs, w.cols, w.rows);
  pass.ops.lora_gradients(pass.run, dy, x, initial, w.cols, w.rows);
  riding.insert(riding.end(), initial.begin(), initial.end());
  const OperandOut sums = in_floats(pass, dx, w.cols, wanted && more);
  if (wanted) {
    pass.ops.linear_backward(pass.run, through, w, riding, sums, pass.tokens, input == InputGradient::Add);
    for (const LoraRows& rows : masked)
      pass.ops.lora_input_gradient(pass.run, rows.hidden_gradient, rows.pair, w.cols, sums.floats + rows.begin * w.cols,
                                   rows.end - rows.begin);
  }
  for_each_adapted(pass, layer, kind, h, [&](const RowGroup& group, const Adapted& a, float* hidden) {
    const int64_t T = group.end - group.begin;
    const Operand own = dy.at(group.begin, w.rows);
    if (a.grad_bias != nullptr) pass.ops.column_sums(pass.run, own, nullptr, nullptr, a.grad_bias, T, w.rows);
    if (a.factor == nullptr) return;
    float* below = wanted && drops_magnitudes(a) ? sums.floats + group.begin * w.cols : nullptr;
    backward_magnitudes(pass, w, a, own, x.at(group.begin, w.cols), hidden, below, T);
  });
  if (sums.floats != dx.floats) convert(pass, sums, dx, w.cols);
  pass.run.scratch->release(mark);
}

}  // namespace lr
