#include <cmath>

#include "adamw8.h"
#include "cases.h"
#include "check.h"

namespace lr::test {
namespace {

void turn(int64_t T, int64_t head_dim, int64_t width) {
  const int64_t heads = 3, half = width / 2;
  const std::string shape = " T=" + std::to_string(T) + " d=" + std::to_string(head_dim) + " width=" + std::to_string(width);
  Floats cos(10 * half), sin(10 * half);
  std::vector<int32_t> places(T);
  for (int64_t t = 0; t < T; ++t) places[t] = static_cast<int32_t>(t % 10);
  for (int64_t i = 0; i < 10 * half; ++i) {
    cos[i] = std::cos(0.1f * static_cast<float>(i));
    sin[i] = std::sin(0.1f * static_cast<float>(i));
  }
  const Floats x = numbers(T * heads * head_dim, 5);
  check_operation("rope" + shape, [&](const Ops& ops, const Run& run) {
    std::vector<Floats> outputs = {x, x, Floats(x.size(), NAN)};
    ops.rope(run, outputs[0].data(), outputs[0].data(), places.data(), cos.data(), sin.data(), 1, T, heads, head_dim, width);
    ops.rope(run, outputs[1].data(), outputs[1].data(), places.data(), cos.data(), sin.data(), -1, T, heads, head_dim, width);
    ops.rope(run, x.data(), outputs[2].data(), places.data(), cos.data(), sin.data(), 1, T, heads, head_dim, width);
    return outputs;
  });
}

void norm_and_rope(int64_t T, int64_t d) {
  const Floats x = numbers(T * d, 1), w = numbers(d, 2), dy = numbers(T * d, 3), dx = numbers(T * d, 4);
  const std::string shape = " T=" + std::to_string(T) + " d=" + std::to_string(d);
  check_operation("rmsnorm" + shape, [&](const Ops& ops, const Run& run) {
    std::vector<Floats> outputs = {Floats(T * d, NAN), Floats(T, NAN), dx};
    ops.rmsnorm_forward(run, x.data(), w.data(), 1e-5f, outputs[0].data(), outputs[1].data(), T, d);
    ops.rmsnorm_backward(run, dy.data(), x.data(), w.data(), outputs[1].data(), outputs[2].data(), T, d);
    return outputs;
  });
  // The whole head turns, or the first part of it.
  for (const int64_t width : {d / 2 * 2, d / 4 * 2})
    if (width > 0) turn(T, d, width);
}

void flat(int64_t n) {
  const Floats a = numbers(n, 1, 20), b = numbers(n, 2), c = numbers(n, 3);
  const std::string shape = " n=" + std::to_string(n);
  for (const Activation activation : {Activation::Silu, Activation::GeluTanh})
    check_operation("gated" + shape, [&](const Ops& ops, const Run& run) {
      std::vector<Floats> outputs = {Floats(n, NAN), a, b};
      ops.gated_forward(run, activation, a.data(), b.data(), outputs[0].data(), 1, n);
      ops.gated_backward(run, activation, c.data(), outputs[1].data(), outputs[2].data(), outputs[1].data(), outputs[2].data(), 1, n);
      return outputs;
    });
  check_operation("softcap" + shape, [&](const Ops& ops, const Run& run) {
    std::vector<Floats> outputs = {a};
    ops.softcap(run, outputs[0].data(), 7, n);
    return outputs;
  });
  check_operation("scale" + shape, [&](const Ops& ops, const Run& run) {
    std::vector<Floats> outputs = {a};
    ops.scale(run, outputs[0].data(), 0.3f, n);
    return outputs;
  }, 0);
  check_operation("add, sum_squares" + shape, [&](const Ops& ops, const Run& run) {
    std::vector<Floats> outputs = {a, Floats(1)};
    ops.add(run, outputs[0].data(), b.data(), outputs[0].data(), n);
    outputs[1][0] = static_cast<float>(ops.sum_squares(run, a.data(), n));
    return outputs;
  });
  check_operation("add_noise" + shape, [&](const Ops& ops, const Run& run) {
    std::vector<Floats> outputs = {a};
    ops.add_noise(run, outputs[0].data(), n, 0.3f, 77, 1000000000000 + 3);
    return outputs;
  }, 0);
  Floats v = numbers(n, 4);
  for (float& value : v) value = std::fabs(value);
  const auto adamw_step = [](int step) {
    const auto number = static_cast<float>(step);
    return AdamwStep{0.5f, 1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, 1 - std::pow(0.9f, number), 1 - std::pow(0.999f, number)};
  };
  check_operation("adamw" + shape, [&](const Ops& ops, const Run& run) {
    std::vector<Floats> outputs = {a, b, v};
    for (int step = 1; step <= 3; ++step) {
      const AdamwTensor tensor = {outputs[0].data(), c.data(), outputs[1].data(), outputs[2].data(), n, adamw_step(step)};
      ops.adamw(run, std::span(&tensor, 1));
    }
    return outputs;
  });
  // More tensors than a device takes at once, of many sizes and each with a step of its own.
  check_operation("adamw, parts" + shape, [&](const Ops& ops, const Run& run) {
    std::vector<Floats> outputs = {a, b, v};
    std::vector<AdamwTensor> tensors;
    for (int64_t first = 0, part = 1; first < n; first += part++) {
      tensors.push_back({outputs[0].data() + first, c.data() + first, outputs[1].data() + first, outputs[2].data() + first, std::min(part, n - first),
                         adamw_step(static_cast<int>(part))});
    }
    ops.adamw(run, tensors);
    return outputs;
  });
  const int64_t blocks = (n + kMomentBlock - 1) / kMomentBlock;
  check_operation("adamw8" + shape, [&](const Ops& ops, const Run& run) {
    std::vector<Floats> outputs = {a, Floats(blocks), Floats(blocks)};
    std::vector<uint8_t> m(n, maps8().m.code(0)), v(n, maps8().v.code(0));
    const Moments8 moments = {m.data(), v.data(), outputs[1].data(), outputs[2].data()};
    for (int step = 1; step <= 3; ++step) ops.adamw8(run, outputs[0].data(), c.data(), moments, n, adamw_step(step));
    return outputs;
  });
}

void stored_keys() {
  const std::vector<int64_t> rows = {4, 0, 7, 2};
  for (const int64_t width : {1, 24, 131}) {
    const Floats k = numbers(4 * width, 1), v = numbers(4 * width, 2), before = numbers(9 * width, 3);
    check_operation("store_keys width=" + std::to_string(width), [&](const Ops& ops, const Run& run) {
      std::vector<Floats> outputs = {before, before};
      ops.store_keys(run, k.data(), v.data(), rows.data(), outputs[0].data(), outputs[1].data(), 4, width);
      return outputs;
    }, 0);
  }
}

void embedding_lookup() {
  for (const Storage storage : {Storage::F32, Storage::BF16}) {
    const FrozenWeight table(storage, 11, 37, 1);
    const std::vector<int32_t> tokens = {10, 0, 3, 3, 7};
    for (const float scale : {1.0f, 5.75f})
      check_operation("embedding", [&](const Ops& ops, const Run& run) {
        std::vector<Floats> outputs = {Floats(tokens.size() * 37, NAN)};
        ops.embedding(run, table.weight, tokens.data(), scale, outputs[0].data(), static_cast<int64_t>(tokens.size()));
        return outputs;
      }, 0);
  }
}

}  // namespace

void pointwise_cases() {
  for (const int64_t d : {1, 2, 31, 64, 576, 1030}) {
    norm_and_rope(1, d);
    norm_and_rope(23, d);
  }
  for (const int64_t n : {1, 15, 17, 1000, 70001}) flat(n);
  stored_keys();
  embedding_lookup();

  const Machine machine(1);
  const Floats edge = {-200, -90, -88, 0, 88, 90, 200, 1e-30f};
  Floats ones(edge.size(), 1), out(edge.size());
  for (const Ops* table : all_tables()) {
    table->gated_forward(machine.run, Activation::Silu, edge.data(), ones.data(), out.data(), 1, static_cast<int64_t>(edge.size()));
    bool sound = true;
    for (size_t i = 0; i < edge.size(); ++i)
      sound &= std::fabs(out[i] - edge[i] / (1 + std::exp(-double{edge[i]}))) <= 1e-5 * std::fabs(edge[i]) + 1e-30;
    table->gated_forward(machine.run, Activation::GeluTanh, edge.data(), ones.data(), out.data(), 1, static_cast<int64_t>(edge.size()));
    for (size_t i = 0; i < edge.size(); ++i) sound &= std::fabs(out[i] - (edge[i] > 1 ? edge[i] : 0)) <= 1e-5 * std::fabs(edge[i]) + 1e-30;
    expect(sound, "gated: large gates neither overflow nor turn into NaN");
  }
}

}  // namespace lr::test
