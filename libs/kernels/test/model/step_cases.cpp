// Steps over packed batches: no cross-talk, the same bytes however they are computed, and bad batches refused.
#include <cmath>
#include <limits>

#include "ops.h"
#include "tiny_model.h"

namespace lr::test {
namespace {

struct Outcome {
  std::vector<lr_loss> losses;
  std::vector<Floats> gradients;  // of each adapter, all tensors one after the other
};

// One training step from zero gradients.
Outcome train(World& world, const Packed& packed, const std::vector<lr_rows>& rows, uint32_t checkpointing, uint32_t chunk,
              const std::vector<std::pair<lr_adapter*, std::vector<uint64_t>>>& adapters) {
  Outcome outcome;
  outcome.losses.resize(rows.size());
  for (const auto& [adapter, sizes] : adapters) check(world.context.get(), lr_adapter_zero_gradients(adapter));
  const lr_batch batch = packed.batch();
  const lr_step_options options = {checkpointing, chunk};
  check(world.context.get(), lr_train_step(world.base.get(), &batch, rows.data(), static_cast<uint32_t>(rows.size()), &options, nullptr,
                                           outcome.losses.data()));
  for (const auto& [adapter, sizes] : adapters) outcome.gradients.push_back(read_all(world, adapter, LR_GRADIENT, sizes));
  return outcome;
}

Outcome train_one(World& world, const Packed& packed, lr_adapter* adapter, uint32_t rank, uint32_t checkpointing = 1, uint32_t chunk = 0) {
  return train(world, packed, {{adapter, 0, packed.size(), 0.1f, 77}}, checkpointing, chunk, {{adapter, adapter_sizes(kAllLinears, rank)}});
}

bool same(const Outcome& a, const Outcome& b) {
  for (size_t i = 0; i < a.losses.size(); ++i) {
    if (a.losses[i].sum != b.losses[i].sum || a.losses[i].tokens != b.losses[i].tokens) return false;
  }
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    if (!same_bytes(a.gradients[i], b.gradients[i])) return false;
  }
  return a.losses.size() == b.losses.size() && a.gradients.size() == b.gradients.size();
}

void packed_is_separate() {
  World world(Family::Qwen2Tied);
  AdapterHandle adapter = world.adapter(kAllLinears, 4);
  const Packed packed({5, 11, 2});
  const Outcome together = train_one(world, packed, adapter.get(), 4);
  Floats sum(together.gradients[0].size(), 0.0f);
  double loss = 0;
  uint64_t tokens = 0;
  for (size_t s = 0; s < 3; ++s) {
    Packed alone({packed.starts[s + 1] - packed.starts[s]});
    alone.tokens.assign(packed.tokens.begin() + packed.starts[s], packed.tokens.begin() + packed.starts[s + 1]);
    alone.targets.assign(packed.targets.begin() + packed.starts[s], packed.targets.begin() + packed.starts[s + 1]);
    const Outcome one = train_one(world, alone, adapter.get(), 4);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += one.gradients[0][i];
    loss += one.losses[0].sum;
    tokens += one.losses[0].tokens;
  }
  expect(std::fabs(loss - together.losses[0].sum) < 1e-4 && tokens == together.losses[0].tokens, "packed loss is that of the sequences alone");
  expect(distance(together.gradients[0], sum) < 1e-4, "packed gradients are those of the sequences alone");
}

void options_change_nothing() {
  World world(Family::LlamaBiased);
  const Packed packed({9, 3, 14});
  for (const float dropout : {0.0f, 0.3f}) {
    AdapterHandle adapter = world.adapter(kAllLinears, 4, dropout);
    const Outcome want = train_one(world, packed, adapter.get(), 4, 0);
    const std::string label = dropout > 0 ? " with dropout" : "";
    expect(same(train_one(world, packed, adapter.get(), 4, 1), want), "checkpointing changes no byte" + label);
    expect(distance(train_one(world, packed, adapter.get(), 4, 1, 5).gradients[0], want.gradients[0]) < 1e-5, "nor does the loss chunk" + label);
    expect(same(train_one(world, packed, adapter.get(), 4, 0), want), "a step repeats to the byte" + label);
  }
}

void threads_change_nothing() {
  for (const uint32_t compute : {LR_COMPUTE_F32, LR_COMPUTE_BF16}) {
    std::vector<Outcome> outcomes;
    for (const uint32_t threads : {1u, 2u, 3u}) {
      World world(Family::LlamaPlain, make_context(LR_BACKEND_FAST, threads, compute));
      AdapterHandle adapter = world.adapter(kAllLinears, 5, 0.2f);
      outcomes.push_back(train_one(world, Packed({9, 30, 17, 2}), adapter.get(), 5));
    }
    expect(same(outcomes[1], outcomes[0]) && same(outcomes[2], outcomes[0]), "1, 2 and 3 threads give the same bytes");
  }
}

void backends_agree() {
  const Packed packed({9, 30, 17, 2});
  World reference;
  AdapterHandle wanted = reference.adapter(kAllLinears, 5, 0.2f);
  const Outcome want = train_one(reference, packed, wanted.get(), 5);
  for (uint32_t isa = LR_ISA_SCALAR; isa <= LR_ISA_AMX_BF16; ++isa) {
    const lr_context_options options = {2, LR_BACKEND_FAST, isa, LR_COMPUTE_F32};
    lr_context* raw = nullptr;
    const lr_status status = lr_context_create(&options, &raw);
    Context context(raw);
    if (status == LR_INVALID_ARGUMENT) continue;  // this machine lacks it
    World world(Family::LlamaPlain, std::move(context));
    AdapterHandle adapter = world.adapter(kAllLinears, 5, 0.2f);
    const Outcome got = train_one(world, packed, adapter.get(), 5);
    expect(std::fabs(got.losses[0].sum - want.losses[0].sum) < 1e-4 * want.losses[0].sum, "loss of ISA " + std::to_string(isa));
    expect(distance(got.gradients[0], want.gradients[0]) < 1e-3, "gradients of ISA " + std::to_string(isa));
  }
}

// Several adapters in one step: each gets what it gets alone, other ranks and layers beside it or not, however few its tokens.
void adapters_side_by_side(uint32_t isa, uint32_t compute) {
  World world(Family::LlamaPlain, make_context(LR_BACKEND_FAST, 2, compute, isa));
  AdapterHandle first = world.adapter(kAllLinears, 4, 0.1f);
  AdapterHandle second = world.adapter({"q_proj", "down_proj"}, 9, 0.1f, {1, 2}, false, 8);
  const auto first_sizes = adapter_sizes(kAllLinears, 4), second_sizes = adapter_sizes({"q_proj", "down_proj"}, 9, 2);
  const Packed packed({6, 8, 5, 3});
  const Outcome both = train(world, packed, {{first.get(), 0, 14, 0.1f, 5}, {nullptr, 14, 19, 1, 0}, {second.get(), 19, 22, 0.2f, 6}}, 1, 0,
                             {{first.get(), first_sizes}, {second.get(), second_sizes}});
  const auto part = [&](size_t from, size_t to) {
    Packed some({});
    for (size_t s = from; s < to; ++s) some.starts.push_back(packed.starts[s + 1] - packed.starts[from]);
    some.tokens.assign(packed.tokens.begin() + packed.starts[from], packed.tokens.begin() + packed.starts[to]);
    some.targets.assign(packed.targets.begin() + packed.starts[from], packed.targets.begin() + packed.starts[to]);
    return some;
  };
  const std::string what = "isa " + std::to_string(isa) + (compute == LR_COMPUTE_BF16 ? ", bf16" : "");
  const Outcome one = train(world, part(0, 2), {{first.get(), 0, 14, 0.1f, 5}}, 1, 0, {{first.get(), first_sizes}});
  const Outcome two = train(world, part(3, 4), {{second.get(), 0, 3, 0.2f, 6}}, 1, 0, {{second.get(), second_sizes}});
  expect(same_bytes(both.gradients[0], one.gradients[0]), "the first adapter gets the same bytes alone, " + what);
  expect(same_bytes(both.gradients[1], two.gradients[0]), "the second adapter gets the same bytes alone, " + what);
  expect(both.losses[0].sum == one.losses[0].sum && both.losses[2].sum == two.losses[0].sum, "and the same losses, " + what);
}

// Backward stops below the lowest layer with LoRA; what it leaves out must not change the gradients above.
void partial_targets() {
  World world;
  const Packed packed({6, 9});
  AdapterHandle full = world.adapter(kAllLinears, 3);
  const Floats all = train_one(world, packed, full.get(), 3).gradients[0];
  const auto sizes = adapter_sizes(kAllLinears, 3);
  for (size_t kind = 0; kind < kAllLinears.size(); ++kind) {
    for (const int layer : {0, 1, 2}) {
      // All other pairs of the full adapter contribute to the forward pass, so only a lone pair with the same values would
      // differ; a fresh adapter (B zero everywhere) has gradients in B alone, which do not see the other pairs.
      AdapterHandle lone = world.adapter({kAllLinears[kind]}, 3, 0, {layer}, true);
      AdapterHandle fresh = world.adapter(kAllLinears, 3, 0, {}, true);
      const size_t target = static_cast<size_t>(layer) * kAllLinears.size() + kind;
      const Floats a = read_tensor(world, fresh.get(), LR_WEIGHT, static_cast<uint32_t>(2 * target), sizes[2 * target]);
      check(world.context.get(), lr_adapter_write(lone.get(), LR_WEIGHT, 0, a.data(), a.size()));
      for (const uint32_t checkpointing : {0u, 1u}) {
        train(world, packed, {{fresh.get(), 0, 15, 0.1f, 0}}, checkpointing, 0, {{fresh.get(), {}}});
        train(world, packed, {{lone.get(), 0, 15, 0.1f, 0}}, checkpointing, 0, {{lone.get(), {}}});
        const uint64_t size = sizes[2 * target + 1];
        const Floats want = read_tensor(world, fresh.get(), LR_GRADIENT, static_cast<uint32_t>(2 * target + 1), size);
        expect(same_bytes(read_tensor(world, lone.get(), LR_GRADIENT, 1, size), want),
               "LoRA on " + kAllLinears[kind] + " of layer " + std::to_string(layer) + " alone");
      }
    }
  }
  expect(all.size() > 0 && std::isfinite(all[0]), "the full adapter has gradients");
}

void bad_batches() {
  World world;
  AdapterHandle adapter = world.adapter({"q_proj"}, 2);
  World other;
  AdapterHandle foreign = other.adapter({"q_proj"}, 2);
  const lr_step_options options = {1, 0};
  lr_loss losses[3];
  const auto refused = [&](Packed packed, std::vector<lr_rows> rows, const std::string& mention) {
    const lr_batch batch = packed.batch();
    const auto n = static_cast<uint32_t>(rows.size());
    expect_status(world.context.get(), lr_train_step(world.base.get(), &batch, rows.data(), n, &options, nullptr, losses),
                  LR_INVALID_ARGUMENT, "training", mention);
    expect_status(world.context.get(), lr_eval_step(world.base.get(), &batch, rows.data(), n, nullptr, losses), LR_INVALID_ARGUMENT,
                  "evaluation", mention);
  };
  const auto edited = [](const auto& edit) {
    Packed packed({4, 6});
    edit(packed);
    return packed;
  };
  const std::vector<lr_rows> whole = {{adapter.get(), 0, 10, 1, 0}};
  refused(edited([](Packed& p) { p.tokens[3] = 97; }), whole, "tokens[3] is 97");
  refused(edited([](Packed& p) { p.tokens[3] = -100; }), whole, "tokens[3] is -100");
  refused(edited([](Packed& p) { p.targets[0] = -1; }), whole, "targets[0] is -1");
  refused(edited([](Packed& p) { p.starts[0] = 1; }), whole, "begin with 0");
  refused(edited([](Packed& p) { p.starts[2] = 11; }), whole, "end with the 10");
  refused(edited([](Packed& p) { p.starts[1] = 0; }), whole, "starts[1] does not come after");
  refused(edited([](Packed& p) { p.starts[1] = -7; }), whole, "starts[1] does not come after");
  refused(Packed({65}), {{adapter.get(), 0, 65, 1, 0}}, "the model has 64 positions");
  const Packed fine({4, 6});
  refused(fine, {}, "no rows");
  refused(fine, {{adapter.get(), 0, 5, 1, 0}, {nullptr, 5, 10, 1, 0}}, "no sequence starts");
  refused(fine, {{adapter.get(), 0, 4, 1, 0}}, "token 4 is in no entry");
  refused(fine, {{adapter.get(), 4, 10, 1, 0}}, "token 0 is in no entry");
  refused(fine, {{adapter.get(), 0, 10, 1, 0}, {adapter.get(), 4, 10, 1, 0}}, "two entries");
  refused(fine, {{adapter.get(), 4, 4, 1, 0}}, "covers tokens 4 to 4");
  refused(fine, {{adapter.get(), 0, 11, 1, 0}}, "covers tokens 0 to 11");
  refused(fine, {{foreign.get(), 0, 10, 1, 0}}, "another base");
  refused(fine, {{adapter.get(), 0, 10, std::numeric_limits<float>::quiet_NaN(), 0}}, "loss_scale");
  expect_status(world.context.get(), lr_train_step(world.base.get(), nullptr, whole.data(), 1, &options, nullptr, losses),
                LR_INVALID_ARGUMENT, "no batch", "batch is null");
  expect(lr_train_step(nullptr, nullptr, nullptr, 0, nullptr, nullptr, nullptr) == LR_INVALID_ARGUMENT, "no base");
}

void cancelling() {
  World world;
  AdapterHandle adapter = world.adapter(kAllLinears, 2);
  lr_cancel* raw = nullptr;
  check(world.context.get(), lr_cancel_create(&raw));
  const Cancel cancel(raw);
  lr_cancel_set(cancel.get());
  const Packed packed({8});
  const lr_batch batch = packed.batch();
  const lr_rows rows = {adapter.get(), 0, 8, 1, 0};
  const lr_step_options options = {1, 0};
  lr_loss loss;
  expect_status(world.context.get(), lr_train_step(world.base.get(), &batch, &rows, 1, &options, cancel.get(), &loss), LR_CANCELLED,
                "a cancelled step");
  expect_status(world.context.get(), lr_eval_step(world.base.get(), &batch, &rows, 1, cancel.get(), &loss), LR_CANCELLED,
                "a cancelled evaluation");
}

// A later step of the same size allocates nothing, and everything is given back in the end.
void memory_is_counted() {
  Context context = make_context(LR_BACKEND_FAST, 2);
  lr_context* raw = context.get();
  uint64_t before = 0, first = 0, second = 0, peak = 0;
  World world(Family::LlamaPlain, std::move(context));
  AdapterHandle adapter = world.adapter(kAllLinears, 4);
  const Packed packed({20, 30});
  check(raw, lr_context_memory(raw, &before, &peak, 1));
  train_one(world, packed, adapter.get(), 4);
  check(raw, lr_context_memory(raw, &first, &peak, 1));
  train_one(world, packed, adapter.get(), 4);
  check(raw, lr_context_memory(raw, &second, &peak, 0));
  expect(first > before && second == first, "a second step of the same size holds no more memory");
  expect(peak == second, "and needs no more while it runs");
}

}  // namespace

void step_cases() {
  packed_is_separate();
  options_change_nothing();
  threads_change_nothing();
  backends_agree();
  for (uint32_t isa = LR_ISA_AVX2; static_cast<int>(isa) <= lr::best_isa(); ++isa)
    for (const uint32_t compute : {LR_COMPUTE_F32, LR_COMPUTE_BF16}) adapters_side_by_side(isa, compute);
  partial_targets();
  bad_batches();
  cancelling();
  memory_is_counted();
}

}  // namespace lr::test
