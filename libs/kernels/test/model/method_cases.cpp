// DoRA, biases, PiSSA, LoRA+, 8-bit moments and pairs in bfloat16: gradients against differences, and what has to hold exactly.
#include <algorithm>
#include <cmath>

#include "api/handles.h"
#include "bf16.h"
#include "tiny_model.h"

namespace lr::test {
namespace {

struct Method {
  const char* name;
  bool dora;
  uint32_t bias;
  float dropout;
  uint32_t init = LR_INIT_DEFAULT;
  uint32_t optimizer = LR_OPTIMIZER_ADAMW;
  uint32_t bf16 = 0;
};

AdapterHandle make(World& world, const Method& method, const std::vector<std::string>& linears, uint32_t rank, uint64_t seed = 7) {
  std::vector<std::string> names;
  for (const Layer& layer : world.base->base.layers()) {
    for (const Linear& linear : layer.linears) {
      const bool wanted = std::any_of(linears.begin(), linears.end(), [&](const std::string& end) {
        return linear.name.size() > end.size() && linear.name.compare(linear.name.size() - end.size(), end.size(), end) == 0;
      });
      if (wanted) names.push_back(linear.name);
    }
  }
  std::vector<lr_lora_target> targets;
  for (const std::string& name : names) targets.push_back({name.c_str(), rank, 2.0f, method.dora ? 1u : 0u, method.bf16});
  const lr_adapter_options options = {method.dropout, method.bias, method.optimizer, method.init, 6, seed};
  lr_adapter* made = nullptr;
  check(world.context.get(),
        lr_adapter_create(world.base.get(), targets.data(), static_cast<uint32_t>(targets.size()), &options, &made));
  return AdapterHandle(made);
}

const std::vector<AdapterTensor>& tensors_of(const AdapterHandle& adapter) { return adapter->adapter.tensors(); }

// Everything that is trained, moved away from where it starts.
void disturb(AdapterHandle& adapter) {
  for (uint32_t i = 0; i < tensors_of(adapter).size(); ++i) {
    const AdapterTensor& tensor = tensors_of(adapter)[i];
    if (!tensor.trained()) continue;
    Floats values(tensor.elements());
    adapter->adapter.read(Adapter::Array::Weight, i, values.data(), values.size());
    for (size_t j = 0; j < values.size(); ++j) {
      const float noise = 2 * philox_uniform(50 + i, j) - 1;
      values[j] = tensor.role == Role::Magnitude ? values[j] * (1 + 0.3f * noise) : values[j] + 0.15f * noise;
    }
    adapter->adapter.write(Adapter::Array::Weight, i, values.data(), values.size());
  }
}

// Loss of a training step, dropout and all; the gradients it adds are for the caller to use or zero.
double step_loss(World& world, const AdapterHandle& adapter, const Packed& packed, bool checkpointing) {
  const lr_rows rows = {adapter.get(), 0, packed.size(), 1, 5};
  const lr_batch batch = packed.batch();
  const lr_step_options options = {checkpointing, 0};
  lr_loss loss;
  check(world.context.get(), lr_train_step(world.base.get(), &batch, &rows, 1, &options, nullptr, &loss));
  return loss.sum;
}

// The norms of DoRA are constants of the backward pass: when A or B move, magnitudes that keep magnitude / norm take them along.
void hold_factors(World& world, AdapterHandle& adapter, const std::vector<Floats>& factors) {
  const Runtime& runtime = *world.context->runtime;
  for (uint32_t i = 0; i < tensors_of(adapter).size(); ++i) {
    const AdapterTensor& tensor = tensors_of(adapter)[i];
    if (tensor.role != Role::Magnitude) continue;
    const Adapted now = adapter->adapter.adapted(runtime.run, runtime.ops, tensor.layer, tensor.kind, false, 0);
    Floats magnitude(tensor.elements());
    for (size_t j = 0; j < magnitude.size(); ++j) magnitude[j] = factors[i][j] / now.inverse_norm[j];
    adapter->adapter.write(Adapter::Array::Weight, i, magnitude.data(), magnitude.size());
  }
}

void gradients(Family family, const Method& method, bool checkpointing) {
  World world(family);
  AdapterHandle adapter = make(world, method, {"q_proj", "v_proj", "o_proj", "up_proj", "down_proj"}, 3);
  disturb(adapter);
  const Packed packed({7, 1, 12});
  step_loss(world, adapter, packed, checkpointing);
  const Runtime& runtime = *world.context->runtime;
  std::vector<Floats> weights, slopes, factors;
  for (uint32_t i = 0; i < tensors_of(adapter).size(); ++i) {
    const AdapterTensor& tensor = tensors_of(adapter)[i];
    weights.push_back(read_tensor(world, adapter.get(), LR_WEIGHT, i, tensor.elements()));
    slopes.push_back(read_tensor(world, adapter.get(), LR_GRADIENT, i, tensor.elements()));
    factors.emplace_back();
    if (tensor.role != Role::Magnitude) continue;
    const Adapted now = adapter->adapter.adapted(runtime.run, runtime.ops, tensor.layer, tensor.kind, false, 0);
    factors.back().assign(now.factor, now.factor + tensor.elements());
  }
  for (uint32_t i = 0; i < tensors_of(adapter).size(); ++i) {
    const AdapterTensor& tensor = tensors_of(adapter)[i];
    const std::string what = std::string(method.name) + ", " + role_name(tensor.role) + " " + std::to_string(i);
    double norm = 0;
    for (const float g : slopes[i]) norm += double{g} * double{g};
    norm = std::sqrt(norm);
    if (!tensor.trained()) {
      expect(norm == 0, what + ": is not trained");
      continue;
    }
    expect(norm > 1e-3, what + ": the gradient is not zero");
    const double step = 0.02 / norm;
    const auto loss_at = [&](double sign) {
      Floats moved = weights[i];
      for (size_t j = 0; j < moved.size(); ++j) moved[j] += static_cast<float>(sign * step * double{slopes[i][j]} / norm);
      check(world.context.get(), lr_adapter_write(adapter.get(), LR_WEIGHT, i, moved.data(), moved.size()));
      if (tensor.role == Role::A || tensor.role == Role::B) hold_factors(world, adapter, factors);
      return step_loss(world, adapter, packed, checkpointing);
    };
    const double slope = (loss_at(1) - loss_at(-1)) / (2 * step);
    for (uint32_t j = 0; j < weights.size(); ++j) {
      check(world.context.get(), lr_adapter_write(adapter.get(), LR_WEIGHT, j, weights[j].data(), weights[j].size()));
    }
    expect(std::fabs(slope - norm) < 5e-3 * norm, what + ": slope " + std::to_string(slope) + ", gradient " + std::to_string(norm));
  }
}

Floats logits_of(World& world, lr_adapter* adapter, const Packed& packed) {
  const lr_rows rows = {adapter, 0, packed.size(), 1, 0};
  const lr_batch batch = packed.batch();
  Floats logits(packed.size() * kVocab);
  check(world.context.get(), lr_logits(world.base.get(), &batch, &rows, 1, logits.data()));
  return logits;
}

// Which tensors there are, and that an adapter that nothing has trained yet computes what the base does.
void starts(const Method& method, const std::string& roles) {
  World world(Family::LlamaBiased, make_context(LR_BACKEND_FAST, 2));
  AdapterHandle adapter = make(world, method, {"0.self_attn.q_proj", "1.mlp.up_proj"}, 3);
  std::string found;
  for (const AdapterTensor& tensor : tensors_of(adapter)) found += std::string(role_name(tensor.role)) + " ";
  expect(found == roles, std::string(method.name) + ": tensors are " + found);
  const Packed packed({9, 4});
  const double off = distance(logits_of(world, adapter.get(), packed), logits_of(world, nullptr, packed));
  expect(off < 1e-4, std::string(method.name) + ": starts off the base by " + std::to_string(off));
}

// The same gradients, byte for byte, on any number of threads, and for rows alone or beside those of others.
void determinism(const Method& method) {
  const auto gradients = [&](uint32_t threads, bool alone) {
    World world(Family::LlamaBiased, make_context(LR_BACKEND_FAST, threads));
    AdapterHandle adapter = make(world, method, kAllLinears, 3), other = world.adapter({"q_proj", "down_proj"}, 2);
    disturb(adapter);
    const Packed packed({30, 11}), single({30});
    const lr_rows rows[] = {{adapter.get(), 0, 30, 1, 5}, {other.get(), 30, 41, 1, 5}};
    const lr_batch batch = alone ? single.batch() : packed.batch();
    const lr_step_options options = {1, 0};
    lr_loss losses[2];
    check(world.context.get(), lr_train_step(world.base.get(), &batch, rows, alone ? 1 : 2, &options, nullptr, losses));
    Floats all;
    for (uint32_t i = 0; i < tensors_of(adapter).size(); ++i) {
      const Floats part = read_tensor(world, adapter.get(), LR_GRADIENT, i, tensors_of(adapter)[i].elements());
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  };
  const Floats want = gradients(1, true);
  expect(same_bytes(want, gradients(3, true)), std::string(method.name) + ": bytes depend on threads");
  expect(same_bytes(want, gradients(2, false)), std::string(method.name) + ": bytes depend on other rows");
}

void generates(const Method& method) {
  World world(Family::LlamaBiased, make_context(LR_BACKEND_FAST, 2));
  AdapterHandle adapter = make(world, method, kAllLinears, 3);
  disturb(adapter);
  const Packed packed({20});
  const Floats full = logits_of(world, adapter.get(), packed);
  lr_session* opened = nullptr;
  check(world.context.get(), lr_session_create(world.base.get(), adapter.get(), 20, &opened));
  const SessionHandle session(opened);
  for (uint32_t at = 0; at < 20; at += 10) {
    check(world.context.get(), lr_session_append(session.get(), packed.tokens.data() + at, 10, nullptr));
  }
  Floats logits(kVocab);
  check(world.context.get(), lr_session_logits(session.get(), logits.data()));
  expect(distance(logits, Floats(full.end() - kVocab, full.end())) < 1e-4, std::string(method.name) + ": generation agrees");
}

std::string state_of(World& world, const AdapterHandle& adapter) {
  uint64_t size = 0;
  check(world.context.get(), lr_adapter_state_size(adapter.get(), &size));
  std::string state(size, '\0');
  check(world.context.get(), lr_adapter_state_export(adapter.get(), reinterpret_cast<uint8_t*>(state.data()), size));
  return state;
}

void resumes(const Method& method) {
  World world(Family::LlamaBiased, make_context(LR_BACKEND_FAST, 2));
  const lr_adamw settings = {0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, 1.0f, 4};
  // 48 × 100 elements: enough for 8-bit moments
  AdapterHandle whole = make(world, method, {"up_proj", "q_proj"}, method.init == LR_INIT_PISSA ? 20 : 100);
  AdapterHandle resumed = make(world, method, {"up_proj", "q_proj"}, method.init == LR_INIT_PISSA ? 20 : 100, 99);
  const Packed packed({7, 5});
  const auto train = [&](const AdapterHandle& adapter) {
    float norm;
    for (int i = 0; i < 3; ++i) {
      step_loss(world, adapter, packed, true);
      check(world.context.get(), lr_adapter_optimizer_step(adapter.get(), &settings, &norm));
    }
  };
  train(whole);
  const std::string middle = state_of(world, whole);
  check(world.context.get(),
        lr_adapter_state_import(resumed.get(), reinterpret_cast<const uint8_t*>(middle.data()), middle.size()));
  train(whole);
  train(resumed);
  expect(state_of(world, whole) == state_of(world, resumed), std::string(method.name) + ": goes on bit-exactly from a state");
  expect(middle != state_of(world, whole), std::string(method.name) + ": trains");
}

// 8-bit moments keep what was written to within their steps, and take a quarter of the room.
void moments() {
  World world(Family::LlamaPlain, make_context(LR_BACKEND_FAST, 2));
  const Method eight = {"8-bit", false, 0, 0, LR_INIT_DEFAULT, LR_OPTIMIZER_ADAMW8}, full = {"floats", false, 0, 0};
  AdapterHandle adapter = make(world, eight, {"0.mlp.up_proj"}, 100), other = make(world, full, {"0.mlp.up_proj"}, 100);
  Floats m(4800), v(4800);
  for (size_t i = 0; i < m.size(); ++i) {
    m[i] = 2 * philox_uniform(1, i) - 1;
    v[i] = philox_uniform(2, i);
  }
  check(world.context.get(), lr_adapter_write(adapter.get(), LR_ADAM_M, 0, m.data(), m.size()));
  check(world.context.get(), lr_adapter_write(adapter.get(), LR_ADAM_V, 0, v.data(), v.size()));
  expect(distance(read_tensor(world, adapter.get(), LR_ADAM_M, 0, m.size()), m) < 0.03, "first moments in 8 bits");
  expect(distance(read_tensor(world, adapter.get(), LR_ADAM_V, 0, v.size()), v) < 0.015, "second moments in 8 bits");
  const std::string small = state_of(world, adapter), large = state_of(world, other);
  const double moments_of_large = 8.0 * (4800 + 8000);
  expect(large.size() - small.size() > 0.73 * moments_of_large, "8-bit moments take a quarter");
  expect(lr_adapter_state_import(other.get(), reinterpret_cast<const uint8_t*>(small.data()), small.size()) == LR_BAD_FORMAT,
         "the state of another optimizer is refused");
}

// After one step from zero moments every weight has moved by its learning rate.
void rates() {
  World world(Family::LlamaBiased);
  const Method method = {"LoRA+", true, LR_BIAS_ALL, 0};
  AdapterHandle adapter = make(world, method, {"0.mlp.up_proj"}, 3);
  disturb(adapter);
  const lr_adamw settings = {1e-3f, 0.9f, 0.999f, 1e-12f, 0, 0, 8};
  std::vector<Floats> before;
  for (uint32_t i = 0; i < tensors_of(adapter).size(); ++i) {
    before.push_back(read_tensor(world, adapter.get(), LR_WEIGHT, i, tensors_of(adapter)[i].elements()));
  }
  step_loss(world, adapter, Packed({9}), true);
  float norm;
  check(world.context.get(), lr_adapter_optimizer_step(adapter.get(), &settings, &norm));
  for (uint32_t i = 0; i < before.size(); ++i) {
    const Floats after = read_tensor(world, adapter.get(), LR_WEIGHT, i, before[i].size());
    const float moved = std::fabs(after[0] - before[i][0]), wanted = tensors_of(adapter)[i].role == Role::A ? 1e-3f : 8e-3f;
    expect(std::fabs(moved - wanted) < 1e-5f, "LoRA+: rate of " + std::string(role_name(tensors_of(adapter)[i].role)));
  }
}

// Logits after a prompt, and after each of three tokens that follow it.
std::vector<Floats> answer(World& world, const AdapterHandle& adapter) {
  lr_session* raw = nullptr;
  check(world.context.get(), lr_session_create(world.base.get(), adapter.get(), 12, &raw));
  const SessionHandle session(raw);
  const Packed packed({12});
  std::vector<Floats> logits;
  for (int32_t at = 0; at < 12; at += at == 0 ? 9 : 1) {
    check(world.context.get(), lr_session_append(raw, packed.tokens.data() + at, at == 0 ? 9 : 1, nullptr));
    check(world.context.get(), lr_session_logits(raw, logits.emplace_back(kVocab).data()));
  }
  return logits;
}

// Pairs in bfloat16 answer with the bytes of the same values in floats, and take half of the memory.
void pairs_in_bf16(const Method& method, uint32_t backend) {
  World world(Family::LlamaPlain, make_context(backend, 2));
  const auto held = [&] {
    uint64_t bytes = 0, peak = 0;
    check(world.context.get(), lr_context_memory(world.context.get(), &bytes, &peak, 0));
    return static_cast<double>(bytes);
  };
  Method packed = method;
  packed.bf16 = 1;
  const double before = held();
  AdapterHandle halves = make(world, packed, kAllLinears, 5);
  const double with_one = held();
  AdapterHandle floats = make(world, method, kAllLinears, 5);
  const double share = (with_one - before) / (held() - with_one);
  expect(method.dora || (share > 0.49 && share < 0.54), "pairs in bfloat16 take half of the memory, but for whole lines: " + std::to_string(share));
  disturb(floats);
  bool rounded = true;
  for (uint32_t i = 0; i < tensors_of(halves).size(); ++i) {
    const AdapterTensor& tensor = tensors_of(halves)[i];
    const Floats values = read_tensor(world, floats.get(), LR_WEIGHT, i, tensor.elements());
    check(world.context.get(), lr_adapter_write(halves.get(), LR_WEIGHT, i, values.data(), values.size()));
    const Floats kept = read_tensor(world, halves.get(), LR_WEIGHT, i, values.size());
    for (size_t j = 0; j < kept.size(); ++j) rounded &= kept[j] == (tensor.bf16 ? round_to_bf16(values[j]) : values[j]);
    check(world.context.get(), lr_adapter_write(floats.get(), LR_WEIGHT, i, kept.data(), kept.size()));
  }
  expect(rounded, "pairs in bfloat16 are rounded to it, and nothing else is");
  expect(answer(world, halves) == answer(world, floats), std::string(method.name) + " in bfloat16 gives the bytes of the same floats");
}

// An adapter with a pair in bfloat16 says so, and is refused wherever it would be trained.
void answers_only() {
  World world(Family::LlamaPlain, make_context(LR_BACKEND_FAST, 1));
  lr_context* context = world.context.get();
  const lr_lora_target targets[] = {{"model.layers.0.mlp.up_proj", 4, 1, 0, 1}, {"model.layers.1.mlp.up_proj", 4, 1, 0, 0}};
  lr_adapter_options options = {};
  lr_adapter* made = nullptr;
  check(context, lr_adapter_create(world.base.get(), targets, 2, &options, &made));
  const AdapterHandle adapter(made);
  std::string info(1000, '\0');
  size_t needed = 0;
  check(context, lr_adapter_info(made, info.data(), info.size(), &needed));
  expect(info.find("\"role\":\"lora_B\",\"rows\":80,\"cols\":4,\"dtype\":\"bf16\"}") < info.find("\"dtype\":\"f32\""), "what tensors are kept in");

  const auto refused = [&](lr_status status, const std::string& what) { expect_status(context, status, LR_INVALID_ARGUMENT, what, "not trained"); };
  const Packed packed({7, 5});
  const lr_batch batch = packed.batch();
  const lr_rows rows = {made, 0, 12, 0.1f, 1};
  const lr_step_options step = {1, 0};
  const lr_adamw settings = {0.01f, 0.9f, 0.999f, 1e-8f, 0, 1, 0};
  lr_loss loss;
  float norm;
  uint64_t size;
  const Floats values(4 * kHidden);
  refused(lr_train_step(world.base.get(), &batch, &rows, 1, &step, nullptr, &loss), "a step");
  refused(lr_adapter_optimizer_step(made, &settings, &norm), "an update");
  refused(lr_adapter_write(made, LR_GRADIENT, 0, values.data(), values.size()), "a gradient");
  refused(lr_adapter_state_size(made, &size), "a state");
  check(context, lr_eval_step(world.base.get(), &batch, &rows, 1, nullptr, &loss));
  options.init = LR_INIT_PISSA;
  expect_status(context, lr_adapter_create(world.base.get(), targets, 2, &options, &made), LR_INVALID_ARGUMENT, "PiSSA in bfloat16", "start of training");
}

}  // namespace

void method_cases() {
  const Method dora = {"DoRA", true, LR_BIAS_NONE, 0}, dropped = {"DoRA with dropout", true, LR_BIAS_LORA_ONLY, 0.3f};
  const Method biases = {"all biases", false, LR_BIAS_ALL, 0.2f}, own = {"biases of targets", false, LR_BIAS_LORA_ONLY, 0};
  const Method pissa = {"PiSSA", false, LR_BIAS_NONE, 0.2f, LR_INIT_PISSA};
  const Method eight = {"8-bit AdamW", true, LR_BIAS_ALL, 0.1f, LR_INIT_DEFAULT, LR_OPTIMIZER_ADAMW8};
  gradients(Family::LlamaPlain, dora, false);
  gradients(Family::LlamaBiased, dropped, true);
  gradients(Family::LlamaBiased, biases, true);
  gradients(Family::Qwen2Tied, own, false);
  gradients(Family::LlamaPlain, pissa, true);
  const std::string pairs = "lora_A lora_B lora_A lora_B ";
  starts(dora, "lora_A lora_B lora_magnitude_vector lora_A lora_B lora_magnitude_vector ");
  starts(own, pairs + "bias bias ");
  starts(pissa, pairs + "initial_A initial_B initial_A initial_B ");
  for (const Method& method : {dora, dropped, biases, pissa}) {
    determinism(method);
    generates(method);
    resumes(method);
  }
  resumes(eight);
  moments();
  rates();
  for (const uint32_t backend : {LR_BACKEND_FAST, LR_BACKEND_REFERENCE})
    for (const Method& method : {dora, biases}) pairs_in_bf16(method, backend);
  answers_only();
}

}  // namespace lr::test
