// Sessions: a call that ran out of memory leaves the sequence and its logits as they were.
#include "trial.h"

namespace lr::test {
namespace {

constexpr int32_t kTokens[] = {5, 17, 96, 0, 33, 8, 71, 2, 44, 60, 12, 90};
constexpr uint32_t kCapacity = 16;

std::shared_ptr<Setup> opened(const Device& device, Family family, const Method& method) {
  auto setup = std::make_shared<Setup>(device, family, method);
  lr_session* made = nullptr;
  check(setup->handle(), lr_session_create(setup->base.get(), setup->adapter.get(), kCapacity, &made));
  setup->session.reset(made);
  return setup;
}

std::string logits_of(Setup& s) {
  Floats logits(kVocab);
  if (s.session == nullptr || lr_session_logits(s.session.get(), logits.data()) != LR_OK) return "";  // no tokens yet
  return {reinterpret_cast<const char*>(logits.data()), logits.size() * sizeof(float)};
}

void append(Setup& s, uint32_t begin, uint32_t count) {
  check(s.handle(), lr_session_append(s.session.get(), kTokens + begin, count, nullptr));
}

void creation() {
  survive("lr_session_create", "", [] {
    return trial(
        std::make_shared<Setup>(kFast, Family::Gemma3, kLora),
        [](Setup& s) {
          lr_session* made = nullptr;
          const lr_status status = lr_session_create(s.base.get(), s.adapter.get(), kCapacity, &made);
          s.session.reset(made);
          return status;
        },
        logits_of,
        [](Setup& s) {
          append(s, 0, 3);
          return logits_of(s);
        });
  });
}

// `before` tokens are there; `count` come. LlamaDynamic and Phi3 have other frequencies from 9 tokens on.
void appending(const Device& device, Family family, const Method& method, uint32_t before, uint32_t count) {
  const std::string what = std::string(name_of(family)) + ", " + method.name + ", " + device.name + ", " + std::to_string(before) +
                           " and " + std::to_string(count) + " tokens";
  survive("lr_session_append", what, [=] {
    auto setup = opened(device, family, method);
    if (before > 0) append(*setup, 0, before);
    return trial(
        setup, [=](Setup& s) { return lr_session_append(s.session.get(), kTokens + before, count, nullptr); }, logits_of,
        [=](Setup& s) {
          const std::string logits = logits_of(s);
          append(s, before + count, 1);
          return logits + logits_of(s);
        });
  });
}

void drawing() {
  for (const lr_sampling& sampling : {lr_sampling{0, 1, 0, 1}, lr_sampling{1, 0.8f, 0, 2}, lr_sampling{1, 1, 5, 3}}) {
    survive("lr_session_sample", "top_k " + std::to_string(sampling.top_k), [=] {
      auto setup = opened(kFast, Family::LlamaPlain, kLora);
      append(*setup, 0, 3);
      setup->output.resize(sizeof(int32_t));
      return trial(
          setup, [=](Setup& s) { return lr_session_sample(s.session.get(), &sampling, reinterpret_cast<int32_t*>(s.output.data())); },
          logits_of, [](Setup& s) { return s.output + logits_of(s); });
    });
  }
  survive("lr_sample", "", [] {
    auto setup = std::make_shared<Setup>(kFast, Family::LlamaPlain);
    setup->output.resize(2 * (sizeof(int32_t) + 3 * sizeof(float)));
    return reading(setup, [](Setup& s) {
      static constexpr float kLogits[2 * 5] = {0, 1, 2, 3, 4, 4, 3, 2, 1, 0};
      static constexpr int32_t kHistory[] = {3, 3, 4};
      lr_sampling sampling[2] = {{1, 0.9f, 3, 4, 5}, {0, 1, 0, 0}};
      sampling[0].history = kHistory;
      sampling[0].n_history = 3;
      sampling[0].presence_penalty = 1;
      int32_t top[4];
      char* out = s.output.data();
      return lr_sample(s.handle(), kLogits, 5, sampling, 2, reinterpret_cast<int32_t*>(out), 2, top, reinterpret_cast<float*>(out + 2 * sizeof(int32_t)));
    });
  });
  survive("lr_session_logits", "", [] {
    auto setup = opened(kFast, Family::LlamaPlain, kLora);
    append(*setup, 0, 3);
    setup->output.resize(kVocab * sizeof(float));
    return reading(setup, [](Setup& s) { return lr_session_logits(s.session.get(), reinterpret_cast<float*>(s.output.data())); });
  });
}

}  // namespace

void session_cases() {
  creation();
  for (const Device& device : kDevices) appending(device, Family::Gemma2, kLora, 0, 4);
  for (const Family family : {Family::LlamaDynamic, Family::Phi3}) {
    for (const uint32_t before : {6u, 9u}) appending(kFast, family, kLora, before, 2);
    appending(kFast, family, kPissa, 7, 3);
  }
  appending(kFast, Family::LlamaBiased, kDora, 2, 1);
  drawing();
}

}  // namespace lr::test
