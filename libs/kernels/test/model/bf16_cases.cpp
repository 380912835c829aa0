// Steps that compute in bfloat16, of every architecture on every instruction set: as near to floats as that is, and the same bytes with
// checkpointing, at any number of threads, and for an adapter alone or beside others.
#include <cmath>

#include "ops.h"
#include "tiny_model.h"

namespace lr::test {
namespace {

constexpr uint32_t kRank = 4;

struct Trained {
  std::vector<lr_loss> losses;
  Floats gradients;  // of the first rows' adapter
};

Trained train(World& world, const std::vector<std::string>& linears, const Packed& packed, const std::vector<lr_rows>& rows, uint32_t checkpointing) {
  Trained out;
  out.losses.resize(rows.size());
  for (const lr_rows& row : rows) check(world.context.get(), lr_adapter_zero_gradients(row.adapter));
  const lr_batch batch = packed.batch();
  const lr_step_options options = {checkpointing, 7};
  check(world.context.get(), lr_train_step(world.base.get(), &batch, rows.data(), static_cast<uint32_t>(rows.size()), &options, nullptr,
                                           out.losses.data()));
  out.gradients = read_all(world, rows.front().adapter, LR_GRADIENT, adapter_sizes(linears, kRank, kLayers, world.head_dim));
  return out;
}

void steps(Family family, uint32_t isa) {
  const std::string what = std::string(name_of(family)) + " in bf16, isa " + std::to_string(isa);
  const std::vector<std::string>& linears = linears_of(family);
  const Packed packed({8, 21, 9});  // of fewer tokens a single one decides how far gradients are off
  const auto rows_of = [&](lr_adapter* adapter) { return std::vector<lr_rows>{{adapter, 0, packed.size(), 0.1f, 77}}; };
  const auto context = [&](uint32_t threads) { return make_context(LR_BACKEND_FAST, threads, LR_COMPUTE_BF16, isa); };
  World exact(family), world(family, context(2)), alone(family, context(1));
  const AdapterHandle wanted = exact.adapter(linears, kRank), adapter = world.adapter(linears, kRank), other = alone.adapter(linears, kRank);
  const Trained want = train(exact, linears, packed, rows_of(wanted.get()), 1), got = train(world, linears, packed, rows_of(adapter.get()), 1);
  expect(std::fabs(got.losses[0].sum - want.losses[0].sum) < 1e-2 * want.losses[0].sum, what + ": loss");
  const double error = error_of(got.gradients, want.gradients);
  expect(error < 0.06, what + ": gradients are off by " + std::to_string(error));
  expect(same_bytes(train(world, linears, packed, rows_of(adapter.get()), 0).gradients, got.gradients), what + ": gradients without checkpointing");
  expect(same_bytes(train(alone, linears, packed, rows_of(other.get()), 1).gradients, got.gradients), what + ": gradients with one thread");

  // The first two sequences beside another adapter on the third.
  const AdapterHandle second = world.adapter({"down_proj"}, 9, 0.1f, {1}, false, 8);
  const Packed first({8, 21});  // whose tokens are the same
  const uint32_t end = first.size();
  const lr_rows own = {adapter.get(), 0, end, 0.1f, 77};
  const Trained both = train(world, linears, packed, {own, {second.get(), end, packed.size(), 0.1f, 78}}, 1);
  const Trained one = train(world, linears, first, {own}, 1);
  expect(both.losses[0].sum == one.losses[0].sum && same_bytes(both.gradients, one.gradients), what + ": an adapter gets the same bytes alone");
}

}  // namespace

void bf16_cases() {
  for (uint32_t isa = LR_ISA_AVX2; static_cast<int>(isa) <= best_isa(); ++isa) {
    for (const Family family : kFamilies) steps(family, isa);
    for (const Family family : {Family::LlamaWide, Family::Qwen3Wide}) steps(family, isa);
  }
}

}  // namespace lr::test
