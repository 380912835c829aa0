#include "use_base.h"

#include <cstdlib>

#include "model/base.h"
#include "model/error.h"
#include "model/step.h"
#include "pool.h"
#include "scratch.h"

namespace {

using namespace lr;

constexpr int64_t kMostElements = 1 << 16, kMostComputed = 1 << 15;

struct World {
  MemoryCounter memory;
  std::unique_ptr<Pool> pool = make_pool(1);
  BlockScratch scratch{memory};
  Runtime runtime{reference_ops(), {pool.get(), &scratch, Compute::F32}, memory};
};

// All values of a weight, or the first and the last of a large one.
void read(const Runtime& runtime, const Weight& weight) {
  if (weight.data == nullptr) return;  // a fused model's unused place
  const int64_t elements = weight.rows * weight.cols;
  if (elements <= kMostElements) {
    std::vector<float> values(static_cast<size_t>(elements));
    runtime.ops.dequantize(runtime.run, weight, values.data());
    return;
  }
  const WeightLayout layout(weight.storage, weight.scales.absmax == nullptr, weight.rows, weight.cols);
  const auto* bytes = static_cast<const volatile uint8_t*>(weight.data);
  (void)bytes[0];
  (void)bytes[layout.bytes - 1];
}

// Logits of two short sequences.
void compute(Runtime& runtime, Base& base) {
  const auto vocab = static_cast<int32_t>(base.config().vocab);
  const int32_t first = base.config().max_positions > 1 ? 2 : 1, all = first + 1;
  const int32_t tokens[] = {0, vocab - 1, vocab / 2}, starts[] = {0, first, all};
  const lr_batch batch = {tokens, nullptr, starts, static_cast<uint32_t>(all), 2};
  std::vector<float> logits(static_cast<size_t>(all) * static_cast<size_t>(vocab));
  compute_logits(runtime, base, batch, {{nullptr, 0, all, 0, 0, 0, 0}}, logits.data());
}

}  // namespace

void use_base(const std::string& path) {
  static World world;
  Base base(path, world.memory, world.memory);
  if (base.info().empty()) std::abort();
  int64_t elements = base.embedding().rows * base.embedding().cols;
  read(world.runtime, base.embedding());
  read(world.runtime, base.head());
  for (const Layer& layer : base.layers()) {
    for (const Linear& linear : layer.linears) {
      read(world.runtime, linear.weight);
      elements += linear.weight.rows * linear.weight.cols;
    }
  }
  if (elements <= kMostComputed) compute(world.runtime, base);
}
