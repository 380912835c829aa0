#include <cmath>

#include "handles.h"

using namespace lr;

namespace {

lr_context* context_of(const lr_adapter* adapter) { return adapter == nullptr ? nullptr : adapter->base->context; }

Adapter::Array array_of(uint32_t kind) {
  if (kind > LR_ADAM_V) fail(LR_INVALID_ARGUMENT, "unknown kind of tensor %u", kind);
  return static_cast<Adapter::Array>(kind);
}

void check_adamw(const lr_adamw& s) {
  const auto in = [](float value, float low, float high) { return std::isfinite(value) && value >= low && value <= high; };
  if (!in(s.learning_rate, 0, 1e6f)) fail(LR_INVALID_ARGUMENT, "learning_rate %g is negative or not finite", s.learning_rate);
  if (!in(s.beta1, 0, 1) || s.beta1 == 1) fail(LR_INVALID_ARGUMENT, "beta1 %g is not in [0, 1)", s.beta1);
  if (!in(s.beta2, 0, 1) || s.beta2 == 1) fail(LR_INVALID_ARGUMENT, "beta2 %g is not in [0, 1)", s.beta2);
  if (!(s.epsilon > 0 && s.epsilon < 1)) fail(LR_INVALID_ARGUMENT, "epsilon %g is not in (0, 1)", s.epsilon);
  if (!in(s.weight_decay, 0, 1e6f)) fail(LR_INVALID_ARGUMENT, "weight_decay %g is negative or not finite", s.weight_decay);
  if (!in(s.b_rate_ratio, 0, 1e6f)) fail(LR_INVALID_ARGUMENT, "b_rate_ratio %g is negative or not finite", s.b_rate_ratio);
  if (!(s.max_grad_norm >= 0)) fail(LR_INVALID_ARGUMENT, "max_grad_norm %g is negative or not a number", s.max_grad_norm);
}

}  // namespace

extern "C" {

lr_status lr_adapter_create(lr_base* base, const lr_lora_target* targets, uint32_t n_targets, const lr_adapter_options* options,
                            lr_adapter** adapter) {
  return guarded_turn(base == nullptr ? nullptr : base->context, [&](Runtime& runtime) {
    require(adapter, "adapter");
    *adapter = nullptr;
    require(options, "options");
    if (n_targets > 0) require(targets, "targets");
    std::vector<AdapterTarget> wanted;
    for (uint32_t i = 0; i < n_targets; ++i) {
      require(targets[i].name, "the name of a LoRA target");
      if (targets[i].rank > INT32_MAX) fail(LR_INVALID_ARGUMENT, "rank %u is out of range", targets[i].rank);
      wanted.push_back(
          {targets[i].name, targets[i].scale, static_cast<int32_t>(targets[i].rank), targets[i].dora != 0, targets[i].bf16 != 0, 0, 0});
    }
    *adapter = new lr_adapter{base, Adapter(runtime, base->base, wanted, *options)};
  });
}

void lr_adapter_destroy(lr_adapter* adapter) { delete adapter; }

lr_status lr_adapter_info(lr_adapter* adapter, char* json, size_t capacity, size_t* needed) {
  return guarded(context_of(adapter), [&] { write_text(adapter->adapter.info(), json, capacity, needed); });
}

lr_status lr_adapter_read(lr_adapter* adapter, uint32_t kind, uint32_t index, float* out, uint64_t count) {
  return guarded(context_of(adapter), [&] {
    require(out, "out");
    adapter->adapter.read(array_of(kind), index, out, count);
  });
}

lr_status lr_adapter_write(lr_adapter* adapter, uint32_t kind, uint32_t index, const float* values, uint64_t count) {
  return guarded(context_of(adapter), [&] {
    require(values, "values");
    adapter->adapter.write(array_of(kind), index, values, count);
  });
}

lr_status lr_adapter_zero_gradients(lr_adapter* adapter) {
  return guarded(context_of(adapter), [&] { adapter->adapter.zero_gradients(); });
}

lr_status lr_adapter_state_size(lr_adapter* adapter, uint64_t* bytes) {
  return guarded(context_of(adapter), [&] {
    require(bytes, "bytes");
    *bytes = adapter->adapter.state_bytes();
  });
}

lr_status lr_adapter_state_export(lr_adapter* adapter, uint8_t* out, uint64_t bytes) {
  return guarded(context_of(adapter), [&] {
    require(out, "out");
    adapter->adapter.export_state(out, bytes);
  });
}

lr_status lr_adapter_state_import(lr_adapter* adapter, const uint8_t* in, uint64_t bytes) {
  return guarded(context_of(adapter), [&] {
    require(in, "in");
    adapter->adapter.import_state(in, bytes);
  });
}

lr_status lr_adapter_optimizer_step(lr_adapter* adapter, const lr_adamw* settings, float* grad_norm) {
  return guarded_turn(context_of(adapter), [&](Runtime& runtime) {
    require(settings, "settings");
    require(grad_norm, "grad_norm");
    check_adamw(*settings);
    *grad_norm = adapter->adapter.optimizer_step(runtime.run, runtime.ops, *settings);
  });
}

}  // extern "C"
