// Steps: nothing of a step that ran out of memory reaches an update.
#include <algorithm>

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
  Stepping(const Device& device, Family family, const Method& method) : Setup(device, family, method), batch(*this) {}
  Batch batch;
};

// Gradients as a batch before leaves them.
void accumulate(Setup& s) {
  const Floats gradient(3 * kHidden, 0.5f);
  check(s.handle(), lr_adapter_zero_gradients(s.adapter.get()));
  check(s.handle(), lr_adapter_write(s.adapter.get(), LR_GRADIENT, 0, gradient.data(), gradient.size()));
}

// The gradients are as they were, or the next update refuses.
void expect_no_part(Setup& s, const std::string& before) {
  if (gradients_of(s.adapter.get()) == before) return;
  const std::string state = state_of(s.adapter.get());
  float norm = 0;
  expect(lr_adapter_optimizer_step(s.adapter.get(), &kAdamw, &norm) == LR_NOT_FINITE, "an update with a part of a step is refused");
  expect(state_of(s.adapter.get()) == state, "and changes nothing");
}

// `call(Stepping&)` puts its loss into s.output, and may train; onto the gradients of a batch before where `accumulated`.
template <typename Call>
Trial stepping(const Device& device, Family family, const Method& method, Call call, bool accumulated = false) {
  auto setup = std::make_shared<Stepping>(device, family, method);
  Stepping& s = *setup;
  s.output.resize(256);
  if (accumulated) accumulate(s);
  const std::string gradients = gradients_of(s.adapter.get());
  return Trial{setup, [&s] { return s.handle(); }, [&s, call] { return call(s); }, [&s] { return state_of(s.adapter.get()); },
               [&s] {
                 std::string outcome = s.output + gradients_of(s.adapter.get());
                 float norm = 0;
                 check(s.handle(), lr_adapter_optimizer_step(s.adapter.get(), &kAdamw, &norm));
                 return outcome + state_of(s.adapter.get());
               },
               [&s, gradients, accumulated] {
                 expect_no_part(s, gradients);
                 check(s.handle(), lr_adapter_zero_gradients(s.adapter.get()));
                 if (accumulated) accumulate(s);
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
