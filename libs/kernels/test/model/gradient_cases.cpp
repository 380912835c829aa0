// The gradient of every LoRA matrix against central differences of the loss, through the whole decoder.
#include <cmath>

#include "tiny_model.h"

namespace lr::test {
namespace {

double loss_of(World& world, lr_adapter* adapter, const Packed& packed) {
  const lr_rows rows = {adapter, 0, packed.size(), 1, 0};
  const lr_batch batch = packed.batch();
  lr_loss loss;
  check(world.context.get(), lr_eval_step(world.base.get(), &batch, &rows, 1, nullptr, &loss));
  return loss.sum;
}

// Slope along the gradient's own direction has to be its length; any error in it shows, as the direction has all of it.
void check_tensor(World& world, lr_adapter* adapter, const Packed& packed, uint32_t index, const Floats& gradient,
                  const std::string& what) {
  const Floats weights = read_tensor(world, adapter, LR_WEIGHT, index, gradient.size());
  double norm = 0;
  for (const float g : gradient) norm += double{g} * double{g};
  norm = std::sqrt(norm);
  expect(norm > 1e-3, what + ": the gradient is not zero");
  const double step = 0.02 / norm;  // changes the loss by about 0.02 each way
  const auto loss_at = [&](double sign) {
    Floats moved = weights;
    for (size_t i = 0; i < moved.size(); ++i) moved[i] += static_cast<float>(sign * step * double{gradient[i]} / norm);
    check(world.context.get(), lr_adapter_write(adapter, LR_WEIGHT, index, moved.data(), moved.size()));
    return loss_of(world, adapter, packed);
  };
  const double slope = (loss_at(1) - loss_at(-1)) / (2 * step);
  check(world.context.get(), lr_adapter_write(adapter, LR_WEIGHT, index, weights.data(), weights.size()));
  expect(std::fabs(slope - norm) < 5e-3 * norm, what + ": slope " + std::to_string(slope) + ", gradient " + std::to_string(norm));
}

void check_family(Family family) {
  const std::string name = name_of(family);
  World world(family);
  AdapterHandle adapter = world.adapter(linears_of(family), 3);
  const Packed packed({7, 1, 12});
  const lr_rows rows = {adapter.get(), 0, packed.size(), 1, 0};
  const lr_batch batch = packed.batch();
  const std::vector<uint64_t> sizes = adapter_sizes(linears_of(family), 3);
  Floats kept;
  for (const uint32_t checkpointing : {0u, 1u}) {
    const lr_step_options options = {checkpointing, 0};
    lr_loss loss;
    check(world.context.get(), lr_adapter_zero_gradients(adapter.get()));
    check(world.context.get(), lr_train_step(world.base.get(), &batch, &rows, 1, &options, nullptr, &loss));
    expect(std::fabs(loss.sum - loss_of(world, adapter.get(), packed)) < 1e-9 * loss.sum, name + ": training and evaluation see one loss");
    const Floats all = read_all(world, adapter.get(), LR_GRADIENT, sizes);
    if (checkpointing == 0) kept = all;
    expect(same_bytes(all, kept), name + ": recomputed activations give the same gradients");
  }
  for (uint32_t i = 0; i < sizes.size(); ++i) {
    const Floats gradient = read_tensor(world, adapter.get(), LR_GRADIENT, i, sizes[i]);
    check_tensor(world, adapter.get(), packed, i, gradient, name + ", tensor " + std::to_string(i));
  }
}

}  // namespace

void gradient_cases() {
  for (const Family family : kFamilies) check_family(family);
}

}  // namespace lr::test
