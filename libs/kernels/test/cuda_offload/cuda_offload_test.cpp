// What is offloaded to pinned memory changes no byte of a step and is missing from the device's memory. The emulator makes copies as late as it
// may and leaves garbage until then, so that a wait that is missing shows here.
#include <cstdio>
#include <cstdlib>

#include "../../src/native/cuda/emulator/memory.h"
#include "../model/tiny_model.h"
#include "../support/run_checks.h"

namespace lr::test {
namespace {

constexpr int64_t kDepth = 6;
constexpr uint32_t kRank = 4, kWide = 256;
constexpr int kTokens = 64;
const lr_adamw kAdamw = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.01f, 1.0f, 0};

Context context_with(const char* offload, uint32_t compute) {
  ::setenv("LOWRANK_OFFLOAD", offload, 1);
  return make_context(LR_BACKEND_FAST, 1, compute);
}

std::vector<int> layers_from(int first) {
  std::vector<int> layers;
  for (int layer = first; layer < kDepth; ++layer) layers.push_back(layer);
  return layers;
}

// A model and an adapter from layer `first` on.
struct Side {
  Side(Family family, const char* offload, int first = 0, uint32_t compute = LR_COMPUTE_F32)
      : world(family, context_with(offload, compute), kDepth), adapter(world.adapter(linears_of(family), kRank, 0.1f, layers_from(first))) {}
  World world;
  AdapterHandle adapter;

  lr_status try_train(uint64_t seed, double& loss, bool checkpointing = true) {
    const Packed packed({20, 3, 25, 16});
    const lr_batch batch = packed.batch();
    const lr_rows rows = {adapter.get(), 0, packed.size(), 0.1f, seed};
    const lr_step_options options = {checkpointing, 7};
    lr_loss got = {};
    const lr_status status = lr_train_step(world.base.get(), &batch, &rows, 1, &options, nullptr, &got);
    loss = got.sum;
    return status;
  }
  double train(uint64_t seed, bool checkpointing = true) {
    double loss = 0;
    check(world.context.get(), try_train(seed, loss, checkpointing));
    return loss;
  }
  void update(lr_adapter* which) {
    float norm;
    check(world.context.get(), lr_adapter_optimizer_step(which, &kAdamw, &norm));
  }
  std::vector<uint8_t> state(lr_adapter* which) {
    uint64_t bytes;
    check(world.context.get(), lr_adapter_state_size(which, &bytes));
    std::vector<uint8_t> out(bytes);
    check(world.context.get(), lr_adapter_state_export(which, out.data(), bytes));
    return out;
  }
  int64_t memory() {
    uint64_t current = 0, peak = 0;
    check(world.context.get(), lr_context_memory(world.context.get(), &current, &peak, 0));
    return static_cast<int64_t>(current);
  }
};

struct Steps {
  double losses[2];
  std::vector<uint8_t> state;
  int64_t memory;  // after the first one, without moments
  bool operator==(const Steps& other) const { return losses[0] == other.losses[0] && losses[1] == other.losses[1] && state == other.state; }
};

Steps two_steps(Side& side, bool checkpointing = true) {
  Steps steps;
  steps.losses[0] = side.train(7, checkpointing);
  steps.memory = side.memory();
  side.update(side.adapter.get());
  steps.losses[1] = side.train(8, checkpointing);
  side.update(side.adapter.get());
  steps.state = side.state(side.adapter.get());
  return steps;
}

// Checkpoints of all layers but the last two with LoRA below or in them, in steps that compute layers again and in those that keep everything. Of a
// token they are `bytes`, a log-sum-exp for each of 4 heads, and hidden values of every pair.
void checkpoints(Family family, int first, uint32_t compute, int64_t bytes) {
  const std::string name =
      std::string(name_of(family)) + " from layer " + std::to_string(first) + (compute == LR_COMPUTE_BF16 ? " in bf16" : "");
  const int64_t layer = kTokens * (bytes + (4 + static_cast<int64_t>(kRank * linears_of(family).size())) * 4);
  const int64_t moved = (kDepth - first - 2) * layer;
  Steps first_way;
  for (const bool checkpointing : {true, false}) {
    Side stays(family, "auto", first, compute), goes(family, checkpointing ? "on" : "checkpoints", first, compute);
    const Steps want = two_steps(stays, checkpointing), got = two_steps(goes, checkpointing);
    const std::string way = name + (checkpointing ? "" : ", everything kept");
    expect(got == want, way + ": offloaded checkpoints change bytes");
    const int64_t less = want.memory - got.memory;
    expect(less == moved, way + ": " + std::to_string(less) + " bytes less on the device, not " + std::to_string(moved));
    if (checkpointing) {
      first_way = want;
    } else {
      expect(want == first_way, way + ": not the bytes of computing layers again");
    }
  }
}

// An embedding that is not the head too is not on the device, nor is what lies before it in the file. Where nothing can be pinned all is as it is
// where nothing is offloaded.
void embedding() {
  Side off(Family::LlamaPlain, "off"), pinned(Family::LlamaPlain, "auto");
  const cuda::emulator::NothingPinned nothing;
  Side refused(Family::LlamaPlain, "auto");
  const Steps want = two_steps(off), there = two_steps(pinned), here = two_steps(refused);
  expect(there == want && here == want, "the embedding changes bytes with its place");
  constexpr int64_t kEmbedding = kVocab * kHidden * 4, kHead = 16 << 10;
  const int64_t less = want.memory - there.memory;
  expect(less >= kEmbedding && less < kEmbedding + kHead, "the embedding is not missing from the device: " + std::to_string(less) + " bytes less");
  expect(here.memory == want.memory, "an embedding that cannot be pinned is not on the device");
}

// `auto` offloads what the device refuses, and goes on so.
void short_memory() {
  Steps want;
  {
    Side side(Family::LlamaPlain, "auto");
    want = two_steps(side);
    Side goes(Family::LlamaPlain, "checkpoints");
    expect(two_steps(goes).memory < want.memory, "auto offloads no checkpoints where there is room");
  }
  {
    Side side(Family::LlamaPlain, "auto");
    const cuda::emulator::MemoryLimit limit(static_cast<size_t>(want.memory) - 100000);
    expect(two_steps(side) == want, "a step that does not fit is offloaded and has the same bytes");
  }
  {
    Side side(Family::LlamaPlain, "off");
    const cuda::emulator::MemoryLimit limit(static_cast<size_t>(want.memory) - 100000);
    double loss;
    expect_status(side.world.context.get(), side.try_train(7, loss), LR_OUT_OF_MEMORY, "off: a step that does not fit");
  }
  // Steps that keep everything: what fits when checkpoints of it are offloaded, and what does not then.
  const auto memory_of = [](const char* offload, bool checkpointing) {
    Side side(Family::LlamaPlain, offload);
    return two_steps(side, checkpointing).memory;
  };
  const int64_t offloaded = memory_of("checkpoints", false);
  for (const int64_t more : {memory_of("auto", false), memory_of("checkpoints", true)}) {
    Side side(Family::LlamaPlain, "auto");
    const cuda::emulator::MemoryLimit limit(static_cast<size_t>(offloaded + more) / 2);
    expect(two_steps(side, false) == want, "a step that does not fit keeps less and has the same bytes");
  }
  Side side(Family::LlamaPlain, "auto");
  Steps got;
  got.losses[0] = side.train(7);
  const int64_t before = side.memory();
  const cuda::emulator::MemoryLimit nothing(0);
  side.update(side.adapter.get());
  expect(side.memory() == before, "moments that the device refuses lie elsewhere");
  got.losses[1] = side.train(8);
  side.update(side.adapter.get());
  got.state = side.state(side.adapter.get());
  expect(got == want, "moments elsewhere have the same bytes");
}

AdapterHandle wide_adapter(Side& side, uint32_t optimizer) {
  std::vector<std::string> names;
  for (const char* layer : {"0", "1"})
    for (const char* linear : {"self_attn.q_proj", "self_attn.k_proj", "mlp.gate_proj", "mlp.down_proj"})
      names.push_back(std::string("model.layers.") + layer + "." + linear);
  std::vector<lr_lora_target> targets;
  for (const std::string& name : names) targets.push_back({name.c_str(), kWide, 2.0f, 0});
  const lr_adapter_options options = {0, LR_BIAS_NONE, optimizer, LR_INIT_DEFAULT, 0, 7};
  lr_adapter* made = nullptr;
  check(side.world.context.get(), lr_adapter_create(side.world.base.get(), targets.data(), static_cast<uint32_t>(targets.size()), &options, &made));
  return AdapterHandle(made);
}

// Three updates of moments that fill several pages, with a state that comes back in between; the state, and a moment as it is read.
std::vector<uint8_t> updates(Side& side, lr_adapter* adapter) {
  const uint64_t sizes[] = {48, 48, 48, 24, 48, 80, 80, 48};  // A, B of each kind, times the rank
  std::vector<uint8_t> state;
  for (uint32_t step = 0; step < 3; ++step) {
    for (uint32_t i = 0; i < 16; ++i) {
      Floats gradient(sizes[i % 8] * kWide);
      for (size_t j = 0; j < gradient.size(); ++j) gradient[j] = static_cast<float>((j * 7 + i * 3 + step) % 23) * 0.01f - 0.1f;
      check(side.world.context.get(), lr_adapter_write(adapter, LR_GRADIENT, i, gradient.data(), gradient.size()));
    }
    side.update(adapter);
    state = side.state(adapter);
    check(side.world.context.get(), lr_adapter_state_import(adapter, state.data(), state.size()));
  }
  for (const uint32_t kind : {LR_ADAM_M, LR_ADAM_V}) {
    for (uint32_t i = 0; i < 16; ++i) {
      Floats moment(sizes[i % 8] * kWide);
      check(side.world.context.get(), lr_adapter_read(adapter, kind, i, moment.data(), moment.size()));
      const auto* bytes = reinterpret_cast<const uint8_t*>(moment.data());
      state.insert(state.end(), bytes, bytes + moment.size() * sizeof(float));
    }
  }
  return state;
}

void moments(uint32_t optimizer, int64_t bytes) {
  const std::string name = optimizer == LR_OPTIMIZER_ADAMW8 ? "AdamW in 8 bits" : "AdamW";
  Side stays(Family::LlamaPlain, "off"), goes(Family::LlamaPlain, "on");
  const AdapterHandle one = wide_adapter(stays, optimizer), other = wide_adapter(goes, optimizer);
  // The first update of another adapter, so that both have the scratch that updates take.
  for (Side* side : {&stays, &goes}) {
    side->train(7);
    side->update(side->adapter.get());
  }
  const int64_t stays_before = stays.memory(), goes_before = goes.memory();
  expect(updates(stays, one.get()) == updates(goes, other.get()), name + ": paged moments change bytes");
  const int64_t less = (stays.memory() - stays_before) - (goes.memory() - goes_before);
  expect(less == bytes, name + ": " + std::to_string(less) + " bytes less on the device, not " + std::to_string(bytes));
}

void settings() {
  ::setenv("LOWRANK_OFFLOAD", "sometimes", 1);
  const lr_context_options options = {1, LR_BACKEND_FAST, LR_ISA_AUTO, LR_COMPUTE_F32};
  lr_context* made = nullptr;
  const lr_status status = lr_context_create(&options, &made);
  const Context context(made);
  expect_status(made, status, LR_INVALID_ARGUMENT, "an unknown setting", "it can be auto, checkpoints, on or off");
}

}  // namespace
}  // namespace lr::test

int main() {
  using namespace lr::test;
  return run_checks([] {
    settings();
    constexpr int64_t kFloats = 3 * kHidden * 4;  // x, attention's output and o_proj, which have the same width
    for (const Family family : {Family::LlamaPlain, Family::Gemma2, Family::Phi3}) checkpoints(family, 0, LR_COMPUTE_F32, kFloats);
    checkpoints(Family::LlamaPlain, 2, LR_COMPUTE_F32, kFloats);
    checkpoints(Family::LlamaPlain, 4, LR_COMPUTE_F32, kFloats);
    // The stream twice, and attention's output with room for a pair; behind an output norm what it reads too.
    checkpoints(Family::LlamaWide, 0, LR_COMPUTE_BF16, 2 * (2 * kHidden + 4 * 64 + 8));
    checkpoints(Family::Gemma2, 1, LR_COMPUTE_BF16, 2 * (3 * kHidden + 48 + 8));
    embedding();
    short_memory();
    // Elements of the pairs on four linear layers, twice; two moments of each, and of 8-bit ones a scale for every 256. Scales begin at
    // multiples of 64 bytes: the 24 of each k_proj's B leave 32.
    constexpr int64_t kElements = 2 * int64_t{kWide} * (48 + 48 + 48 + 24 + 48 + 80 + 80 + 48);
    moments(LR_OPTIMIZER_ADAMW, kElements * 8);
    moments(LR_OPTIMIZER_ADAMW8, kElements * 2 + kElements / 256 * 8 + 4 * 32);
  });
}
