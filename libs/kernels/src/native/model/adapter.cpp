#include "adapter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

#include "error.h"
#include "keys.h"

namespace lr {
namespace {

constexpr int32_t kMaxRank = 512;
constexpr size_t kTensorAlign = 16;  // floats: 64 bytes

}  // namespace

Adapter::Adapter(const Base& base, const std::vector<AdapterTarget>& targets, float dropout, uint64_t seed)
    : base_(base),
      targets_(targets),
      slots_(base.layers().size() * kLinears, -1),
      lowest_layer_(static_cast<int>(base.layers().size())),
      dropout_(dropout) {
  if (targets_.empty()) fail(LR_INVALID_ARGUMENT, "an adapter needs at least one LoRA target");
  if (!(dropout >= 0 && dropout < 1)) fail(LR_INVALID_ARGUMENT, "dropout is %g; it has to be in [0, 1)", dropout);
  for (size_t i = 0; i < targets_.size(); ++i) {
    AdapterTarget& target = targets_[i];
    std::tie(target.layer, target.kind) = base.find_linear(target.name);
    if (target.rank < 1 || target.rank > kMaxRank) {
      fail(LR_INVALID_ARGUMENT, "rank %d of LoRA target \"%s\" is not between 1 and %d", target.rank, target.name.c_str(),
           kMaxRank);
    }
    if (!std::isfinite(target.scale)) fail(LR_INVALID_ARGUMENT, "scale of LoRA target \"%s\" is not finite", target.name.c_str());
    int& slot = slots_[static_cast<size_t>(target.layer * kLinears + target.kind)];
    if (slot >= 0) fail(LR_INVALID_ARGUMENT, "LoRA target \"%s\" is named twice", target.name.c_str());
    slot = static_cast<int>(i);
    lowest_layer_ = std::min(lowest_layer_, target.layer);
    const Weight& weight = base.layers()[static_cast<size_t>(target.layer)].linears[target.kind].weight;
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{target.rank, weight.cols}, {weight.rows, target.rank}}) {
      tensors_.push_back({rows, cols, size_});
      size_ += (tensors_.back().elements() + kTensorAlign - 1) / kTensorAlign * kTensorAlign;
    }
  }
  prepare(Array::Weight);
  initialise(seed);
}

void Adapter::initialise(uint64_t seed) {
  float* weights = array(Array::Weight);
  for (size_t i = 0; i < tensors_.size(); i += 2) {
    const AdapterTensor& a = tensors_[i];
    const float bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.cols)));
    const uint64_t key = stream_key(seed, i / 2);
    for (size_t j = 0; j < a.elements(); ++j) weights[a.at + j] = bound * (2.0f * philox_uniform(key, j) - 1.0f);
  }
}

void Adapter::prepare(Array which) {
  Buffer<float>& buffer = arrays_[static_cast<int>(which)];
  if (!buffer.empty()) return;
  buffer = Buffer<float>(base_.memory(), size_);
  buffer.zero();
}

float* Adapter::array(Array which) { return arrays_[static_cast<int>(which)].data(); }

void Adapter::prepare_gradients() { prepare(Array::Gradient); }

void Adapter::zero_gradients() { arrays_[static_cast<int>(Array::Gradient)].zero(); }

void Adapter::poison_gradients() { array(Array::Gradient)[0] = std::numeric_limits<float>::quiet_NaN(); }

Lora Adapter::lora(int layer, int kind, bool training, uint64_t dropout_seed) {
  const auto target = static_cast<size_t>(slot(layer, kind));
  const AdapterTensor& a = tensors_[2 * target];
  const AdapterTensor& b = tensors_[2 * target + 1];
  Lora lora = {};
  lora.rank = targets_[target].rank;
  lora.scale = targets_[target].scale;
  lora.a = array(Array::Weight) + a.at;
  lora.b = array(Array::Weight) + b.at;
  if (training) {
    lora.dropout = dropout_;
    lora.dropout_key = stream_key(dropout_seed, static_cast<uint64_t>(layer * kLinears + kind));
    lora.grad_a = array(Array::Gradient) + a.at;
    lora.grad_b = array(Array::Gradient) + b.at;
  }
  return lora;
}

const AdapterTensor& Adapter::checked_tensor(uint32_t tensor, uint64_t count) const {
  if (tensor >= tensors_.size()) fail(LR_INVALID_ARGUMENT, "tensor %u of an adapter with %zu", tensor, tensors_.size());
  if (count != tensors_[tensor].elements()) {
    fail(LR_INVALID_ARGUMENT, "tensor %u has %zu elements, not %llu", tensor, tensors_[tensor].elements(),
         static_cast<unsigned long long>(count));
  }
  return tensors_[tensor];
}

void Adapter::read(Array which, uint32_t tensor, float* out, uint64_t count) {
  const AdapterTensor& t = checked_tensor(tensor, count);
  const float* from = array(which);
  if (from == nullptr) {
    std::fill(out, out + count, 0.0f);
  } else {
    std::copy(from + t.at, from + t.at + count, out);
  }
}

void Adapter::write(Array which, uint32_t tensor, const float* values, uint64_t count) {
  const AdapterTensor& t = checked_tensor(tensor, count);
  prepare(which);
  std::copy(values, values + count, array(which) + t.at);
}

float Adapter::optimizer_step(const Run& run, const Ops& ops, const lr_adamw& s) {
  for (const Array which : {Array::Gradient, Array::AdamM, Array::AdamV}) prepare(which);
  float* gradients = array(Array::Gradient);
  const auto n = static_cast<int64_t>(size_);
  const double norm = std::sqrt(ops.sum_squares(run, gradients, n));
  if (!std::isfinite(norm)) {
    zero_gradients();
    fail(LR_NOT_FINITE, "the gradient is not finite: the update was discarded");
  }
  const double factor = s.max_grad_norm > 0 ? std::min(1.0, static_cast<double>(s.max_grad_norm) / (norm + 1e-6)) : 1.0;
  ++adam_step_;
  const auto step = static_cast<double>(adam_step_);
  ops.adamw(run, array(Array::Weight), gradients, array(Array::AdamM), array(Array::AdamV), n, static_cast<float>(factor),
            s.learning_rate, s.beta1, s.beta2, s.epsilon, s.weight_decay,
            static_cast<float>(1 - std::pow(static_cast<double>(s.beta1), step)),
            static_cast<float>(1 - std::pow(static_cast<double>(s.beta2), step)));
  zero_gradients();
  return static_cast<float>(norm);
}

}  // namespace lr
