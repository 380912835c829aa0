// How an adapter starts: A random and B zero, or PiSSA's principal pair; magnitudes and biases as the base has them.
#include <algorithm>
#include <cmath>

#include "adapter.h"
#include "keys.h"
#include "pissa.h"

namespace lr {
namespace {

// Kaiming-uniform with a = √5, as PEFT: bound 1 / √in.
void fill_uniform(uint64_t key, const AdapterTensor& tensor, float* values) {
  const float bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(tensor.cols)));
  for (size_t i = 0; i < tensor.elements(); ++i) values[i] = bound * (2.0f * philox_uniform(key, i) - 1.0f);
}

}  // namespace

void Adapter::initialise(Runtime& runtime, const lr_adapter_options& options) {
  for (size_t i = 0; i < targets_.size(); ++i) {
    const AdapterTarget& t = targets_[i];
    const Slot& s = slot(t.layer, t.kind);
    const Weight& w = linear(t.layer, t.kind).weight;
    const uint64_t key = stream_key(options.seed, i);
    if (options.init == LR_INIT_PISSA) {
      principal_pair(runtime, w, t.rank, t.scale, options.init_iterations, key, weight(s.a), weight(s.a + 1));
      std::copy_n(weight(s.a), t.rank * w.cols, weight(s.initial_a));
      std::copy_n(weight(s.a + 1), w.rows * t.rank, weight(s.initial_a + 1));
    } else {
      fill_uniform(key, tensors_[static_cast<size_t>(s.a)], weight(s.a));
    }
    if (s.magnitude >= 0) runtime.ops.row_norms(runtime.run, w, Lora{}, weight(s.magnitude));
  }
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const AdapterTensor& tensor = tensors_[i];
    if (tensor.role == Role::Bias) std::copy_n(linear(tensor.layer, tensor.kind).bias, tensor.rows, weight(static_cast<int>(i)));
  }
}

}  // namespace lr
