// Entry points of the C interface under failing allocations, on models of one layer.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../model/tiny_model.h"

namespace lr::test {

// A call on handles of its own.
struct Trial {
  std::shared_ptr<void> owner;  // of what the functions below use
  std::function<lr_context*()> context;
  std::function<lr_status()> call;
  std::function<std::string()> state;    // what a call that fails has to leave as it was
  std::function<std::string()> outcome;  // after success: state, outputs, and what comes of them
  std::function<void()> recover = [] {};  // what a caller owes before the next call, where the header says so
};

// Makes a trial again and again: the n-th allocation of its call fails, alone or with all that follow, n = 1, 2, 3 … until there is no
// n-th. Each failed call has to return LR_OUT_OF_MEMORY and leave the state as it was; the same call then has to succeed, with the
// outcome of a trial that was never disturbed; and nothing is lost. `wanted`: what the call returns when nothing fails.
void survive(const std::string& entry_point, const std::string& what, const std::function<Trial()>& make, lr_status wanted = LR_OK);
// An entry point that was seen to hold in another way.
void seen(const std::string& entry_point);
bool was_seen(const std::string& entry_point);

struct Device {
  const char* name;
  uint32_t backend, threads;
};
constexpr Device kFast = {"fast, 2 threads", LR_BACKEND_FAST, 2}, kPlain = {"reference", LR_BACKEND_REFERENCE, 1};
constexpr Device kDevices[] = {kFast, kPlain};

// How an adapter is trained; on all linear layers.
struct Method {
  const char* name;
  uint32_t dora, bias, init, optimizer;
  float dropout;
};
constexpr Method kLora = {"LoRA", 0, LR_BIAS_NONE, LR_INIT_DEFAULT, LR_OPTIMIZER_ADAMW, 0};
constexpr Method kDora = {"DoRA with biases and dropout", 1, LR_BIAS_ALL, LR_INIT_DEFAULT, LR_OPTIMIZER_ADAMW8, 0.1f};
constexpr Method kPissa = {"PiSSA", 0, LR_BIAS_NONE, LR_INIT_PISSA, LR_OPTIMIZER_ADAMW, 0};
constexpr Method kMethods[] = {kLora, kDora, kPissa};

// The model of one layer, and its base; written when first asked for.
TinyModel one_layer(Family family);
const std::string& base_file(Family family);

// Handles of one context, and room for what a call puts out.
struct Setup {
  explicit Setup(const Device& device) : context(make_context(device.backend, device.threads)) {}
  Setup(const Device& device, Family family);
  Setup(const Device& device, Family family, const Method& method);

  Context context;
  BaseHandle base;
  AdapterHandle adapter;
  CacheHandle cache;
  SessionHandle session;
  std::string output;

  lr_context* handle() const { return context.get(); }
};

// All linear layers of a base as targets of a method; names are the base's.
std::vector<lr_lora_target> targets_of(lr_base* base, const Method& method);
lr_status create_adapter(lr_base* base, const std::vector<lr_lora_target>& targets, const Method& method, lr_adapter** adapter);
// Weights, moments and the number of updates; gradients.
std::string state_of(lr_adapter* adapter);
std::string gradients_of(lr_adapter* adapter);

// A trial over a Setup; `call`, `state` and `outcome` take it by reference.
template <typename Call, typename State, typename Outcome>
Trial trial(std::shared_ptr<Setup> setup, Call call, State state, Outcome outcome) {
  Setup& s = *setup;
  return {setup, [&s] { return s.handle(); }, [&s, call] { return call(s); }, [&s, state] { return state(s); },
          [&s, outcome] { return outcome(s); }};
}
// A call that changes nothing but its output.
template <typename Call>
Trial reading(std::shared_ptr<Setup> setup, Call call) {
  return trial(setup, call, [](Setup&) { return std::string(); }, [](Setup& s) { return s.output; });
}

void context_cases();
void base_cases();
void adapter_cases();
void step_cases();
void cache_cases();
void session_cases();
void boundary_cases();

}  // namespace lr::test
