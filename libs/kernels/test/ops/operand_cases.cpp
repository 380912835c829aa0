// Operands in bfloat16, of tables that have them, against the reference's floats of the same values; and against those tables' own floats, whose bytes
// they have: the rounding has only moved to where they are written.
#include <cmath>

#include "cases.h"
#include "check.h"
#include "model/storage.h"

namespace lr::test {
namespace {

void check_both(const std::string& name, const Operation& operation, double bf16_tolerance = kPairTolerance) {
  check_operation(name, operation, 1e-2, true, bf16_tolerance);  // what values() rounds may be on either side
  check_operands(name, operation);
}

struct Pair {
  Floats a, b, grad_a, grad_b, hidden, hidden_gradient;
  Lora lora;
  int64_t begin, end;

  Pair(int32_t rank, float dropout, int64_t first, int64_t last, int64_t in, int64_t out, uint64_t seed)
      : a(numbers(rank * in, seed)), b(numbers(out * rank, seed + 1)), grad_a(numbers(rank * in, seed + 2)), grad_b(numbers(out * rank, seed + 3)),
        hidden(numbers((last - first) * rank, seed + 4)), hidden_gradient(numbers((last - first) * rank, seed + 5)),
        lora{rank, 0.5f, dropout, seed, a.data(), b.data(), grad_a.data(), grad_b.data()}, begin(first), end(last) {}
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  LoraRows rows() { return {lora, begin, end, hidden.data(), hidden_gradient.data()}; }
};

void products(int64_t T, int64_t out, int64_t in, Storage storage, int64_t room) {
  const FrozenWeight w(storage, out, in, 1, storage == Storage::NF4);
  const Floats x = rounded(numbers(T * in, 2)), dy = rounded(numbers(T * out, 3)), bias = numbers(out, 4), start = numbers(T * in, 5);
  // `apart`: each pair has rows of its own, and one row may be between them. Otherwise the second is on rows of the first as well.
  for (const bool apart : {true, false}) {
    const std::string name = "operands of linear T=" + std::to_string(T) + " out=" + std::to_string(out) + " in=" + std::to_string(in) +
                             " storage=" + storage_name(storage) + " room=" + std::to_string(room) + (apart ? "" : " two pairs a row");
    check_both(name, [&](const Ops& ops, const Run& run) {
      Pair first(3, 0, 0, T / 2, in, out, 10), second(17, 0, apart ? (T + 1) / 2 : 0, T, in, out, 20);
      const std::vector<LoraRows> both = {first.rows(), second.rows()};
      OperandValues x_rows(ops, run, x, in, room), dy_rows(ops, run, dy, out, room);
      std::vector<Floats> outputs = {Floats(T * out, NAN), start};
      ops.linear_forward(run, x_rows, w.weight, bias.data(), both, outputs[0].data(), T);
      ops.linear_backward(run, dy_rows, w.weight, both, outputs[1].data(), T, true);
      for (const bool with_pairs : {false, true}) {
        const std::span<const LoraRows> pairs(both.data(), with_pairs ? 2 : 0);
        OperandValues y(ops, run, Floats(T * out, NAN), out, room), with_bias = y, dx(ops, run, Floats(T * in, NAN), in, room);
        ops.linear_forward(run, x_rows, w.weight, nullptr, pairs, y, T);
        ops.linear_forward(run, x_rows, w.weight, bias.data(), pairs, with_bias, T);
        ops.linear_backward(run, dy_rows, w.weight, pairs, dx, T, false);
        for (const OperandValues* values : {&y, &with_bias, &dx}) outputs.push_back(values->values());
      }
      outputs.push_back(x_rows.values());
      return outputs;
    });
  }
}

// One of two operands may be floats: gradients of keys, and an input that is kept.
void pair_products(int64_t T, int64_t out, int64_t in, float dropout, bool x_too) {
  const Floats x = rounded(numbers(T * in, 2)), dy = rounded(numbers(T * out, 3));
  check_both("operands of pairs T=" + std::to_string(T) + " out=" + std::to_string(out) + " in=" + std::to_string(in) + " dropout=" + std::to_string(dropout),
             [&](const Ops& ops, const Run& run) {
               Pair first(4, dropout, 0, T / 3, in, out, 10), second(33, 0, T / 3, T - 1, in, out, 20);
               const std::vector<LoraRows> both = {first.rows(), second.rows()};
               OperandValues x_rows(ops, run, x, in, 16), dy_rows(ops, run, dy, out, 40);
               const Operand x_given = x_too ? Operand(x_rows) : Operand(x.data());
               ops.lora_hidden(run, x_given, both, in);
               std::vector<Floats> outputs = {first.hidden, second.hidden};
               ops.lora_gradients(run, dy_rows, x_given, both, in, out);
               for (const Pair* pair : {&first, &second}) {
                 for (const Floats* made : {&pair->hidden_gradient, &pair->grad_a, &pair->grad_b}) outputs.push_back(*made);
               }
               return outputs;
             });
}

void pointwise(int64_t T, int64_t n, int64_t room) {
  const Floats a = rounded(numbers(T * n, 1, 4)), b = rounded(numbers(T * n, 2)), c = rounded(numbers(T * n, 3));
  const Floats before = numbers(n, 4), factor = numbers(n, 5), after = numbers(n, 6), start = numbers(n, 7), z = numbers(T * n, 8);
  const Lora l{1, 1, 0.3f, 99, nullptr, nullptr, nullptr, nullptr};
  const std::string shape = " T=" + std::to_string(T) + " n=" + std::to_string(n) + " room=" + std::to_string(room);
  for (const Activation activation : {Activation::Silu, Activation::GeluTanh})
    check_both("operands of gated" + shape, [&](const Ops& ops, const Run& run) {
      OperandValues gate(ops, run, a, n, room), up(ops, run, b, n, 0), dout(ops, run, c, n, room), out(ops, run, Floats(T * n, NAN), n, 8);
      ops.gated_forward(run, activation, gate, up, out, T, n);
      ops.gated_backward(run, activation, dout, gate, up, gate, up, T, n);
      return std::vector<Floats>{out.values(), gate.values(), up.values()};
    });
  check_both("operands of columns" + shape, [&](const Ops& ops, const Run& run) {
    OperandValues x(ops, run, a, n, room), y(ops, run, Floats(T * n, NAN), n, 8), narrowed = y;
    std::vector<Floats> outputs = {Floats(T * n, NAN), Floats(T * n, NAN), start, start};
    ops.column_affine(run, x, before.data(), factor.data(), after.data(), outputs[0].data(), T, n);
    ops.column_affine(run, x, nullptr, factor.data(), nullptr, y, T, n);
    ops.column_affine(run, z.data(), nullptr, nullptr, nullptr, narrowed, T, n);
    ops.dropout(run, x, l, n, outputs[1].data(), T);
    ops.column_sums(run, x, z.data(), factor.data(), outputs[2].data(), T, n);
    ops.column_sums(run, x, nullptr, nullptr, outputs[3].data(), T, n);
    outputs.push_back(y.values());
    outputs.push_back(narrowed.values());
    return outputs;
  });
  check_operation("operand of rmsnorm" + shape, [&](const Ops& ops, const Run& run) {
    OperandValues y(ops, run, Floats(T * n, NAN), n, room);
    Floats rstd(T, NAN);
    ops.rmsnorm_forward(run, z.data(), factor.data(), 1e-5f, y, rstd.data(), T, n);
    // Of an operand, and back through it.
    OperandValues x(ops, run, a, n, room);
    Floats own(T * n, NAN), own_rstd(T, NAN), dx = c;
    ops.rmsnorm_forward(run, x, factor.data(), 1e-5f, own.data(), own_rstd.data(), T, n);
    ops.rmsnorm_backward(run, b.data(), x, factor.data(), own_rstd.data(), dx.data(), T, n);
    OperandValues narrow(ops, run, Floats(T * n, NAN), n, 8);
    ops.rmsnorm_forward(run, x, factor.data(), 1e-5f, narrow, own_rstd.data(), T, n);
    return std::vector<Floats>{y.values(), rstd, own, own_rstd, dx, narrow.values()};
  }, 1e-2, true);
}

void turned(int64_t T, int64_t heads, int64_t D, int64_t width, int64_t room) {
  const Floats x = numbers(T * heads * D, 1), cos = numbers(7 * (width / 2), 2), sin = numbers(7 * (width / 2), 3);
  std::vector<int32_t> places(T);
  for (int64_t t = 0; t < T; ++t) places[t] = static_cast<int32_t>(t * 3 % 7);
  check_both("operand of rope T=" + std::to_string(T) + " D=" + std::to_string(D) + " width=" + std::to_string(width), [&](const Ops& ops, const Run& run) {
    OperandValues y(ops, run, Floats(T * heads * D, NAN), heads * D, room);
    ops.rope(run, x.data(), y, places.data(), cos.data(), sin.data(), -1, T, heads, D, width);
    return std::vector<Floats>{y.values()};
  });
}

void attention(const std::vector<int32_t>& starts, int64_t Hq, int64_t Hkv, int64_t D, int64_t room) {
  const int64_t T = starts.back(), n_sequences = static_cast<int64_t>(starts.size()) - 1, width = Hq * D;
  const Attention a = {Hq, Hkv, D, 1 / std::sqrt(static_cast<float>(D))};
  const Floats q = rounded(numbers(T * width, 1, 2)), k = rounded(numbers(T * Hkv * D, 2, 2)), v = rounded(numbers(T * Hkv * D, 3));
  const Floats dout = rounded(numbers(T * width, 4));
  const std::vector<int32_t> pages = {0};
  check_both("operand of attention T=" + std::to_string(T) + " Hq=" + std::to_string(Hq) + " D=" + std::to_string(D), [&](const Ops& ops, const Run& run) {
    OperandValues o(ops, run, Floats(T * width, NAN), width, room), cached = o;
    std::vector<Floats> outputs = {Floats(T * Hq, NAN), Floats(T * width, NAN), Floats(T * Hkv * D, NAN), Floats(T * Hkv * D, NAN)};
    ops.attention_forward(run, a, q.data(), k.data(), v.data(), starts.data(), n_sequences, o, outputs[0].data());
    OperandValues o_rounded(ops, run, o.values(), width, room);
    ops.attention_backward(run, a, dout.data(), q.data(), k.data(), v.data(), o_rounded, outputs[0].data(), starts.data(), n_sequences,
                           outputs[1].data(), outputs[2].data(), outputs[3].data());
    const PagedSequence sequence = {T - 5, pages.data()};
    const int32_t last[] = {0, 5};
    ops.attention_cached(run, a, q.data(), {k.data(), v.data(), T}, &sequence, last, 1, cached);
    if (D <= 128) {  // all of them as operands
      OperandValues q_rows(ops, run, q, width, room), k_rows(ops, run, k, Hkv * D, room), v_rows(ops, run, v, Hkv * D, room);
      OperandValues dout_rows(ops, run, dout, width, room), dv(ops, run, Floats(T * Hkv * D, NAN), Hkv * D, 16);
      Floats lse(T * Hq, NAN), own(T * width, NAN), dq(T * width, NAN), dk(T * Hkv * D, NAN);
      ops.attention_forward(run, a, q_rows, k_rows, v_rows, starts.data(), n_sequences, own.data(), lse.data());
      ops.attention_backward(run, a, dout_rows, q_rows, k_rows, v_rows, o_rounded, lse.data(), starts.data(), n_sequences, dq.data(), dk.data(), dv);
      for (Floats* made : {&lse, &own, &dq, &dk}) outputs.push_back(*made);
      outputs.push_back(dv.values());
    }
    outputs.push_back(o.values());
    const Floats of_cache = cached.values();
    outputs.emplace_back(of_cache.begin(), of_cache.begin() + 5 * width);
    return outputs;
  }, 0.1);
}

void head(int64_t T, int64_t d, int64_t vocab, int64_t chunk) {
  const FrozenWeight weight(Storage::BF16, vocab, d, 1);
  const Floats hidden = rounded(numbers(T * d, 2, 5)), scale = numbers(T, 9);
  std::vector<int32_t> targets(T);
  for (int64_t t = 0; t < T; ++t) targets[t] = t % 3 == 1 ? -100 : static_cast<int32_t>(t * 31 % vocab);
  check_both("operand of head_loss T=" + std::to_string(T) + " d=" + std::to_string(d), [&](const Ops& ops, const Run& run) {
    OperandValues rows(ops, run, hidden, d, 24);
    std::vector<Floats> outputs = {Floats(T, NAN), Floats(T * d, NAN)};
    std::vector<uint8_t> correct(T);
    ops.head_loss(run, rows, weight.weight, targets.data(), scale.data(), nullptr, chunk, 0, outputs[0].data(), correct.data(), outputs[1].data(), T);
    outputs.emplace_back(correct.begin(), correct.end());
    return outputs;
  });
}

}  // namespace

void operand_cases() {
  products(1, 8, 8, Storage::F32, 24);
  products(5, 40, 64, Storage::NF4, 24);
  products(37, 136, 72, Storage::BF16, 8);
  products(130, 264, 192, Storage::NF4, 0);
  products(131, 136, 320, Storage::INT8, 32);
  products(35, 2600, 24, Storage::BF16, 8);  // more of k than is packed at a time: gradients wait in floats before they are rounded
  for (const float dropout : {0.0f, 0.2f})
    for (const bool x_too : {true, false}) {
      pair_products(7, 16, 24, dropout, x_too);
      pair_products(75, 264, 72, dropout, x_too);
      pair_products(20, 2200, 2600, dropout, x_too);
      pair_products(1700, 24, 40, dropout, x_too);
    }
  for (const int64_t room : {0, 16}) {
    pointwise(1, 8, room);
    pointwise(23, 136, room);
    pointwise(65, 1032, room);
  }
  turned(9, 3, 64, 64, 16);
  turned(5, 2, 24, 16, 0);
  turned(4, 4, 10, 6, 8);  // eight columns behind 40
  attention({0, 130, 131, 150}, 4, 2, 64, 16);
  attention({0, 70}, 4, 4, 64, 0);
  attention({0, 97}, 2, 1, 128, 0);
  attention({0, 33, 70}, 8, 2, 5, 8);   // heads that begin at odd places
  attention({0, 40}, 4, 4, 12, 8);
  attention({0, 40}, 1, 1, 200, 8);     // wider than tensor cores take
  head(40, 96, 1000, 16);
  head(33, 64, 516, 64);
}

}  // namespace lr::test
