// Adapters: making them, their arrays and states, and updates.
#include "api/handles.h"
#include "trial.h"

namespace lr::test {
namespace {

constexpr lr_adamw kAdamw = {0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, 1.0f, 4};

std::string everything(lr_adapter* adapter) { return adapter == nullptr ? "" : state_of(adapter) + gradients_of(adapter); }

// A call on an adapter; everything about it stays as it was when the call fails.
template <typename Call>
Trial on_adapter(std::shared_ptr<Setup> setup, Call call) {
  const auto all = [](Setup& s) { return everything(s.adapter.get()); };
  return trial(setup, call, all, [all](Setup& s) { return all(s) + s.output; });
}

void creation() {
  for (const Device& device : kDevices) {
    for (const Method& method : kMethods) {
      survive("lr_adapter_create", std::string(method.name) + ", " + device.name, [&] {
        auto setup = std::make_shared<Setup>(device, Family::LlamaBiased);
        return on_adapter(setup, [targets = targets_of(setup->base.get(), method), &method](Setup& s) {
          lr_adapter* made = nullptr;
          const lr_status status = create_adapter(s.base.get(), targets, method, &made);
          s.adapter.reset(made);
          return status;
        });
      });
    }
  }
  survive("lr_adapter_create", "refused", [] {
    auto setup = std::make_shared<Setup>(kFast, Family::LlamaPlain);
    return on_adapter(setup, [](Setup& s) {
      const lr_lora_target target = {"model.layers.0.mlp.up", 4, 1, 0};
      const lr_adapter_options options = {};
      lr_adapter* made = nullptr;
      return lr_adapter_create(s.base.get(), &target, 1, &options, &made);
    });
  }, LR_INVALID_ARGUMENT);
}

std::shared_ptr<Setup> with(const Method& method) { return std::make_shared<Setup>(kFast, Family::LlamaBiased, method); }

void arrays() {
  survive("lr_adapter_info", "", [] {
    auto setup = with(kDora);
    setup->output.resize(1 << 14);
    return on_adapter(setup, [](Setup& s) {
      size_t needed = 0;
      return lr_adapter_info(s.adapter.get(), s.output.data(), s.output.size(), &needed);
    });
  });
  for (uint32_t kind = LR_WEIGHT; kind <= LR_ADAM_V; ++kind) {
    const std::string what = "kind " + std::to_string(kind);
    constexpr size_t kElements = 3 * kHidden;  // of A of the first target
    survive("lr_adapter_read", what, [=] {
      auto setup = with(kDora);
      setup->output.resize(kElements * sizeof(float));
      return on_adapter(setup, [=](Setup& s) {
        return lr_adapter_read(s.adapter.get(), kind, 0, reinterpret_cast<float*>(s.output.data()), kElements);
      });
    });
    survive("lr_adapter_write", what, [=] {
      return on_adapter(with(kDora), [=, values = Floats(kElements, 0.5f)](Setup& s) {
        return lr_adapter_write(s.adapter.get(), kind, 0, values.data(), values.size());
      });
    });
  }
  survive("lr_adapter_zero_gradients", "", [] {
    return on_adapter(with(kLora), [](Setup& s) { return lr_adapter_zero_gradients(s.adapter.get()); });
  });
}

void states() {
  for (const Method& method : kMethods) {
    survive("lr_adapter_state_size", method.name, [&] {
      return on_adapter(with(method), [](Setup& s) {
        uint64_t bytes = 0;
        return lr_adapter_state_size(s.adapter.get(), &bytes);
      });
    });
    survive("lr_adapter_state_export", method.name, [&] {
      auto setup = with(method);
      uint64_t bytes = 0;
      check(setup->handle(), lr_adapter_state_size(setup->adapter.get(), &bytes));
      setup->output.resize(bytes);
      return on_adapter(setup, [](Setup& s) {
        return lr_adapter_state_export(s.adapter.get(), reinterpret_cast<uint8_t*>(s.output.data()), s.output.size());
      });
    });
    survive("lr_adapter_state_import", method.name, [&] {
      auto setup = with(method), other = with(method);
      float norm = 0;
      const Floats gradient(3 * kHidden, 0.5f);
      check(other->handle(), lr_adapter_write(other->adapter.get(), LR_GRADIENT, 0, gradient.data(), gradient.size()));
      check(other->handle(), lr_adapter_optimizer_step(other->adapter.get(), &kAdamw, &norm));
      return on_adapter(setup, [state = state_of(other->adapter.get())](Setup& s) {
        return lr_adapter_state_import(s.adapter.get(), reinterpret_cast<const uint8_t*>(state.data()), state.size());
      });
    });
  }
  survive("lr_adapter_state_import", "damaged", [] {
    return on_adapter(with(kLora), [bytes = std::string(1000, 'x')](Setup& s) {
      return lr_adapter_state_import(s.adapter.get(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    });
  }, LR_BAD_FORMAT);
}

void updates() {
  for (const Method& method : kMethods) {
    for (const bool gradients : {true, false}) {
      survive("lr_adapter_optimizer_step", std::string(method.name) + (gradients ? "" : ", before any gradient"), [&] {
        auto setup = with(method);
        const Floats gradient(3 * kHidden, 0.5f);
        if (gradients) check(setup->handle(), lr_adapter_write(setup->adapter.get(), LR_GRADIENT, 0, gradient.data(), gradient.size()));
        return on_adapter(setup, [](Setup& s) {
          float norm = 0;
          return lr_adapter_optimizer_step(s.adapter.get(), &kAdamw, &norm);
        });
      });
    }
  }
}

}  // namespace

void adapter_cases() {
  creation();
  arrays();
  states();
  updates();
}

}  // namespace lr::test
