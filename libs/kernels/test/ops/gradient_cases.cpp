// The reference's backward operations against differences of its forward ones.
#include <cmath>

#include "cases.h"
#include "check.h"
#include "model/storage.h"

namespace lr::test {
namespace {

const Ops& ops = reference_ops();

void linear(Storage storage) {
  const Machine machine(1);
  const int64_t T = 3, out = 15, in = 26;  // several blocks of 64, the last one short; rows begin within blocks
  const FrozenWeight w(storage, out, in, 1, storage == Storage::NF4);
  const Floats x = numbers(T * in, 2), dy = numbers(T * out, 3);
  Floats dx(T * in);
  ops.linear_backward(machine.run, dy.data(), w.weight, {}, dx.data(), T, false);
  check_gradient(std::string("linear dx ") + storage_name(storage), [&](const Floats& at) {
    Floats y(T * out);
    ops.linear_forward(machine.run, at.data(), w.weight, nullptr, {}, y.data(), T);
    return dot(y, dy);
  }, x, dx);
}

void lora() {
  const Machine machine(1);
  const int64_t T = 4, in = 6, out = 5;
  const int32_t rank = 3;
  const Floats a = numbers(rank * in, 1), b = numbers(out * rank, 2), x = numbers(T * in, 3), dy = numbers(T * out, 4);
  Floats grad_a(rank * in), grad_b(out * rank), dx(T * in), h(T * rank);
  const auto value = [&](const Floats& a, const Floats& b, const Floats& x) {
    Floats y(T * out);
    const Lora l{rank, 2.0f, 0.3f, 5, a.data(), b.data(), nullptr, nullptr};
    const LoraRows rows{l, 0, T, h.data(), nullptr};
    ops.lora_hidden(machine.run, x.data(), std::span(&rows, 1), in);
    ops.lora_output(machine.run, h.data(), l, out, y.data(), T);
    return dot(y, dy);
  };
  value(a, b, x);
  const Lora l{rank, 2.0f, 0.3f, 5, a.data(), b.data(), grad_a.data(), grad_b.data()};
  Floats dh(T * rank);
  Floats kept = h;
  const LoraRows rows{l, 0, T, kept.data(), dh.data()};
  ops.lora_gradients(machine.run, dy.data(), x.data(), std::span(&rows, 1), in, out);
  ops.lora_input_gradient(machine.run, dh.data(), l, in, dx.data(), T);
  check_gradient("lora A", [&](const Floats& at) { return value(at, b, x); }, a, grad_a);
  check_gradient("lora B", [&](const Floats& at) { return value(a, at, x); }, b, grad_b);
  check_gradient("lora dx", [&](const Floats& at) { return value(a, b, at); }, x, dx);
}

void rmsnorm() {
  const Machine machine(1);
  const int64_t T = 3, d = 7;
  const Floats x = numbers(T * d, 1), w = numbers(d, 2), dy = numbers(T * d, 3);
  Floats rstd(T), dx(T * d);
  const auto value = [&](const Floats& at) {
    Floats y(T * d);
    ops.rmsnorm_forward(machine.run, at.data(), w.data(), 1e-5f, y.data(), rstd.data(), T, d);
    return dot(y, dy);
  };
  value(x);
  ops.rmsnorm_backward(machine.run, dy.data(), x.data(), w.data(), Floats(rstd).data(), dx.data(), T, d);
  check_gradient("rmsnorm dx", value, x, dx);
}

void rope() {
  const Machine machine(1);
  const int64_t T = 2, heads = 2, head_dim = 7, width = 4;  // the last three elements of a head do not turn
  const Floats x = numbers(T * heads * head_dim, 1), cos = {0.8f, 0.6f, 0.28f, -1}, sin = {0.6f, 0.8f, 0.96f, 0};
  const std::vector<int32_t> rows = {1, 0};
  const Floats dy = numbers(T * heads * head_dim, 2);
  Floats dx = dy;
  ops.rope(machine.run, dx.data(), dx.data(), rows.data(), cos.data(), sin.data(), -1, T, heads, head_dim, width);
  check_gradient("rope dx", [&](const Floats& at) {
    Floats y = at;
    ops.rope(machine.run, y.data(), y.data(), rows.data(), cos.data(), sin.data(), 1, T, heads, head_dim, width);
    return dot(y, dy);
  }, x, dx);
}

void attention(int64_t window, float softcap) {
  const Machine machine(1);
  const int64_t Hq = 4, Hkv = 2, D = 6, T = 9;
  const Attention a = {Hq, Hkv, D, 0.4f, window, softcap};
  const std::vector<int32_t> starts = {0, 4, 9};
  const Floats q = numbers(T * Hq * D, 1), k = numbers(T * Hkv * D, 2), v = numbers(T * Hkv * D, 3), dout = numbers(T * Hq * D, 4);
  Floats o(T * Hq * D), lse(T * Hq), dq(q.size()), dk(k.size()), dv(v.size());
  const auto value = [&](const Floats& q, const Floats& k, const Floats& v) {
    ops.attention_forward(machine.run, a, q.data(), k.data(), v.data(), starts.data(), 2, o.data(), lse.data());
    return dot(o, dout);
  };
  value(q, k, v);
  ops.attention_backward(machine.run, a, dout.data(), q.data(), k.data(), v.data(), Floats(o).data(), Floats(lse).data(),
                         starts.data(), 2, dq.data(), dk.data(), dv.data());
  check_gradient("attention dq", [&](const Floats& at) { return value(at, k, v); }, q, dq);
  check_gradient("attention dk", [&](const Floats& at) { return value(q, at, v); }, k, dk);
  check_gradient("attention dv", [&](const Floats& at) { return value(q, k, at); }, v, dv);
}

void gated(Activation activation) {
  const Machine machine(1);
  const int64_t n = 12;
  const Floats gate = numbers(n, 1, 3), up = numbers(n, 2), dout = numbers(n, 3);
  Floats dgate(n), dup(n);
  ops.gated_backward(machine.run, activation, dout.data(), gate.data(), up.data(), dgate.data(), dup.data(), 1, n);
  const auto value = [&](const Floats& gate, const Floats& up) {
    Floats out(n);
    ops.gated_forward(machine.run, activation, gate.data(), up.data(), out.data(), 1, n);
    return dot(out, dout);
  };
  check_gradient("gated gate", [&](const Floats& at) { return value(at, up); }, gate, dgate);
  check_gradient("gated up", [&](const Floats& at) { return value(gate, at); }, up, dup);
}

void head_loss(float softcap) {
  const Machine machine(1);
  const int64_t T = 4, d = 5, vocab = 9;
  const FrozenWeight head(Storage::F32, vocab, d, 1);
  const Floats hidden = numbers(T * d, 2, 2), scale = numbers(T, 3), smoothing = {0, 0, 0.3f, 0.1f};
  const std::vector<int32_t> targets = {3, -100, 8, 0};
  Floats loss(T), dhidden(T * d);
  std::vector<uint8_t> correct(T);
  ops.head_loss(machine.run, hidden.data(), head.weight, targets.data(), scale.data(), smoothing.data(), 2, softcap, loss.data(), correct.data(),
                dhidden.data(), T);
  check_gradient("head_loss dhidden", [&](const Floats& at) {
    ops.head_loss(machine.run, at.data(), head.weight, targets.data(), scale.data(), smoothing.data(), 2, softcap, loss.data(), correct.data(), nullptr, T);
    return dot(loss, scale);
  }, hidden, dhidden);
}

// One AdamW step against its definition, on one weight.
void adamw() {
  const Machine machine(1);
  float w = 2, m = 0.5f, v = 0.25f;
  const float g = 3;
  const AdamwTensor tensor = {&w, &g, &m, &v, 1, {0.5f, 0.1f, 0.9f, 0.99f, 1e-8f, 0.01f, 0.1f, 0.01f}};
  ops.adamw(machine.run, std::span(&tensor, 1));
  expect(std::fabs(m - 0.6f) < 1e-6 && std::fabs(v - 0.27f) < 1e-6, "adamw: moments");
  expect(std::fabs(w - (2 * 0.999 - 0.1 * 6 / std::sqrt(27.0))) < 1e-5, "adamw: weight");
}

}  // namespace

void gradient_cases() {
  for (const Storage storage : {Storage::F32, Storage::BF16, Storage::NF4, Storage::FP4, Storage::INT8}) linear(storage);
  lora();
  rmsnorm();
  rope();
  attention(0, 0);
  attention(3, 0);
  attention(0, 0.3f);
  attention(2, 0.5f);
  gated(Activation::Silu);
  gated(Activation::GeluTanh);
  head_loss(0);
  head_loss(0.7f);
  adamw();
}

}  // namespace lr::test
