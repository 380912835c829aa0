// Many sequences over one cache: each gets the same bytes whatever else is in the batch, however its prompt was split, wherever its pages
// lie; and what the whole sequence would give.
#include <algorithm>
#include <cmath>

#include "api/handles.h"
#include "tiny_model.h"

namespace lr::test {
namespace {

CacheHandle open_cache(World& world, uint32_t page_tokens, uint32_t pages) {
  lr_cache* cache = nullptr;
  check(world.context.get(), lr_cache_create(world.base.get(), page_tokens, pages, &cache));
  return CacheHandle(cache);
}

// New tokens of one sequence, and where it lies.
struct Row {
  lr_adapter* adapter;
  std::vector<int32_t> tokens, pages;
  int32_t past = 0;
};

// The arrays of a batch of rows, in their order.
struct CachedRows {
  explicit CachedRows(const std::vector<Row>& sequences) {
    for (const Row& row : sequences) {
      tokens.insert(tokens.end(), row.tokens.begin(), row.tokens.end());
      pages.insert(pages.end(), row.pages.begin(), row.pages.end());
      past.push_back(row.past);
      rows.push_back({row.adapter, static_cast<uint32_t>(starts.back()), static_cast<uint32_t>(tokens.size()), 1, 0});
      starts.push_back(static_cast<int32_t>(tokens.size()));
      page_starts.push_back(static_cast<int32_t>(pages.size()));
    }
  }
  lr_cached_batch batch() const {
    return {tokens.data(), starts.data(), past.data(), pages.data(), page_starts.data(), lengths.empty() ? nullptr : lengths.data(), nullptr,
            static_cast<uint32_t>(tokens.size()), static_cast<uint32_t>(past.size())};
  }
  std::vector<int32_t> tokens, starts{0}, past, pages, page_starts{0}, lengths;
  std::vector<lr_rows> rows;
};

lr_status run(lr_cache* cache, uint32_t kind, const CachedRows& made, Floats& logits, lr_cancel* cancel = nullptr) {
  const lr_cached_batch batch = made.batch();
  logits.assign(made.past.size() * kVocab, NAN);
  return lr_cache_run(cache, kind, &batch, made.rows.data(), static_cast<uint32_t>(made.rows.size()), cancel, logits.data());
}

std::vector<Floats> run(World& world, lr_cache* cache, uint32_t kind, const std::vector<Row>& rows, const std::vector<int32_t>& lengths = {}) {
  CachedRows made(rows);
  made.lengths = lengths;
  Floats logits;
  check(world.context.get(), run(cache, kind, made, logits));
  std::vector<Floats> each;
  for (size_t s = 0; s < rows.size(); ++s)
    each.emplace_back(logits.begin() + static_cast<std::ptrdiff_t>(s * kVocab), logits.begin() + static_cast<std::ptrdiff_t>((s + 1) * kVocab));
  return each;
}

std::vector<int32_t> random_tokens(int count, uint64_t seed) { return Packed({count}, seed).tokens; }

std::vector<int32_t> page_range(int32_t first, int32_t count) {
  std::vector<int32_t> pages;
  for (int32_t i = 0; i < count; ++i) pages.push_back(first + i);
  return pages;
}

// A sequence that is generated: a prompt and the tokens that follow it.
struct Story {
  lr_adapter* adapter;
  std::vector<int32_t> prompt, next;
};

// Logits after the prompt and after every next token, alone over pages of `page_tokens`, the prompt in pieces of `piece`.
std::vector<Floats> alone(World& world, const Story& story, uint32_t page_tokens, size_t piece) {
  const size_t total = story.prompt.size() + story.next.size();
  const auto pages = static_cast<uint32_t>((total + page_tokens - 1) / page_tokens);
  const CacheHandle cache = open_cache(world, page_tokens, pages);
  Row row = {story.adapter, {}, page_range(0, static_cast<int32_t>(pages)), 0};
  std::vector<Floats> logits;
  for (size_t at = 0; at < story.prompt.size(); at += piece) {
    const size_t end = std::min(at + piece, story.prompt.size());
    row.past = static_cast<int32_t>(at);
    row.tokens.assign(story.prompt.begin() + static_cast<std::ptrdiff_t>(at), story.prompt.begin() + static_cast<std::ptrdiff_t>(end));
    logits = run(world, cache.get(), LR_PREFILL, {row});
  }
  for (size_t i = 0; i < story.next.size(); ++i) {
    row.past = static_cast<int32_t>(story.prompt.size() + i);
    row.tokens = {story.next[i]};
    logits.push_back(run(world, cache.get(), LR_DECODE, {row}).front());
  }
  return logits;
}

// Positions that need no length of their own in any family.
constexpr int kPlainPositions = 8;

// `count` sequences of different lengths and adapters in one batch, in reverse order, their pages mixed up.
void batch_invariance(World& world, const std::vector<lr_adapter*>& adapters, size_t count, bool short_ones, const std::string& what) {
  std::vector<Story> stories;
  for (size_t i = 0; i < count; ++i) {
    const int prompt = short_ones ? 1 + static_cast<int>(i) % 5 : 1 + static_cast<int>(i * 7 % 23);
    stories.push_back({adapters[i % adapters.size()], random_tokens(prompt, 50 + i), random_tokens(3, 500 + i)});
  }
  constexpr int32_t kPageTokens = 5, kPages = 6;  // of a sequence
  const CacheHandle cache = open_cache(world, kPageTokens, static_cast<uint32_t>(kPages * static_cast<int32_t>(count)));
  std::vector<Row> rows;
  for (size_t i = 0; i < count; ++i) {
    Row row = {stories[i].adapter, stories[i].prompt, {}, 0};
    for (int32_t page = 0; page < kPages; ++page) row.pages.push_back(static_cast<int32_t>(count) * (kPages - 1 - page) + static_cast<int32_t>(i));
    rows.push_back(row);
  }
  const auto reversed = [](std::vector<Row> some) {
    std::reverse(some.begin(), some.end());
    return some;
  };
  std::vector<std::vector<Floats>> together;  // by step, then by sequence
  together.push_back(run(world, cache.get(), LR_PREFILL, reversed(rows)));
  std::reverse(together.back().begin(), together.back().end());
  for (size_t step = 0; step < 3; ++step) {
    for (size_t i = 0; i < count; ++i) {
      rows[i].past += static_cast<int32_t>(rows[i].tokens.size());
      rows[i].tokens = {stories[i].next[step]};
    }
    const bool backwards = step % 2 == 1;
    together.push_back(run(world, cache.get(), LR_DECODE, backwards ? reversed(rows) : rows));
    if (backwards) std::reverse(together.back().begin(), together.back().end());
  }
  bool same = true;
  for (size_t i = 0; i < count; ++i) {
    const std::vector<Floats> own = alone(world, stories[i], i % 2 == 0 ? 3 : 64, i % 3 == 0 ? 4 : 64);
    for (size_t step = 0; step < own.size(); ++step) same &= same_bytes(own[step], together[step][i]);
  }
  expect(same, what + ": " + std::to_string(count) + " sequences together give what each gives alone, byte for byte");
}

void every_family() {
  for (const Family family : kFamilies) {
    World world(family, make_context(LR_BACKEND_FAST, 2));
    const AdapterHandle first = world.adapter(linears_of(family), 4, 0.5f), second = world.adapter(linears_of(family), 17, 0, {0, 2}, false, 9);
    const bool by_length = family == Family::LlamaDynamic || family == Family::Phi3;
    batch_invariance(world, {first.get(), nullptr, second.get()}, 7, by_length, name_of(family));
  }
}

void every_machine() {
  for (const uint32_t isa : {LR_ISA_SCALAR, LR_ISA_AVX2, LR_ISA_AVX512, LR_ISA_AVX512_BF16, LR_ISA_AMX_BF16}) {
    if (static_cast<int>(isa) > best_isa()) continue;
    for (const uint32_t compute : {LR_COMPUTE_F32, LR_COMPUTE_BF16}) {
      World world(Family::Qwen3, make_context(LR_BACKEND_FAST, 3, compute, isa));
      const AdapterHandle one = world.adapter(kAllLinears, 3), two = world.adapter(kAllLinears, 16, 0, {1}, false, 8);
      const std::string what = "isa " + std::to_string(isa) + (compute == LR_COMPUTE_BF16 ? ", bf16" : "");
      for (const size_t count : {1, 2, 9, 33}) {
        if (isa == LR_ISA_SCALAR && count > 2) continue;
        batch_invariance(world, {one.get(), two.get(), nullptr, one.get()}, count, false, what);
      }
    }
  }
}

// Prompts and next tokens against logits of whole sequences.
void agrees_with_steps() {
  for (const uint32_t backend : {LR_BACKEND_FAST, LR_BACKEND_REFERENCE}) {
    World world(Family::Gemma3, make_context(backend, 2));
    const AdapterHandle adapter = world.adapter(kAllLinears, 4);
    const Story story = {adapter.get(), random_tokens(30, 3), random_tokens(4, 4)};
    const std::vector<Floats> got = alone(world, story, 7, 11);
    Packed packed({34});
    std::copy(story.prompt.begin(), story.prompt.end(), packed.tokens.begin());
    std::copy(story.next.begin(), story.next.end(), packed.tokens.begin() + 30);
    const lr_rows rows = {adapter.get(), 0, 34, 1, 0};
    const lr_batch batch = packed.batch();
    Floats all(34 * kVocab);
    check(world.context.get(), lr_logits(world.base.get(), &batch, &rows, 1, all.data()));
    double worst = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>((29 + i) * kVocab);
      worst = std::max(worst, distance(got[i], Floats(begin, begin + kVocab)));
    }
    expect(worst < 1e-4, "a cache gives what whole sequences give: " + std::to_string(worst));
  }
}

// Prompts of more tokens than go through the layers together, by every split.
void long_prompts() {
  World world(Family::Mistral, make_context(LR_BACKEND_FAST, 2));
  std::vector<Story> stories;
  for (size_t i = 0; i < 20; ++i) stories.push_back({nullptr, random_tokens(40 + static_cast<int>(i), 900 + i), {}});
  const CacheHandle cache = open_cache(world, 8, 20 * 8);
  std::vector<Row> rows;
  for (size_t i = 0; i < stories.size(); ++i) rows.push_back({nullptr, stories[i].prompt, page_range(8 * static_cast<int32_t>(i), 8), 0});
  const std::vector<Floats> together = run(world, cache.get(), LR_PREFILL, rows);  // 990 tokens
  bool same = true;
  for (size_t i = 0; i < stories.size(); ++i) same &= same_bytes(together[i], alone(world, stories[i], 1 + static_cast<uint32_t>(i), 1 + 3 * i).front());
  expect(same, "prompts of any split give the same bytes");
}

// Two sequences read the pages of a common prefix, and go on in pages of their own.
void shared_prefix() {
  World world(Family::LlamaPlain, make_context(LR_BACKEND_FAST, 2));
  const std::vector<int32_t> prefix = random_tokens(12, 1);
  const CacheHandle cache = open_cache(world, 4, 7);
  run(world, cache.get(), LR_PREFILL, {{nullptr, prefix, {6, 1, 4}, 0}});
  bool same = true;
  std::vector<Row> rows = {{nullptr, random_tokens(3, 2), {6, 1, 4, 0}, 12}, {nullptr, random_tokens(5, 3), {6, 1, 4, 2, 5}, 12}};
  const std::vector<Floats> together = run(world, cache.get(), LR_PREFILL, rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    Story story = {nullptr, prefix, {}};
    story.prompt.insert(story.prompt.end(), rows[i].tokens.begin(), rows[i].tokens.end());
    same &= same_bytes(together[i], alone(world, story, 64, 64).front());
  }
  expect(same, "a shared prefix gives what a prefix of one's own gives");
}

// Only what was asked for: rows of `wanted` sequences, one after the other.
void wanted_logits() {
  World world(Family::Gemma2, make_context(LR_BACKEND_FAST, 2));
  const CacheHandle cache = open_cache(world, 8, 3);
  CachedRows made({{nullptr, random_tokens(3, 1), {0}, 0}, {nullptr, random_tokens(5, 2), {1}, 0}, {nullptr, random_tokens(4, 3), {2}, 0}});
  Floats all;
  check(world.context.get(), run(cache.get(), LR_PREFILL, made, all));
  const uint8_t wanted[] = {1, 0, 1};
  lr_cached_batch batch = made.batch();
  batch.wanted = wanted;
  Floats some(2 * kVocab);
  check(world.context.get(), lr_cache_run(cache.get(), LR_PREFILL, &batch, made.rows.data(), 3, nullptr, some.data()));
  Floats want(all.begin(), all.begin() + kVocab);
  want.insert(want.end(), all.end() - kVocab, all.end());
  expect(same_bytes(some, want), "logits of the sequences that are wanted");
  expect(lr_cache_run(cache.get(), LR_PREFILL, &batch, made.rows.data(), 3, nullptr, nullptr) == LR_OK, "no logits at all");
}

// DoRA, biases and PiSSA while decoding.
void methods() {
  World world(Family::LlamaBiased, make_context(LR_BACKEND_FAST, 2));
  const auto make = [&](uint32_t dora, uint32_t init) {
    std::vector<lr_lora_target> targets;
    for (const Layer& layer : world.base->base.layers())
      for (const Linear& linear : layer.linears) targets.push_back({linear.name.c_str(), 5, 1.5f, dora});
    const lr_adapter_options options = {0.1f, LR_BIAS_ALL, LR_OPTIMIZER_ADAMW, init, 2, 7};
    lr_adapter* made = nullptr;
    check(world.context.get(), lr_adapter_create(world.base.get(), targets.data(), static_cast<uint32_t>(targets.size()), &options, &made));
    uint32_t index = 0;
    for (const AdapterTensor& tensor : made->adapter.tensors()) {
      const auto scaled = [&](float share) {
        Floats values(tensor.elements());
        check(world.context.get(), lr_adapter_read(made, LR_WEIGHT, index, values.data(), values.size()));
        for (size_t i = 0; i < values.size(); ++i) values[i] += share * static_cast<float>(i % 7);
        check(world.context.get(), lr_adapter_write(made, LR_WEIGHT, index, values.data(), values.size()));
      };
      if (tensor.role != Role::InitialA && tensor.role != Role::InitialB) scaled(0.02f);
      ++index;
    }
    return AdapterHandle(made);
  };
  const AdapterHandle dora = make(1, LR_INIT_DEFAULT), pissa = make(0, LR_INIT_PISSA);
  batch_invariance(world, {dora.get(), nullptr, pissa.get()}, 12, false, "DoRA, biases and PiSSA");
  const Story story = {dora.get(), random_tokens(9, 3), random_tokens(1, 4)};
  const std::vector<Floats> with = alone(world, story, 16, 16), without = alone(world, {nullptr, story.prompt, story.next}, 16, 16);
  expect(distance(with[1], without[1]) > 0.01, "the adapter changes logits while decoding");
}

// Frequencies by length: refused beyond pre-training without one, and with one what a session computes.
void rope_lengths() {
  for (const Family family : {Family::LlamaDynamic, Family::Phi3}) {
    World world(family, make_context(LR_BACKEND_FAST, 2));
    const CacheHandle cache = open_cache(world, 20, 2);
    const std::vector<int32_t> tokens = random_tokens(12, 5);
    Floats logits;
    CachedRows made({{nullptr, tokens, {0}, 0}});
    expect_status(world.context.get(), run(cache.get(), LR_PREFILL, made, logits), LR_INVALID_ARGUMENT, "no length", "8 positions of pre-training");
    made.lengths = {11};
    expect_status(world.context.get(), run(cache.get(), LR_PREFILL, made, logits), LR_INVALID_ARGUMENT, "a short length", "rope_lengths[0] is 11");
    lr_session* raw = nullptr;
    check(world.context.get(), lr_session_create(world.base.get(), nullptr, 20, &raw));
    const SessionHandle session(raw);
    check(world.context.get(), lr_session_append(raw, tokens.data(), 12, nullptr));
    Floats want(kVocab);
    check(world.context.get(), lr_session_logits(raw, want.data()));
    const std::vector<Floats> got = run(world, cache.get(), LR_PREFILL, {{nullptr, tokens, {0}, 0}, {nullptr, {1, 2}, {1}, 0}}, {20, 0});
    expect(same_bytes(got[0], want), std::string(name_of(family)) + ": a length of one's own turns as a session of this capacity");
  }
}

void bad_arguments() {
  World world(Family::LlamaPlain, make_context(LR_BACKEND_FAST, 1));
  lr_context* context = world.context.get();
  lr_cache* none = nullptr;
  expect_status(context, lr_cache_create(world.base.get(), 0, 4, &none), LR_INVALID_ARGUMENT, "pages of no token", "at least one page");
  expect_status(context, lr_cache_create(world.base.get(), 16, 0, &none), LR_INVALID_ARGUMENT, "no pages", "at least one page");
  expect_status(context, lr_cache_create(world.base.get(), 1u << 31, 2, &none), LR_INVALID_ARGUMENT, "too many tokens", "2^31");
  const CacheHandle cache = open_cache(world, 4, 20);
  struct Bad {
    const char* what;
    uint32_t kind;
    std::vector<Row> rows;
    const char* mention;
  };
  const Bad all[] = {
      {"a kind", 2, {{nullptr, {1}, {0}, 0}}, "kind is 2"},
      {"two tokens to decode", LR_DECODE, {{nullptr, {1, 2}, {0}, 0}}, "one token of each"},
      {"a strange token", LR_DECODE, {{nullptr, {97}, {0}, 0}}, "tokens[0] is 97"},
      {"no page", LR_PREFILL, {{nullptr, {1}, {0}, 0}, {nullptr, {1}, {}, 0}}, "sequence 1 has 0 pages"},
      {"too few pages", LR_PREFILL, {{nullptr, {1, 2}, {0, 1}, 7}}, "its 9 tokens need 3"},
      {"a page that is not there", LR_PREFILL, {{nullptr, {1}, {20}, 0}}, "pages[0] is 20"},
      {"a page below 0", LR_PREFILL, {{nullptr, {1}, {-1, 2}, 4}}, "pages[0] is -1"},
      {"a negative past", LR_DECODE, {{nullptr, {1}, {0}, -1}}, "past[0] is -1"},
      {"beyond the positions", LR_DECODE, {{nullptr, {1}, page_range(0, 17), 64}}, "64 positions"},
      {"two writers", LR_DECODE, {{nullptr, {1}, {3}, 1}, {nullptr, {1}, {2, 3}, 5}}, "page 3 is pages[0] and pages[2]"},
      {"a reader of what is written", LR_DECODE, {{nullptr, {1}, {3, 2}, 4}, {nullptr, {1}, {2, 1}, 5}}, "page 2 is pages[1] and pages[2]"},
      {"a page twice", LR_DECODE, {{nullptr, {1}, {3, 3}, 4}}, "page 3 is pages[0] and pages[1]"},
  };
  Floats logits;
  for (const Bad& bad : all) {
    expect_status(context, run(cache.get(), bad.kind, CachedRows(bad.rows), logits), LR_INVALID_ARGUMENT, bad.what, bad.mention);
  }
  CachedRows made({{nullptr, {1, 2}, {0}, 0}});
  made.rows[0].end = 1;
  expect_status(context, run(cache.get(), LR_PREFILL, made, logits), LR_INVALID_ARGUMENT, "rows that end within a sequence", "no sequence starts");
  made = CachedRows({{nullptr, {1, 2}, {0, 1}, 3}});
  made.page_starts[0] = 1;
  expect_status(context, run(cache.get(), LR_PREFILL, made, logits), LR_INVALID_ARGUMENT, "page_starts", "begin with 0");
  made.page_starts = {0, -1};
  expect_status(context, run(cache.get(), LR_PREFILL, made, logits), LR_INVALID_ARGUMENT, "page_starts", "comes before");
  made = CachedRows({{nullptr, {1}, {0}, 0}});
  for (const int missing : {0, 1, 2, 3, 4}) {
    lr_cached_batch batch = made.batch();
    const int32_t** arrays[] = {&batch.tokens, &batch.starts, &batch.past, &batch.pages, &batch.page_starts};
    *arrays[missing] = nullptr;
    expect_status(context, lr_cache_run(cache.get(), LR_PREFILL, &batch, made.rows.data(), 1, nullptr, nullptr), LR_INVALID_ARGUMENT, "a missing array", "is null");
  }
}

// A call that is cancelled leaves what was there, and can be made again.
void cancelled() {
  World world(Family::LlamaPlain, make_context(LR_BACKEND_FAST, 2));
  const CacheHandle cache = open_cache(world, 16, 1);
  lr_cancel* raw = nullptr;
  check(world.context.get(), lr_cancel_create(&raw));
  const Cancel cancel(raw);
  lr_cancel_set(raw);
  const Story story = {nullptr, random_tokens(6, 1), random_tokens(1, 2)};
  run(world, cache.get(), LR_PREFILL, {{nullptr, story.prompt, {0}, 0}});
  const CachedRows next({{nullptr, story.next, {0}, 6}});
  Floats logits;
  expect_status(world.context.get(), run(cache.get(), LR_DECODE, next, logits, raw), LR_CANCELLED, "a cancelled step");
  check(world.context.get(), run(cache.get(), LR_DECODE, next, logits));
  expect(same_bytes(logits, alone(world, story, 16, 16)[1]), "and it goes on afterwards");
}

}  // namespace

void cache_cases() {
  every_family();
  every_machine();
  agrees_with_steps();
  long_prompts();
  shared_prefix();
  wanted_logits();
  methods();
  rope_lengths();
  bad_arguments();
  cancelled();
}

}  // namespace lr::test
