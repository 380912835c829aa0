// Gradients of an adapter whose micro-batches are spread over several devices.
#include <algorithm>

#include "adapter.h"

namespace lr {
namespace {

// Floats of each rank that travel at a time: enough for the speed of what connects them, little beside an adapter.
constexpr size_t kPiece = size_t{1} << 20;

}  // namespace

void Adapter::sum_gradients(const Run& run, const Ops& ops, Group& group, bool last, const CancelFlag* cancel) {
  prepare_gradients();
  const size_t ranks = static_cast<size_t>(group.size()), most = std::min(kPiece, trained_size_);
  const size_t mark = run.scratch->mark();
  auto* all = static_cast<float*>(run.scratch->take(ranks * most * sizeof(float)));
  try {
    for (size_t at = 0; at < trained_size_; at += most) {
      const size_t count = std::min(most, trained_size_ - at);
      float* own = gradients_.data() + at;
      group.gather(own, all, static_cast<int64_t>(count), cancel);
      if (group.rank() > 0 && !last) continue;
      for (size_t rank = 1; rank < ranks; ++rank)
        ops.add(run, rank == 1 ? all : own, all + rank * count, own, static_cast<int64_t>(count));
    }
    if (group.rank() > 0 && !last) gradients_.zero();
  } catch (...) {  // they hold a part of a sum, which no update may use
    poison_gradients();
    throw;
  }
  run.scratch->release(mark);
}

}  // namespace lr
