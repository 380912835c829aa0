// The decoder over the CUDA kernels, under the emulator and through the C interface, against the reference backend. Memory of the
// emulated device cannot be touched from outside the kernels, so that everything here also shows who touches it.
#include <cmath>
#include <cstdio>
#include <cstring>

#include "../model/tiny_model.h"
#include "../support/run_checks.h"
#include "api/handles.h"

namespace lr::test {
namespace {

const lr_adamw kAdamw = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.01f, 1.0f, 0};

struct Side {
  explicit Side(Family family, uint32_t backend, uint32_t compute = LR_COMPUTE_F32)
      : world(family, make_context(backend, 1, compute)), adapter(world.adapter(linears_of(family), 4)) {}
  // All linear layers, DoRA where asked for, every weight moved away from where it starts.
  Side(Family family, uint32_t backend, uint32_t compute, bool dora, uint32_t bias, float dropout) : world(family, make_context(backend, 1, compute)) {
    std::vector<lr_lora_target> targets;
    for (const Layer& layer : world.base->base.layers())
      for (const Linear& linear : layer.linears)
        if (!linear.name.empty()) targets.push_back({linear.name.c_str(), 4, 2.0f, dora ? 1u : 0u, 0});
    const lr_adapter_options options = {dropout, bias, LR_OPTIMIZER_ADAMW, LR_INIT_DEFAULT, 0, 7};
    lr_adapter* made = nullptr;
    check(world.context.get(), lr_adapter_create(world.base.get(), targets.data(), static_cast<uint32_t>(targets.size()), &options, &made));
    adapter.reset(made);
    for (uint32_t i = 0; i < made->adapter.tensors().size(); ++i) {
      Floats values(made->adapter.tensors()[i].elements());
      check(world.context.get(), lr_adapter_read(made, LR_WEIGHT, i, values.data(), values.size()));
      for (size_t j = 0; j < values.size(); ++j) values[j] += 0.1f * (2 * philox_uniform(50 + i, j) - 1);
      check(world.context.get(), lr_adapter_write(made, LR_WEIGHT, i, values.data(), values.size()));
    }
  }
  World world;
  AdapterHandle adapter;

  Floats tensors(uint32_t kind, uint32_t count) {
    size_t needed = 0;
    lr_adapter_info(adapter.get(), nullptr, 0, &needed);
    std::string json(needed, '\0');
    check(world.context.get(), lr_adapter_info(adapter.get(), json.data(), needed, &needed));
    Floats all;
    size_t at = 0;
    for (uint32_t i = 0; i < count && (at = json.find("\"rows\":", at)) != std::string::npos; ++i, ++at) {
      unsigned long long rows = 0, cols = 0;
      std::sscanf(json.c_str() + at, "\"rows\":%llu,\"cols\":%llu", &rows, &cols);
      Floats one(rows * cols);
      check(world.context.get(), lr_adapter_read(adapter.get(), kind, i, one.data(), one.size()));
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }
  Floats gradients() { return tensors(LR_GRADIENT, UINT32_MAX); }
  Floats weights() { return tensors(LR_WEIGHT, UINT32_MAX); }

  lr_loss train(const Packed& packed, uint32_t checkpointing) {
    const lr_batch batch = packed.batch();
    const lr_rows rows = {adapter.get(), 0, packed.size(), 0.1f, 77};
    const lr_step_options options = {checkpointing, 7};
    lr_loss loss;
    check(world.context.get(), lr_train_step(world.base.get(), &batch, &rows, 1, &options, nullptr, &loss));
    return loss;
  }
  float update() {
    float norm;
    check(world.context.get(), lr_adapter_optimizer_step(adapter.get(), &kAdamw, &norm));
    return norm;
  }
  std::vector<uint8_t> state() {
    uint64_t bytes;
    check(world.context.get(), lr_adapter_state_size(adapter.get(), &bytes));
    std::vector<uint8_t> out(bytes);
    check(world.context.get(), lr_adapter_state_export(adapter.get(), out.data(), bytes));
    return out;
  }
};

// Losses and gradients of a step, the update after it, and the next step's loss.
void steps(Family family) {
  const std::string name = name_of(family);
  Side want(family, LR_BACKEND_REFERENCE), got(family, LR_BACKEND_FAST);
  const Packed packed({9, 3, 14});
  const lr_loss first = want.train(packed, 0), loss = got.train(packed, 1);
  expect(std::fabs(loss.sum - first.sum) < 1e-4 * first.sum && loss.tokens == first.tokens, name + ": loss " + std::to_string(loss.sum));
  expect(loss.correct == first.correct, name + ": tokens that are predicted");
  expect(distance(got.gradients(), want.gradients()) < 1e-3, name + ": gradients");
  const float norm = want.update();
  expect(std::fabs(got.update() - norm) < 1e-4f * norm, name + ": norm of the gradients");
  expect(std::fabs(got.train(packed, 1).sum - want.train(packed, 1).sum) < 1e-3 * first.sum, name + ": the next step's loss");

  // Checkpointing changes no byte, nor does doing it again; a state that was exported goes on as the one it came from.
  got.update();
  const std::vector<uint8_t> state = got.state();
  got.train(packed, 0);
  const Floats kept = got.gradients();
  got.update();
  const Floats weights = got.weights();
  check(got.world.context.get(), lr_adapter_state_import(got.adapter.get(), state.data(), state.size()));
  got.train(packed, 1);
  expect(same_bytes(got.gradients(), kept), name + ": gradients with checkpointing, after a resume");
  got.update();
  expect(same_bytes(got.weights(), weights), name + ": weights after a resume");
}

// The same in bfloat16, as near as that is.
void bf16(const std::string& what, Side want, Side got) {
  const std::string name = what + " in bf16";
  const Packed packed({8, 21, 9});  // of fewer tokens a single one decides how far gradients are off
  const lr_loss first = want.train(packed, 1), loss = got.train(packed, 1);
  expect(std::fabs(loss.sum - first.sum) < 1e-2 * first.sum, name + ": loss");
  const Floats gradients = got.gradients();
  const double error = error_of(gradients, want.gradients());
  expect(error < 0.06, name + ": gradients are off by " + std::to_string(error));
  got.update();
  const std::vector<uint8_t> state = got.state();
  got.train(packed, 0);
  const Floats kept = got.gradients();
  got.update();
  check(got.world.context.get(), lr_adapter_state_import(got.adapter.get(), state.data(), state.size()));
  got.train(packed, 1);
  expect(same_bytes(got.gradients(), kept), name + ": gradients with checkpointing");
}

// What a context keeps of weights goes with them: after an update, a write and an import a step has the bytes of an adapter that never had others.
void changed_weights() {
  Side side(Family::LlamaPlain, LR_BACKEND_FAST, LR_COMPUTE_BF16);
  lr_context* context = side.world.context.get();
  const Packed packed({9, 3, 14});
  const auto expect_fresh = [&](const std::string& what) {
    const std::vector<uint8_t> state = side.state();
    Side fresh(Family::LlamaPlain, LR_BACKEND_FAST, LR_COMPUTE_BF16);
    check(fresh.world.context.get(), lr_adapter_state_import(fresh.adapter.get(), state.data(), state.size()));
    check(context, lr_adapter_zero_gradients(side.adapter.get()));
    side.train(packed, 0);
    fresh.train(packed, 0);
    expect(same_bytes(side.gradients(), fresh.gradients()), "gradients in bf16 " + what);
  };
  side.train(packed, 0);
  const std::vector<uint8_t> before = side.state();
  side.update();
  expect_fresh("after an update");
  for (const uint32_t tensor : {0u, 1u}) {
    Floats values(side.adapter->adapter.tensors()[tensor].elements(), 0.25f);
    check(context, lr_adapter_write(side.adapter.get(), LR_WEIGHT, tensor, values.data(), values.size()));
  }
  expect_fresh("after a write");
  check(context, lr_adapter_state_import(side.adapter.get(), before.data(), before.size()));
  expect_fresh("after an import");
}

Floats logits_of(Side& side, bool cached) {
  const Packed packed({6});
  const auto vocab = static_cast<size_t>(kVocab);
  Floats logits(vocab);
  if (!cached) {
    Floats all(packed.size() * vocab);
    const lr_batch batch = packed.batch();
    const lr_rows rows = {side.adapter.get(), 0, packed.size(), 0, 0};
    check(side.world.context.get(), lr_logits(side.world.base.get(), &batch, &rows, 1, all.data()));
    std::copy(all.end() - static_cast<std::ptrdiff_t>(vocab), all.end(), logits.begin());
    return logits;
  }
  lr_session* made = nullptr;
  check(side.world.context.get(), lr_session_create(side.world.base.get(), side.adapter.get(), 16, &made));
  const SessionHandle session(made);
  check(side.world.context.get(), lr_session_append(session.get(), packed.tokens.data(), 5, nullptr));
  check(side.world.context.get(), lr_session_append(session.get(), packed.tokens.data() + 5, 1, nullptr));
  check(side.world.context.get(), lr_session_logits(session.get(), logits.data()));
  return logits;
}

void generation(Family family, uint32_t compute, double tolerance) {
  Side want(family, LR_BACKEND_REFERENCE), got(family, LR_BACKEND_FAST, compute);
  const std::string name = name_of(family) + std::string(compute == LR_COMPUTE_BF16 ? " in bf16" : "");
  const Floats wanted = logits_of(want, false);
  expect(distance(logits_of(got, false), wanted) < tolerance, name + ": logits");
  expect(distance(logits_of(got, true), wanted) < tolerance, name + ": logits of a session");
}

void information() {
  Side side(Family::LlamaPlain, LR_BACKEND_FAST);
  char json[256];
  check(side.world.context.get(), lr_context_info(side.world.context.get(), json, sizeof json));
  expect(std::strstr(json, "\"isa\":\"cuda\"") != nullptr, std::string("the context computes on the device: ") + json);
  uint64_t current = 0, peak = 0;
  check(side.world.context.get(), lr_context_memory(side.world.context.get(), &current, &peak, 0));
  expect(current > 0 && peak >= current, "its memory is counted");
}

}  // namespace
}  // namespace lr::test

int main() {
  using namespace lr::test;
  return run_checks([] {
    information();
    for (const Family family : {Family::LlamaPlain, Family::Qwen3, Family::Gemma2, Family::Phi3}) steps(family);
    for (const Family family : {Family::LlamaPlain, Family::Gemma2, Family::LlamaWide}) {
      generation(family, LR_COMPUTE_F32, 1e-3);
      generation(family, LR_COMPUTE_BF16, 6e-2);
    }
    for (const Family family : {Family::LlamaPlain, Family::Qwen3, Family::Gemma2, Family::Phi3, Family::LlamaWide, Family::Qwen3Wide}) {
      bf16(name_of(family), Side(family, LR_BACKEND_REFERENCE), Side(family, LR_BACKEND_FAST, LR_COMPUTE_BF16));
    }
    changed_weights();
    const auto method = [](const char* name, Family family, bool dora, uint32_t bias, float dropout) {
      bf16(name, {family, LR_BACKEND_REFERENCE, LR_COMPUTE_F32, dora, bias, dropout}, {family, LR_BACKEND_FAST, LR_COMPUTE_BF16, dora, bias, dropout});
    };
    method("DoRA", Family::LlamaPlain, true, LR_BIAS_NONE, 0);
    method("DoRA of fused layers", Family::Phi3, true, LR_BIAS_NONE, 0);
    method("DoRA with dropout and biases", Family::LlamaBiased, true, LR_BIAS_LORA_ONLY, 0.2f);
    method("dropout and all biases", Family::LlamaBiased, false, LR_BIAS_ALL, 0.2f);
    method("DoRA, dropout and all biases with heads of 64", Family::LlamaWide, true, LR_BIAS_ALL, 0.2f);
  });
}
