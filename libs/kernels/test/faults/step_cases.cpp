// Steps: nothing of a step that ran out of memory reaches an update.
#include <algorithm>
#include <array>

#include "trial.h"

namespace lr::test {
namespace {

constexpr lr_adamw kAdamw = {0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, 0, 0};

// Two pairs of sequences through an adapter.
struct Batch {
  explicit Batch(Setup& setup) : packed({4, 3, 5, 2}), native(packed.batch()), rows{setup.adapter.get(), 0, packed.size(), 0.25f, 5, 0, 0} {}
  Packed packed;
  lr_batch native;
  lr_rows rows;
};

struct Stepping : Setup {
  Stepping(const Device& device, Family family, const Method& method) : Setup(device, family, method), batch(*this) {
    for (AdapterHandle& other : others) {
      lr_adapter* made = nullptr;
      check(handle(), create_adapter(base.get(), targets_of(base.get(), method), method, &made));
      other.reset(made);
    }
  }
  Batch batch;
  AdapterHandle others[2];  // trained beside the adapter of Setup

  std::array<lr_adapter*, 3> adapters() const { return {adapter.get(), others[0].get(), others[1].get()}; }
};

// Gradients as a batch before leaves them, or none.
void prepare(Stepping& s, bool accumulated) {
  const Floats gradient(3 * kHidden, 0.5f);
  for (lr_adapter* adapter : s.adapters()) {
    check(s.handle(), lr_adapter_zero_gradients(adapter));
    if (accumulated) check(s.handle(), lr_adapter_write(adapter, LR_GRADIENT, 0, gradient.data(), gradient.size()));
  }
}

// The gradients are as they were, or the next update refuses.
void expect_no_part(lr_adapter* adapter, const std::string& gradients) {
  if (gradients_of(adapter) == gradients) return;
  const std::string state = state_of(adapter);
  float norm = 0;
  expect(lr_adapter_optimizer_step(adapter, &kAdamw, &norm) == LR_NOT_FINITE, "an update with a part of a step is refused");
  expect(state_of(adapter) == state, "and changes nothing");
}

std::string states_of(Stepping& s) {
  std::string all;
  for (lr_adapter* adapter : s.adapters()) all += state_of(adapter);
  return all;
}

// `call(Stepping&)` puts its loss into s.output, and may train; onto the gradients of a batch before where `accumulated`.
template <typename Call>
Trial stepping(const Device& device, Family family, const Method& method, Call call, bool accumulated = false) {
  auto setup = std::make_shared<Stepping>(device, family, method);
  Stepping& s = *setup;
  s.output.resize(256);
  prepare(s, accumulated);
  return Trial{setup, [&s] { return s.handle(); }, [&s, call] { return call(s); }, [&s] { return states_of(s); },
               [&s] {
                 std::string outcome = s.output;
                 for (lr_adapter* adapter : s.adapters()) {
                   float norm = 0;
                   outcome += gradients_of(adapter);
                   check(s.handle(), lr_adapter_optimizer_step(adapter, &kAdamw, &norm));
                 }
                 return outcome + states_of(s);
               },
               [&s, accumulated, gradients = gradients_of(s.adapter.get())] {
                 for (lr_adapter* adapter : s.adapters()) expect_no_part(adapter, gradients);
                 prepare(s, accumulated);
               }};
}

lr_status train(Stepping& s, uint32_t checkpointed) {
  const lr_step_options options = {checkpointed, 3};
  return lr_train_step(s.base.get(), &s.batch.native, &s.batch.rows, 1, &options, nullptr,
                       reinterpret_cast<lr_loss*>(s.output.data()));
}

void training() {
  struct Model {
    Family family;
    Method method;
  };
  const Model models[] = {{Family::LlamaBiased, kDora}, {Family::Gemma3, kLora}, {Family::Phi3, kPissa}, {Family::LlamaDynamic, kLora}};
  for (const Model& model : models) {
    for (const uint32_t checkpointed : {0u, 1u}) {
      const std::string what = std::string(name_of(model.family)) + ", " + model.method.name + (checkpointed ? ", checkpointed" : "");
      survive("lr_train_step", what, [&] {
        return stepping(kFast, model.family, model.method, [checkpointed](Stepping& s) {
          s.batch.rows.neftune_alpha = 5;
          s.batch.rows.label_smoothing = 0.1f;
          return train(s, checkpointed);
        });
      });
    }
  }
  survive("lr_train_step", "reference", [] {
    return stepping(kPlain, Family::LlamaPlain, kLora, [](Stepping& s) { return train(s, 0); });
  });
  survive("lr_train_step", "three adapters at once", [] {
    return stepping(kFast, Family::LlamaBiased, kLora, [](Stepping& s) {
      const lr_rows rows[] = {{s.adapter.get(), 0, 4, 0.5f, 1}, {s.others[0].get(), 4, 7, 0.5f, 2}, {s.others[1].get(), 7, 14, 0.5f, 3}};
      const lr_step_options options = {1, 0};
      return lr_train_step(s.base.get(), &s.batch.native, rows, 3, &options, nullptr, reinterpret_cast<lr_loss*>(s.output.data()));
    });
  });
  survive("lr_train_step", "onto the gradients of a batch before", [] {
    return stepping(kFast, Family::LlamaPlain, kLora, [](Stepping& s) { return train(s, 1); }, true);
  });
}

void preferences() {
  static constexpr double kReference[] = {-3, -4, -5, -6};
  for (const uint32_t objective : {LR_DPO, LR_ORPO}) {
    const lr_preference preference = {objective, 0.1f, 0, objective == LR_DPO ? kReference : nullptr};
    const std::string what = objective == LR_DPO ? "DPO" : "ORPO";
    survive("lr_preference_step", what, [&] {
      return stepping(kFast, Family::Qwen3, kLora, [preference](Stepping& s) {
        const lr_step_options options = {1, 0};
        return lr_preference_step(s.base.get(), &s.batch.native, &s.batch.rows, 1, &preference, &options, nullptr,
                                  reinterpret_cast<lr_preference_loss*>(s.output.data()));
      });
    });
    survive("lr_preference_eval", what, [&] {
      return stepping(kFast, Family::Qwen3, kLora, [preference](Stepping& s) {
        return lr_preference_eval(s.base.get(), &s.batch.native, &s.batch.rows, 1, &preference, nullptr,
                                  reinterpret_cast<lr_preference_loss*>(s.output.data()));
      });
    });
  }
}

void evaluation() {
  for (const Device& device : kDevices) {
    survive("lr_eval_step", device.name, [&] {
      return stepping(device, Family::Mistral, kLora, [](Stepping& s) {
        return lr_eval_step(s.base.get(), &s.batch.native, &s.batch.rows, 1, nullptr, reinterpret_cast<lr_loss*>(s.output.data()));
      });
    });
    survive("lr_sequence_logps", device.name, [&] {
      return stepping(device, Family::Gemma2, kLora, [](Stepping& s) {
        auto* sums = reinterpret_cast<double*>(s.output.data());
        return lr_sequence_logps(s.base.get(), &s.batch.native, &s.batch.rows, 1, nullptr, sums, reinterpret_cast<uint32_t*>(sums + 4));
      });
    });
    survive("lr_logits", device.name, [&] {
      return stepping(device, Family::LlamaYarn, kLora, [logits = std::make_shared<Floats>(14 * kVocab)](Stepping& s) {
        const lr_status status = lr_logits(s.base.get(), &s.batch.native, &s.batch.rows, 1, logits->data());
        std::copy_n(reinterpret_cast<const char*>(logits->data()), s.output.size(), s.output.begin());
        return status;
      });
    });
  }
  survive("lr_eval_step", "refused", [] {
    return stepping(kFast, Family::LlamaPlain, kLora, [](Stepping& s) {
      s.batch.rows.end = 3;
      return lr_eval_step(s.base.get(), &s.batch.native, &s.batch.rows, 1, nullptr, reinterpret_cast<lr_loss*>(s.output.data()));
    });
  }, LR_INVALID_ARGUMENT);
}

}  // namespace

void step_cases() {
  training();
  preferences();
  evaluation();
}

}  // namespace lr::test
