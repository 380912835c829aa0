#include "adapter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "../bf16.h"
#include "error.h"
#include "json.h"
#include "keys.h"

namespace lr {
namespace {

constexpr int32_t kMaxRank = 512;
constexpr size_t kTensorAlign = 16;  // floats: 64 bytes

void check_options(const lr_adapter_options& o, const std::vector<AdapterTarget>& targets) {
  if (!(o.dropout >= 0 && o.dropout < 1)) fail(LR_INVALID_ARGUMENT, "dropout is %g; it has to be in [0, 1)", o.dropout);
  if (o.bias > LR_BIAS_ALL) fail(LR_INVALID_ARGUMENT, "unknown lr_bias %u", o.bias);
  if (o.optimizer > LR_OPTIMIZER_ADAMW8) fail(LR_INVALID_ARGUMENT, "unknown lr_optimizer %u", o.optimizer);
  if (o.init > LR_INIT_PISSA) fail(LR_INVALID_ARGUMENT, "unknown lr_init %u", o.init);
  if (o.init_iterations > 1000) fail(LR_INVALID_ARGUMENT, "init_iterations is %u; 1000 is the most", o.init_iterations);
  if (targets.empty()) fail(LR_INVALID_ARGUMENT, "an adapter needs at least one LoRA target");
}

// A target alone, and with PiSSA, which is published with twice the rank and whose pair spans singular vectors of the weight.
void check_target(const AdapterTarget& t, const Weight& weight, bool pissa) {
  const char* name = t.name.c_str();
  const int32_t most = pissa ? kMaxRank / 2 : kMaxRank;
  if (t.rank < 1 || t.rank > most) {
    fail(LR_INVALID_ARGUMENT, "rank %d of LoRA target \"%s\" is not between 1 and %d", t.rank, name, most);
  }
  if (!std::isfinite(t.scale)) fail(LR_INVALID_ARGUMENT, "scale of LoRA target \"%s\" is not finite", name);
  if (!pissa) return;
  if (t.dora) fail(LR_INVALID_ARGUMENT, "LoRA target \"%s\" asks for DoRA and PiSSA; choose one of them", name);
  if (t.bf16) fail(LR_INVALID_ARGUMENT, "LoRA target \"%s\" asks for bfloat16 and PiSSA, which is a start of training", name);
  if (!(t.scale > 0)) fail(LR_INVALID_ARGUMENT, "PiSSA needs a scale above 0 for LoRA target \"%s\"", name);
  if (t.rank > std::min(weight.rows, weight.cols)) {
    fail(LR_INVALID_ARGUMENT, "rank %d of LoRA target \"%s\" is more than the weight has singular values", t.rank, name);
  }
}

}  // namespace

const char* role_name(Role role) {
  constexpr const char* kNames[] = {"lora_A", "lora_B", "lora_magnitude_vector", "bias", "initial_A", "initial_B"};
  return kNames[static_cast<size_t>(role)];
}

Adapter::Adapter(Runtime& runtime, const Base& base, const std::vector<AdapterTarget>& targets, const lr_adapter_options& options)
    : base_(base),
      targets_(targets),
      slots_(base.layers().size() * kLinears),
      lowest_layer_(static_cast<int>(base.layers().size())),
      dropout_(options.dropout) {
  check_options(options, targets_);
  for (AdapterTarget& target : targets_) {
    std::tie(target.layer, target.kind) = base.find_linear(target.name);
    check_target(target, linear(target.layer, target.kind).weight, options.init == LR_INIT_PISSA);
  }
  place_targets(runtime.ops.bf16_pairs);
  place_biases(options.bias);
  trained_size_ = size_;
  for (const AdapterTensor& tensor : tensors_) moments_.add(tensor.elements(), options.optimizer == LR_OPTIMIZER_ADAMW8);
  if (options.init == LR_INIT_PISSA) place_initial_pairs();
  weights_ = Buffer<float>(base_.memory(), size_);
  weights_.zero();
  norms_ = Buffer<float>(base_.memory(), 3 * norms_size_);
  initialise(runtime, options);
}

int Adapter::add_tensor(Role role, int layer, int kind, int64_t rows, int64_t cols, bool bf16) {
  tensors_.push_back({role, layer, kind, rows, cols, bf16, size_});
  const size_t in_a_line = bf16 ? 2 * kTensorAlign : kTensorAlign;
  size_ += (tensors_.back().elements() + in_a_line - 1) / in_a_line * kTensorAlign;
  lowest_layer_ = std::min(lowest_layer_, layer);
  return static_cast<int>(tensors_.size()) - 1;
}

void Adapter::place_targets(bool pack) {
  for (size_t i = 0; i < targets_.size(); ++i) {
    const AdapterTarget& t = targets_[i];
    const Weight& weight = linear(t.layer, t.kind).weight;
    Slot& s = slot(t.layer, t.kind);
    if (s.target >= 0) fail(LR_INVALID_ARGUMENT, "LoRA target \"%s\" is named twice", t.name.c_str());
    s.target = static_cast<int>(i);
    s.a = add_tensor(Role::A, t.layer, t.kind, t.rank, weight.cols, pack && t.bf16);
    add_tensor(Role::B, t.layer, t.kind, weight.rows, t.rank, pack && t.bf16);
    if (!t.dora) continue;
    s.magnitude = add_tensor(Role::Magnitude, t.layer, t.kind, weight.rows, 1);
    s.norms = norms_size_;
    norms_size_ += static_cast<size_t>(weight.rows);
  }
}

void Adapter::place_biases(uint32_t bias) {
  if (bias == LR_BIAS_NONE) return;
  for (int layer = 0; layer < static_cast<int>(base_.layers().size()); ++layer) {
    for (int kind = 0; kind < kLinears; ++kind) {
      const Linear& l = linear(layer, kind);
      if (l.bias == nullptr || (bias == LR_BIAS_LORA_ONLY && slot(layer, kind).target < 0)) continue;
      slot(layer, kind).bias = add_tensor(Role::Bias, layer, kind, l.weight.rows, 1);
    }
  }
}

void Adapter::place_initial_pairs() {
  for (const AdapterTarget& t : targets_) {
    const Weight& weight = linear(t.layer, t.kind).weight;
    slot(t.layer, t.kind).initial_a = add_tensor(Role::InitialA, t.layer, t.kind, t.rank, weight.cols);
    add_tensor(Role::InitialB, t.layer, t.kind, weight.rows, t.rank);
  }
}

std::string Adapter::info() const {
  std::string out = "{\"tensors\":[";
  for (const AdapterTensor& tensor : tensors_) {
    if (out.back() != '[') out += ',';
    out += "{\"module\":";
    json::append_string(out, linear(tensor.layer, tensor.kind).name);
    out += format(",\"role\":\"%s\",\"rows\":%lld,\"cols\":%lld,\"dtype\":\"%s\"}", role_name(tensor.role), static_cast<long long>(tensor.rows),
                  static_cast<long long>(tensor.cols), tensor.bf16 ? "bf16" : "f32");
  }
  return out + "]}";
}

void Adapter::require_trainable() const {
  if (std::any_of(targets_.begin(), targets_.end(), [](const AdapterTarget& target) { return target.bf16; }))
    fail(LR_INVALID_ARGUMENT, "the adapter has pairs in bfloat16: it answers and is not trained");
}

void Adapter::prepare_gradients() {
  require_trainable();
  if (!gradients_.empty()) return;
  gradients_ = Buffer<float>(base_.memory(), trained_size_);
  gradients_.zero();
}

void Adapter::zero_gradients() { gradients_.zero(); }

void Adapter::poison_gradients() {
  const float poison = std::numeric_limits<float>::quiet_NaN();
  gradients_.write(0, &poison, 1);
}

Lora Adapter::pair(const AdapterTarget& target, float scale, int a) {
  if (!tensors_[static_cast<size_t>(a)].bf16) return {target.rank, scale, 0, 0, weight(a), weight(a + 1), nullptr, nullptr};
  const auto halves = [&](int tensor) { return reinterpret_cast<const uint16_t*>(weight(tensor)); };
  return {target.rank, scale, 0, 0, nullptr, nullptr, nullptr, nullptr, halves(a), halves(a + 1)};
}

void Adapter::refresh_norms(const Run& run, const Ops& ops) {
  if (norms_fresh_) return;
  for (const AdapterTarget& t : targets_) {
    const Slot& s = slot(t.layer, t.kind);
    if (s.magnitude < 0) continue;
    const Weight& w = linear(t.layer, t.kind).weight;
    const size_t factor_at = s.norms, less_1_at = factor_at + norms_size_, inverse_at = less_1_at + norms_size_;
    ops.row_norms(run, w, pair(t, t.scale, s.a), norms_.data() + inverse_at);
    const auto rows = static_cast<size_t>(w.rows);
    std::vector<float> inverse(rows), factor(rows), less_1(rows);
    norms_.read(inverse_at, inverse.data(), rows);
    weights_.read(tensors_[static_cast<size_t>(s.magnitude)].at, factor.data(), rows);
    for (size_t i = 0; i < rows; ++i) {
      inverse[i] = inverse[i] > 0 ? 1 / inverse[i] : 0;  // a row of zeros gives zero whatever its magnitude
      factor[i] *= inverse[i];
      less_1[i] = factor[i] - 1;
    }
    norms_.write(inverse_at, inverse.data(), rows);
    norms_.write(factor_at, factor.data(), rows);
    norms_.write(less_1_at, less_1.data(), rows);
  }
  norms_fresh_ = true;
}

void Adapter::refresh_rounded(const Run& run, const Ops& ops) {
  if (rounded_fresh_) return;
  if (rounded_.empty()) rounded_ = Buffer<uint16_t>(base_.memory(), trained_size_);
  std::vector<RoundedPair> pairs;
  for (const AdapterTarget& t : targets_) {
    const int a = slot(t.layer, t.kind).a, b = a + 1;
    const Weight& w = linear(t.layer, t.kind).weight;
    pairs.push_back({weight(a), weight(b), t.rank, w.cols, w.rows, rounded(a), rounded(b)});
  }
  ops.round_pairs(run, pairs);
  rounded_fresh_ = true;
}

Adapted Adapter::adapted(const Run& run, const Ops& ops, int layer, int kind, bool training, uint64_t dropout_seed) {
  const Slot& s = slot(layer, kind);
  Adapted adapted = {};
  if (s.target >= 0) {
    const AdapterTarget& t = targets_[static_cast<size_t>(s.target)];
    adapted.pair = pair(t, t.scale, s.a);
    if (training) {
      adapted.pair.dropout = dropout_;
      adapted.pair.dropout_key = stream_key(dropout_seed, static_cast<uint64_t>(layer * kLinears + kind));
      adapted.pair.grad_a = gradient(s.a);
      adapted.pair.grad_b = gradient(s.a + 1);
      if (ops.round_pairs != nullptr && run.compute == Compute::BF16) {
        refresh_rounded(run, ops);
        adapted.pair.a_rounded = rounded(s.a);
        adapted.pair.b_rounded = rounded(s.a + 1);
      }
    }
    if (s.initial_a >= 0) adapted.initial = pair(t, -t.scale, s.initial_a);
  }
  if (s.magnitude >= 0) {
    refresh_norms(run, ops);
    adapted.factor = norms_.data() + s.norms;
    adapted.factor_less_1 = adapted.factor + norms_size_;
    adapted.inverse_norm = adapted.factor_less_1 + norms_size_;
    if (training) adapted.grad_magnitude = gradient(s.magnitude);
  }
  if (s.bias >= 0) {
    adapted.bias = weight(s.bias);
    if (training) adapted.grad_bias = gradient(s.bias);
  }
  return adapted;
}

const AdapterTensor& Adapter::checked_tensor(uint32_t tensor, uint64_t count) const {
  if (tensor >= tensors_.size()) fail(LR_INVALID_ARGUMENT, "tensor %u of an adapter with %zu", tensor, tensors_.size());
  if (count != tensors_[tensor].elements()) {
    fail(LR_INVALID_ARGUMENT, "tensor %u has %zu elements, not %llu", tensor, tensors_[tensor].elements(),
         static_cast<unsigned long long>(count));
  }
  return tensors_[tensor];
}

void Adapter::read_weight(const AdapterTensor& tensor, float* out) const {
  const size_t count = tensor.elements();
  if (!tensor.bf16) return weights_.read(tensor.at, out, count);
  std::vector<uint16_t> halves(count);
  base_.memory().read(halves.data(), weights_.data() + tensor.at, count * sizeof(uint16_t));
  std::transform(halves.begin(), halves.end(), out, bf16_to_float);
}

void Adapter::write_weight(const AdapterTensor& tensor, const float* values) {
  const size_t count = tensor.elements();
  if (!tensor.bf16) return weights_.write(tensor.at, values, count);
  std::vector<uint16_t> halves(count);
  std::transform(values, values + count, halves.begin(), float_to_bf16);
  base_.memory().write(weights_.data() + tensor.at, halves.data(), count * sizeof(uint16_t));
}

void Adapter::read(Array which, uint32_t tensor, float* out, uint64_t count) const {
  const AdapterTensor& t = checked_tensor(tensor, count);
  if (which == Array::Weight) {
    read_weight(t, out);
  } else if (!t.trained() || (which == Array::Gradient && gradients_.empty())) {
    std::fill(out, out + count, 0.0f);
  } else if (which == Array::Gradient) {
    gradients_.read(t.at, out, count);
  } else {
    moments_.read(which == Array::AdamM ? Moments::First : Moments::Second, tensor, out);
  }
}

void Adapter::write(Array which, uint32_t tensor, const float* values, uint64_t count) {
  const AdapterTensor& t = checked_tensor(tensor, count);
  if (which == Array::Weight) {
    write_weight(t, values);
    weights_changed();
    return;
  }
  require_trainable();
  if (!t.trained()) fail(LR_INVALID_ARGUMENT, "tensor %u is not trained: it has weights only", tensor);
  if (which == Array::Gradient) {
    prepare_gradients();
    gradients_.write(t.at, values, count);
  } else {
    moments_.prepare(base_.memory());
    moments_.write(which == Array::AdamM ? Moments::First : Moments::Second, tensor, values);
  }
}

float Adapter::optimizer_step(const Run& run, const Ops& ops, const lr_adamw& s) {
  prepare_gradients();
  moments_.prepare(base_.memory());
  const double norm = std::sqrt(ops.sum_squares(run, gradients_.data(), static_cast<int64_t>(trained_size_)));
  if (!std::isfinite(norm)) {
    zero_gradients();
    fail(LR_NOT_FINITE, "the gradient is not finite: the update was discarded");
  }
  Moments::Update update(run, ops, moments_);
  weights_changed();
  const double factor = s.max_grad_norm > 0 ? std::min(1.0, static_cast<double>(s.max_grad_norm) / (norm + 1e-6)) : 1.0;
  ++adam_step_;
  const auto number = static_cast<double>(adam_step_);
  const AdamwStep common = {static_cast<float>(factor), s.learning_rate, s.beta1, s.beta2, s.epsilon, s.weight_decay,
                            static_cast<float>(1 - std::pow(static_cast<double>(s.beta1), number)),
                            static_cast<float>(1 - std::pow(static_cast<double>(s.beta2), number))};
  for (size_t i = 0; i < tensors_.size() && tensors_[i].trained(); ++i) {
    AdamwStep step = common;
    if (tensors_[i].role != Role::A && s.b_rate_ratio > 0) step.lr *= s.b_rate_ratio;
    if (tensors_[i].role == Role::Bias) step.weight_decay = 0;
    update.step(i, weights_.data() + tensors_[i].at, gradients_.data() + tensors_[i].at, step);
  }
  update.finish();
  zero_gradients();
  return static_cast<float>(norm);
}

}  // namespace lr
