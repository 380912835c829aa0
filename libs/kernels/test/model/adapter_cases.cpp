// Adapters: how they start, their arrays, AdamW against its equations, and the state that a checkpoint keeps.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tiny_model.h"

namespace lr::test {
namespace {

constexpr lr_adamw kSettings = {0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, 1.0f, 0};

void step(World& world, lr_adapter* adapter, uint64_t number) {
  const Packed packed({7, 5}, number);
  const lr_batch batch = packed.batch();
  const lr_rows rows = {adapter, 0, 12, 0.1f, number};
  const lr_step_options options = {1, 0};
  lr_loss loss;
  float norm;
  check(world.context.get(), lr_train_step(world.base.get(), &batch, &rows, 1, &options, nullptr, &loss));
  check(world.context.get(), lr_adapter_optimizer_step(adapter, &kSettings, &norm));
}

std::string export_state(World& world, lr_adapter* adapter) {
  uint64_t size = 0;
  check(world.context.get(), lr_adapter_state_size(adapter, &size));
  std::string state(size, '\0');
  check(world.context.get(), lr_adapter_state_export(adapter, reinterpret_cast<uint8_t*>(state.data()), size));
  return state;
}

lr_status import_state(lr_adapter* adapter, const std::string& state) {
  return lr_adapter_state_import(adapter, reinterpret_cast<const uint8_t*>(state.data()), state.size());
}

void start(World& world) {
  AdapterHandle adapter = world.adapter({"up_proj"}, 16, 0, {}, true, 5);
  const Floats a = read_tensor(world, adapter.get(), LR_WEIGHT, 0, 16 * kHidden), b = read_tensor(world, adapter.get(), LR_WEIGHT, 1, 16 * 80);
  const float bound = 1 / std::sqrt(static_cast<float>(kHidden));
  const float largest = std::fabs(*std::max_element(a.begin(), a.end(), [](float x, float y) { return std::fabs(x) < std::fabs(y); }));
  double mean = 0, squares = 0;
  for (const float x : a) {
    mean += x / double(a.size());
    squares += x * x / double(a.size());
  }
  expect(largest <= bound && largest > 0.97f * bound, "A fills its Kaiming bound");
  expect(std::fabs(mean) < 0.1 * bound && std::fabs(squares - bound * bound / 3) < 0.05 * bound * bound, "A is uniform");
  expect(std::all_of(b.begin(), b.end(), [](float x) { return x == 0; }), "B starts at zero");
  expect(!same_bytes(a, read_tensor(world, adapter.get(), LR_WEIGHT, 2, a.size())), "targets start differently");
  AdapterHandle twin = world.adapter({"up_proj"}, 16, 0, {}, true, 5), other = world.adapter({"up_proj"}, 16, 0, {}, true, 6);
  expect(same_bytes(a, read_tensor(world, twin.get(), LR_WEIGHT, 0, a.size())), "one seed, one adapter");
  expect(!same_bytes(a, read_tensor(world, other.get(), LR_WEIGHT, 0, a.size())), "another seed, another adapter");
}

// Against Loshchilov & Hutter's algorithm 2, with clipping before, over two steps with given gradients.
void adamw(World& world) {
  const std::vector<uint64_t> sizes = adapter_sizes({"k_proj"}, 2, 1);
  AdapterHandle adapter = world.adapter({"k_proj"}, 2, 0, {1});
  std::vector<double> w, m(sizes[0] + sizes[1], 0.0), v = m;
  for (const float x : read_all(world, adapter.get(), LR_WEIGHT, sizes)) w.push_back(x);
  for (int t = 1; t <= 2; ++t) {
    std::vector<double> g;
    double squares = 0;
    for (size_t i = 0; i < w.size(); ++i) {
      g.push_back(static_cast<float>(std::sin(0.7 * double(i) + t)));
      squares += g.back() * g.back();
    }
    uint64_t at = 0;
    for (uint32_t tensor = 0; tensor < 2; ++tensor) {
      const Floats part(g.begin() + static_cast<std::ptrdiff_t>(at), g.begin() + static_cast<std::ptrdiff_t>(at + sizes[tensor]));
      check(world.context.get(), lr_adapter_write(adapter.get(), LR_GRADIENT, tensor, part.data(), part.size()));
      at += sizes[tensor];
    }
    float norm = 0;
    check(world.context.get(), lr_adapter_optimizer_step(adapter.get(), &kSettings, &norm));
    expect(std::fabs(norm - std::sqrt(squares)) < 1e-5 * norm, "the norm before clipping");
    const double clip = std::min(1.0, 1 / (std::sqrt(squares) + 1e-6));
    for (size_t i = 0; i < w.size(); ++i) {
      m[i] = 0.9 * m[i] + 0.1 * clip * g[i];
      v[i] = 0.999 * v[i] + 0.001 * clip * clip * g[i] * g[i];
      w[i] -= 0.01 * 0.1 * w[i];
      w[i] -= 0.01 * (m[i] / (1 - std::pow(0.9, t))) / (std::sqrt(v[i] / (1 - std::pow(0.999, t))) + 1e-8);
    }
  }
  const Floats got = read_all(world, adapter.get(), LR_WEIGHT, sizes);
  expect(distance(got, Floats(w.begin(), w.end())) < 1e-5, "weights after two AdamW steps");
  expect(distance(read_all(world, adapter.get(), LR_ADAM_M, sizes), Floats(m.begin(), m.end())) < 1e-4, "first moments");
  expect(distance(read_all(world, adapter.get(), LR_ADAM_V, sizes), Floats(v.begin(), v.end())) < 1e-3, "second moments");
  const Floats gradients = read_all(world, adapter.get(), LR_GRADIENT, sizes);
  expect(std::all_of(gradients.begin(), gradients.end(), [](float x) { return x == 0; }), "gradients are zero after the step");
}

void not_finite(World& world) {
  const std::vector<uint64_t> sizes = adapter_sizes({"k_proj"}, 2, 1);
  AdapterHandle adapter = world.adapter({"k_proj"}, 2, 0, {1});
  const Floats before = read_all(world, adapter.get(), LR_WEIGHT, sizes);
  Floats gradient(sizes[1], 1.0f);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    gradient[7] = bad;
    check(world.context.get(), lr_adapter_write(adapter.get(), LR_GRADIENT, 1, gradient.data(), gradient.size()));
    float norm;
    expect_status(world.context.get(), lr_adapter_optimizer_step(adapter.get(), &kSettings, &norm), LR_NOT_FINITE, "a bad gradient", "not finite");
    expect(same_bytes(read_all(world, adapter.get(), LR_WEIGHT, sizes), before), "a bad gradient updates nothing");
    const Floats zeroed = read_all(world, adapter.get(), LR_GRADIENT, sizes);
    expect(std::all_of(zeroed.begin(), zeroed.end(), [](float x) { return x == 0; }), "and is zeroed");
  }
}

// A loss that is not finite in one adapter's rows stops that adapter's update and no other's.
void poisoned_neighbour(World& world) {
  AdapterHandle good = world.adapter({"q_proj"}, 2), bad = world.adapter({"q_proj"}, 2);
  const Floats poison(2 * kHidden, std::numeric_limits<float>::quiet_NaN());
  check(world.context.get(), lr_adapter_write(bad.get(), LR_WEIGHT, 0, poison.data(), poison.size()));
  const Packed packed({7, 5});
  const lr_batch batch = packed.batch();
  const lr_rows rows[] = {{good.get(), 0, 7, 0.1f, 0}, {bad.get(), 7, 12, 0.1f, 0}};
  const lr_step_options options = {1, 0};
  lr_loss losses[2];
  float norm;
  check(world.context.get(), lr_train_step(world.base.get(), &batch, rows, 2, &options, nullptr, losses));
  expect(std::isfinite(losses[0].sum) && !std::isfinite(losses[1].sum), "losses tell which rows went wrong");
  check(world.context.get(), lr_adapter_optimizer_step(good.get(), &kSettings, &norm));
  expect(lr_adapter_optimizer_step(bad.get(), &kSettings, &norm) == LR_NOT_FINITE, "only the poisoned adapter refuses");
}

void state(World& world) {
  AdapterHandle whole = world.adapter(kAllLinears, 3, 0.2f), resumed = world.adapter(kAllLinears, 3, 0.2f, {}, true, 99);
  const std::string unused = export_state(world, resumed.get());
  check(world.context.get(), import_state(whole.get(), unused));
  for (uint64_t i = 0; i < 3; ++i) step(world, whole.get(), i);
  const std::string middle = export_state(world, whole.get());
  for (uint64_t i = 3; i < 6; ++i) step(world, whole.get(), i);
  check(world.context.get(), import_state(resumed.get(), middle));
  expect(export_state(world, resumed.get()) == middle, "a state survives import and export");
  for (uint64_t i = 3; i < 6; ++i) step(world, resumed.get(), i);
  expect(export_state(world, resumed.get()) == export_state(world, whole.get()), "training goes on bit-exactly from a state");

  const std::string good = export_state(world, resumed.get());
  for (size_t at = 0; at < good.size(); at += good.size() / 23) {
    std::string flipped = good;
    flipped[at] = static_cast<char>(flipped[at] ^ 16);
    expect(import_state(resumed.get(), flipped) == LR_BAD_FORMAT, "a flipped bit at " + std::to_string(at));
  }
  expect(import_state(resumed.get(), good.substr(0, good.size() - 4)) == LR_BAD_FORMAT, "a cut state");
  expect(import_state(resumed.get(), good.substr(0, 10)) == LR_BAD_FORMAT, "ten bytes");
  AdapterHandle wider = world.adapter(kAllLinears, 4);
  expect_status(world.context.get(), import_state(wider.get(), good), LR_BAD_FORMAT, "another rank", "other targets or ranks");
  expect(export_state(world, resumed.get()) == good, "a refused state changes nothing");
}

void bad_arguments(World& world) {
  lr_adapter* adapter = nullptr;
  const auto refused = [&](std::vector<lr_lora_target> targets, float dropout, const std::string& mention, uint32_t init = 0) {
    const lr_adapter_options options = {dropout, 0, 0, init, 4, 0};
    expect_status(world.context.get(),
                  lr_adapter_create(world.base.get(), targets.data(), static_cast<uint32_t>(targets.size()), &options, &adapter),
                  LR_INVALID_ARGUMENT, "creating an adapter", mention);
    expect(adapter == nullptr, "no adapter after a refusal");
  };
  const char* name = "model.layers.0.mlp.up_proj";
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refused({}, 0, "at least one");
  refused({{name, 0, 1, 0}}, 0, "rank 0");
  refused({{name, 513, 1, 0}}, 0, "rank 513");
  refused({{name, 4, nan, 0}}, 0, "scale");
  refused({{name, 4, 1, 0}, {name, 8, 1, 0}}, 0, "named twice");
  refused({{nullptr, 4, 1, 0}}, 0, "name of a LoRA target is null");
  refused({{name, 4, 1, 0}}, 1, "dropout");
  refused({{name, 4, 1, 0}}, nan, "dropout");
  refused({{"model.layers.3.mlp.up_proj", 4, 1, 0}}, 0, "layers 0 to 2");
  refused({{"model.layers.0.self_attn.q_prj", 4, 1, 0}}, 0, "near to it: model.layers.0.self_attn.q_proj");

  refused({{name, 257, 1, 0}}, 0, "between 1 and 256", LR_INIT_PISSA);
  refused({{name, 49, 1, 0}}, 0, "singular values", LR_INIT_PISSA);
  refused({{name, 4, 0, 0}}, 0, "above 0", LR_INIT_PISSA);
  refused({{name, 4, 1, 1}}, 0, "choose one", LR_INIT_PISSA);
  refused({{name, 4, 1, 0}}, 0, "unknown lr_init", 2);

  AdapterHandle made = world.adapter({"k_proj"}, 2, 0, {1});
  float values[8] = {};
  expect(lr_adapter_read(made.get(), LR_WEIGHT, 2, values, 8) == LR_INVALID_ARGUMENT, "a tensor that is not there");
  expect(lr_adapter_read(made.get(), LR_WEIGHT, 0, values, 8) == LR_INVALID_ARGUMENT, "a wrong count");
  expect(lr_adapter_read(made.get(), 4, 0, values, 96) == LR_INVALID_ARGUMENT, "an unknown kind");
  expect(lr_adapter_write(made.get(), LR_WEIGHT, 0, nullptr, 96) == LR_INVALID_ARGUMENT, "no values");
  float norm;
  for (const lr_adamw& bad : {lr_adamw{-1, 0.9f, 0.999f, 1e-8f, 0, 0, 0}, lr_adamw{0.1f, 1, 0.999f, 1e-8f, 0, 0, 0},
                              lr_adamw{0.1f, 0.9f, nan, 1e-8f, 0, 0, 0}, lr_adamw{0.1f, 0.9f, 0.999f, 0, 0, 0, 0},
                              lr_adamw{0.1f, 0.9f, 0.999f, 1e-8f, -1, 0, 0}, lr_adamw{0.1f, 0.9f, 0.999f, 1e-8f, 0, nan, 0},
                              lr_adamw{0.1f, 0.9f, 0.999f, 1e-8f, 0, 0, -1}}) {
    expect(lr_adapter_optimizer_step(made.get(), &bad, &norm) == LR_INVALID_ARGUMENT, "settings out of range");
  }
}

}  // namespace

void adapter_cases() {
  World world(Family::LlamaPlain, make_context(LR_BACKEND_FAST, 2));
  start(world);
  adamw(world);
  not_finite(world);
  poisoned_neighbour(world);
  state(world);
  bad_arguments(world);
}

}  // namespace lr::test
