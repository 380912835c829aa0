// How an adapter starts: A random and B zero, or PiSSA's principal pair; magnitudes and biases as the base has them.
#include <algorithm>
#include <cmath>

#include "adapter.h"
#include "keys.h"
#include "pissa.h"

namespace lr {
namespace {

// Kaiming-uniform with a = √5, as PEFT: bound 1 / √in.
void fill_uniform(uint64_t key, const AdapterTensor& tensor, Buffer<float>& values) {
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
      const auto at = [this](int tensor) { return tensors_[static_cast<size_t>(tensor)].at; };
      const size_t a_size = tensors_[static_cast<size_t>(s.a)].elements(), b_size = tensors_[static_cast<size_t>(s.a + 1)].elements();
      Buffer<float> a(runtime.host().memory, a_size), b(runtime.host().memory, b_size);
      principal_pair(runtime.host(), base_.on_host(w), t.rank, t.scale, options.init_iterations, key, a.data(), b.data());
      for (const int first : {s.a, s.initial_a}) {
        weights_.write(at(first), a.data(), a_size);
        weights_.write(at(first + 1), b.data(), b_size);
      }
    } else {
      const AdapterTensor& tensor = tensors_[static_cast<size_t>(s.a)];
      Buffer<float> a(runtime.host().memory, tensor.elements());
      fill_uniform(key, tensor, a);
      write_weight(tensor, a.data());
    }
    if (s.magnitude >= 0) runtime.ops.row_norms(runtime.run, w, Lora{}, weight(s.magnitude));
  }
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const AdapterTensor& tensor = tensors_[i];
    if (tensor.role != Role::Bias) continue;
    base_.memory().copy(weight(static_cast<int>(i)), linear(tensor.layer, tensor.kind).bias, tensor.elements() * sizeof(float));
  }
}

}  // namespace lr
