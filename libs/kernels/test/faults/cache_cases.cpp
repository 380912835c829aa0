// Caches: a call that ran out of memory leaves the tokens that were there, and can be made again.
#include "trial.h"

namespace lr::test {
namespace {

constexpr uint32_t kPageTokens = 4, kPages = 6;
constexpr int32_t kTokens[] = {5, 17, 96, 0, 33, 8, 71};

std::string logits_bytes(const Floats& logits) { return {reinterpret_cast<const char*>(logits.data()), logits.size() * sizeof(float)}; }

// Two sequences, the first through the adapter: `first` new tokens of one and one of the other.
lr_status run(Setup& s, uint32_t kind, int32_t past, int32_t first, Floats& logits) {
  const int32_t starts[] = {0, first, first + 1}, pasts[] = {past, past > 0}, pages[] = {5, 0, 3}, page_starts[] = {0, 2, 3};
  const lr_cached_batch batch = {kTokens, starts, pasts, pages, page_starts, nullptr, nullptr, static_cast<uint32_t>(first + 1), 2};
  const auto end = static_cast<uint32_t>(first);
  const lr_rows rows[] = {{s.adapter.get(), 0, end, 1, 0}, {nullptr, end, end + 1, 1, 0}};
  logits.resize(2 * kVocab);
  return lr_cache_run(s.cache.get(), kind, &batch, rows, 2, nullptr, logits.data());
}

std::shared_ptr<Setup> opened(const Device& device, Family family, const Method& method) {
  auto setup = std::make_shared<Setup>(device, family, method);
  lr_cache* made = nullptr;
  check(setup->handle(), lr_cache_create(setup->base.get(), kPageTokens, kPages, &made));
  setup->cache.reset(made);
  return setup;
}

std::string nothing(Setup&) { return {}; }

// Logits of the next tokens say what is in the cache; without one: nothing.
std::string next_tokens(Setup& s) {
  Floats logits;
  if (s.cache != nullptr) check(s.handle(), run(s, LR_DECODE, 4, 1, logits));
  return logits_bytes(logits);
}

void creation() {
  survive("lr_cache_create", "", [] {
    return trial(
        std::make_shared<Setup>(kFast, Family::Gemma3, kLora),
        [](Setup& s) {
          lr_cache* made = nullptr;
          const lr_status status = lr_cache_create(s.base.get(), kPageTokens, kPages, &made);
          s.cache.reset(made);
          return status;
        },
        nothing,
        [](Setup& s) {
          Floats logits;
          check(s.handle(), run(s, LR_PREFILL, 0, 4, logits));
          return logits_bytes(logits) + next_tokens(s);
        });
  });
}

void running(const Device& device, Family family, const Method& method, uint32_t kind) {
  const std::string what = std::string(name_of(family)) + ", " + method.name + ", " + device.name + (kind == LR_DECODE ? ", decoding" : "");
  survive("lr_cache_run", what, [=] {
    auto setup = opened(device, family, method);
    const auto made = std::make_shared<Floats>(2 * kVocab);  // the caller's own memory
    if (kind == LR_DECODE) check(setup->handle(), run(*setup, LR_PREFILL, 0, 4, *made));
    return trial(
        setup,
        [=](Setup& s) { return kind == LR_DECODE ? run(s, LR_DECODE, 4, 1, *made) : run(s, LR_PREFILL, 0, 4, *made); }, nothing,
        [made](Setup& s) { return logits_bytes(*made) + next_tokens(s); });
  });
}

}  // namespace

void cache_cases() {
  lr_cache_destroy(nullptr);
  seen("lr_cache_destroy");
  creation();
  for (const uint32_t kind : {LR_PREFILL, LR_DECODE}) {
    for (const Device& device : kDevices) running(device, Family::Gemma2, kLora, kind);
    running(kFast, Family::LlamaDynamic, kPissa, kind);
    running(kFast, Family::LlamaBiased, kDora, kind);
  }
}

}  // namespace lr::test
