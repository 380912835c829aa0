// Generation: the cache gives what the whole sequence gives, and draws follow their distribution.
#include <cmath>
#include <limits>
#include <map>

#include "api/handles.h"
#include "model/error.h"
#include "model/sampling.h"
#include "tiny_model.h"

namespace lr::test {
namespace {

Floats full_logits(World& world, lr_adapter* adapter, const Packed& packed) {
  const lr_rows rows = {adapter, 0, packed.size(), 1, 0};
  const lr_batch batch = packed.batch();
  Floats logits(packed.size() * kVocab);
  check(world.context.get(), lr_logits(world.base.get(), &batch, &rows, 1, logits.data()));
  return logits;
}

SessionHandle open_session(World& world, lr_adapter* adapter, uint32_t capacity) {
  lr_session* session = nullptr;
  check(world.context.get(), lr_session_create(world.base.get(), adapter, capacity, &session));
  return SessionHandle(session);
}

Floats logits_of(World& world, lr_session* session) {
  Floats logits(kVocab);
  check(world.context.get(), lr_session_logits(session, logits.data()));
  return logits;
}

void cache_agrees(Family family, uint32_t backend) {
  World world(family, make_context(backend, 2));
  AdapterHandle adapter = world.adapter(linears_of(family), 4, 0.5f);  // dropout plays no part in generation
  const Packed packed({40});
  for (lr_adapter* with : {adapter.get(), static_cast<lr_adapter*>(nullptr)}) {
    const Floats full = full_logits(world, with, packed);
    const auto row = [](const Floats& logits, size_t t) {
      return Floats(logits.begin() + static_cast<std::ptrdiff_t>(t * kVocab), logits.begin() + static_cast<std::ptrdiff_t>((t + 1) * kVocab));
    };
    SessionHandle session = open_session(world, with, 40);
    size_t at = 0;
    double worst = 0;
    for (const uint32_t n : {5u, 1u, 17u, 1u, 1u, 15u}) {
      check(world.context.get(), lr_session_append(session.get(), packed.tokens.data() + at, n, nullptr));
      at += n;
      // Past 8 positions dynamic RoPE turns as the whole session will; all else as the sequence so far would alone.
      const bool whole = family == Family::LlamaDynamic && at > 8;
      Packed sofar({static_cast<int>(at)});
      std::copy(packed.tokens.begin(), packed.tokens.begin() + static_cast<std::ptrdiff_t>(at), sofar.tokens.begin());
      const Floats want = row(whole ? full : full_logits(world, with, sofar), at - 1);
      worst = std::max(worst, distance(logits_of(world, session.get()), want));
    }
    expect(at == 40 && worst < 1e-4, std::string(name_of(family)) + ": cached logits differ from the whole sequence's by " + std::to_string(worst));
  }
  expect(distance(full_logits(world, adapter.get(), packed), full_logits(world, nullptr, packed)) > 0.01, "the adapter changes logits");
}

// A session that grows past the positions of pre-training is computed anew; cancelled halfway, it stays as it was.
void regime_change() {
  World world(Family::Phi3);
  const Packed packed({12});
  SessionHandle session = open_session(world, nullptr, 40);
  check(world.context.get(), lr_session_append(session.get(), packed.tokens.data(), 8, nullptr));
  const Floats before = logits_of(world, session.get());
  lr_cancel* raw = nullptr;
  check(world.context.get(), lr_cancel_create(&raw));
  const Cancel cancel(raw);
  lr_cancel_set(raw);
  expect_status(world.context.get(), lr_session_append(session.get(), packed.tokens.data() + 8, 4, raw), LR_CANCELLED, "a change of frequencies, cancelled");
  expect(same_bytes(logits_of(world, session.get()), before), "a cancelled change of frequencies leaves the session as it was");
  check(world.context.get(), lr_session_append(session.get(), packed.tokens.data() + 8, 4, nullptr));
  const Floats full = full_logits(world, nullptr, packed);
  expect(distance(logits_of(world, session.get()), Floats(full.end() - kVocab, full.end())) < 1e-4, "and it goes on afterwards");
}

// Sessions take turns, past the positions of pre-training: each gives what it gives alone, and the base's table is left to steps.
void taking_turns() {
  World world(Family::LlamaDynamic);
  const Packed packed({24});
  full_logits(world, nullptr, packed);
  const float* table = world.base->base.ropes()[0].cos();
  const auto append = [&](lr_session* session, uint32_t at) {
    check(world.context.get(), lr_session_append(session, packed.tokens.data() + at, 4, nullptr));
    return logits_of(world, session);
  };
  std::vector<Floats> alone;
  for (const uint32_t capacity : {30u, 40u}) {
    SessionHandle session = open_session(world, nullptr, capacity);
    for (uint32_t at = 0; at < 24; at += 4) alone.push_back(append(session.get(), at));
  }
  SessionHandle first = open_session(world, nullptr, 30), second = open_session(world, nullptr, 40);
  bool same = true;
  for (uint32_t at = 0; at < 24; at += 4) {
    same &= same_bytes(append(first.get(), at), alone[at / 4]);
    same &= same_bytes(append(second.get(), at), alone[6 + at / 4]);
  }
  expect(same, "sessions that take turns give what they give alone");
  expect(!same_bytes(alone[5], alone[11]), "dynamic frequencies are those of the capacity");
  expect(world.base->base.ropes()[0].cos() == table, "sessions leave the base's table of dynamic frequencies as it is");
}

// Prompts longer than one chunk of the prefill.
void long_prompt() {
  TemporaryFolder folder;
  TinyModel model = tiny_model(Family::LlamaPlain);
  model.config.replace(model.config.find("\"max_position_embeddings\":64"), 28, "\"max_position_embeddings\":2048");
  model.write(folder.path("model"));
  Context context = make_context(LR_BACKEND_FAST, 2);
  check(context.get(), lr_base_quantize(context.get(), folder.path("model").c_str(), folder.path("b").c_str(), nullptr, nullptr,
                                         nullptr, nullptr));
  lr_base* raw = nullptr;
  check(context.get(), lr_base_open(context.get(), folder.path("b").c_str(), &raw));
  BaseHandle base(raw);
  const Packed packed({700});
  Floats one(kVocab), two(kVocab);
  for (Floats* logits : {&one, &two}) {
    lr_session* session = nullptr;
    check(context.get(), lr_session_create(base.get(), nullptr, 700, &session));
    const SessionHandle owner(session);
    const uint32_t first = logits == &one ? 700 : 300;
    check(context.get(), lr_session_append(session, packed.tokens.data(), first, nullptr));
    if (first < 700) check(context.get(), lr_session_append(session, packed.tokens.data() + first, 700 - first, nullptr));
    check(context.get(), lr_session_logits(session, logits->data()));
  }
  expect(distance(one, two) < 1e-4, "a long prompt gives the same logits in one piece or two");
}

void bad_arguments() {
  World world;
  lr_session* none = nullptr;
  expect_status(world.context.get(), lr_session_create(world.base.get(), nullptr, 0, &none), LR_INVALID_ARGUMENT, "no capacity", "between 1 and");
  expect_status(world.context.get(), lr_session_create(world.base.get(), nullptr, 65, &none), LR_INVALID_ARGUMENT, "too much capacity", "64 positions");
  SessionHandle session = open_session(world, nullptr, 4);
  Floats logits(kVocab);
  const lr_sampling greedy = {0, 1, 0, 0};
  int32_t token;
  expect_status(world.context.get(), lr_session_logits(session.get(), logits.data()), LR_INVALID_ARGUMENT, "no tokens", "no tokens yet");
  expect_status(world.context.get(), lr_session_sample(session.get(), &greedy, &token), LR_INVALID_ARGUMENT, "no tokens", "no tokens yet");
  const int32_t tokens[] = {1, 2, 96, 97, -1};
  expect_status(world.context.get(), lr_session_append(session.get(), tokens, 0, nullptr), LR_INVALID_ARGUMENT, "nothing", "no tokens to append");
  expect_status(world.context.get(), lr_session_append(session.get(), tokens, 4, nullptr), LR_INVALID_ARGUMENT, "a strange token", "tokens[3] is 97");
  expect_status(world.context.get(), lr_session_append(session.get(), tokens, 5, nullptr), LR_INVALID_ARGUMENT, "too many", "room for 4 more");

  check(world.context.get(), lr_session_append(session.get(), tokens, 2, nullptr));
  const Floats before = logits_of(world, session.get());
  lr_cancel* raw = nullptr;
  check(world.context.get(), lr_cancel_create(&raw));
  const Cancel cancel(raw);
  lr_cancel_set(raw);
  expect_status(world.context.get(), lr_session_append(session.get(), tokens + 2, 1, raw), LR_CANCELLED, "a cancelled append");
  expect(same_bytes(logits_of(world, session.get()), before), "a cancelled append leaves the session as it was");
  for (const lr_sampling& bad : {lr_sampling{-1, 1, 0, 0}, lr_sampling{NAN, 1, 0, 0}, lr_sampling{1, 0, 0, 0}, lr_sampling{1, 1.5f, 0, 0}}) {
    expect(lr_session_sample(session.get(), &bad, &token) == LR_INVALID_ARGUMENT, "sampling out of range");
  }
}

std::map<int32_t, int> draws(const Floats& logits, lr_sampling sampling, int count) {
  std::map<int32_t, int> seen;
  for (int i = 0; i < count; ++i) {
    sampling.seed = static_cast<uint64_t>(i);
    sampling.position = 3;
    ++seen[sample_token(logits.data(), static_cast<int64_t>(logits.size()), sampling)];
  }
  return seen;
}

void sampling() {
  const Floats logits = {0, std::log(4.0f), std::log(2.0f), std::log(4.0f), -50};  // probabilities 1, 4, 2, 4 of 11
  const auto greedy = draws(logits, {0, 1, 0, 0}, 5);
  expect(greedy.size() == 1 && greedy.count(1) == 1, "greedy takes the lowest id of the highest logits");
  const auto plain = draws(logits, {1, 1, 0, 0}, 11'000);
  const auto near = [&](const std::map<int32_t, int>& seen, int32_t id, double share) {
    const auto found = seen.find(id);
    return found != seen.end() && std::fabs(found->second / 11'000.0 - share) < 0.02;
  };
  expect(near(plain, 0, 1 / 11.0) && near(plain, 1, 4 / 11.0) && near(plain, 2, 2 / 11.0) && near(plain, 3, 4 / 11.0), "temperature 1");
  const auto cold = draws(logits, {0.5f, 1, 0, 0}, 11'000);
  expect(near(cold, 0, 1 / 37.0) && near(cold, 1, 16 / 37.0), "temperature 0.5 squares the probabilities");
  const auto top_k = draws(logits, {1, 1, 2, 0}, 11'000);
  expect(top_k.size() == 2 && near(top_k, 1, 0.5) && near(top_k, 3, 0.5), "top-k 2");
  const auto top_p = draws(logits, {1, 0.75f, 0, 0}, 11'000);
  expect(top_p.size() == 3 && near(top_p, 2, 0.2) && near(top_p, 3, 0.4), "top-p 0.75 takes three tokens");
  const auto narrow = draws(logits, {1, 0.01f, 0, 0}, 50);
  expect(narrow.size() == 1 && narrow.count(1) == 1, "a tiny top-p keeps the most probable token");
  const auto both = draws(logits, {1, 0.6f, 3, 0}, 11'000);
  expect(both.size() == 2 && near(both, 1, 0.5), "top-p counts within top-k");

  Floats many(5000, 0.0f);
  many[4321] = 5;
  const auto wide = draws(many, {1, 0.99f, 0, 0}, 300);
  expect(wide.size() > 200 && wide.count(4321) == 1, "top-p over a flat tail");
  const lr_sampling random = {1, 1, 0, 9, 7};
  expect(sample_token(many.data(), 5000, random) == sample_token(many.data(), 5000, random), "seed and position fix the draw");
  many[3] = std::numeric_limits<float>::quiet_NaN();
  try {
    sample_token(many.data(), 5000, random);
    expect(false, "NaN logits drawn from");
  } catch (const Error& error) {
    expect(error.status() == LR_NOT_FINITE, "NaN logits are refused");
  }
}

// Biases, penalties, masks and min-p, each where it can be counted.
void shaped_draws() {
  const Floats logits = {2, 1, 0, -1};
  const auto greedy = [&](lr_sampling sampling) { return draws(logits, sampling, 1).begin()->first; };
  lr_sampling plain = {0, 1, 0, 0};

  lr_sampling biased = plain;
  const int32_t ids[] = {0, 3};
  const float biases[] = {-100, 2.5f};
  biased.bias_tokens = ids;
  biased.biases = biases;
  biased.n_biases = 2;
  expect(greedy(biased) == 3, "biases are added");

  lr_sampling penalised = plain;
  const int32_t history[] = {0, 0, 1, 3};
  penalised.history = history;
  penalised.n_history = 4;
  penalised.repetition_penalty = 2.5f;  // 0.8, 0.4, 0, -2.5
  expect(greedy(penalised) == 0, "a repetition penalty divides logits above 0");
  penalised.repetition_penalty = 0;
  penalised.n_prompt = 1;
  penalised.presence_penalty = 1.5f;  // 0.5, -0.5, 0, -2.5
  expect(greedy(penalised) == 0, "presence counts once");
  penalised.frequency_penalty = 0.6f;  // -0.1, -1.1, 0, …
  expect(greedy(penalised) == 2, "frequency counts what was generated");
  penalised.n_prompt = 4;
  expect(greedy(penalised) == 0, "a prompt has neither penalty");

  lr_sampling masked = {1, 1, 0, 0};
  const uint32_t mask[] = {0b1010};
  masked.allowed = mask;
  const auto seen = draws(logits, masked, 500);
  expect(seen.size() == 2 && seen.count(1) == 1 && seen.count(3) == 1, "only allowed tokens are drawn");
  const uint32_t none[] = {0b10000};
  masked.allowed = none;
  try {
    greedy(masked);
    expect(false, "nothing allowed, drawn from");
  } catch (const Error& error) {
    expect(error.status() == LR_INVALID_ARGUMENT, "no token is allowed");
  }

  lr_sampling likely = {1, 1, 0, 0};
  likely.min_p = 0.3f;  // e⁻¹ stays, e⁻² goes
  expect(draws(logits, likely, 500).size() == 2, "min-p leaves out what is unlikely beside the best");
}

// Rows of their own settings in one call, and their log-probabilities.
void sample_rows() {
  World world(Family::LlamaPlain, make_context(LR_BACKEND_FAST, 2));
  lr_context* context = world.context.get();
  const Floats logits = {0, std::log(4.0f), std::log(2.0f), std::log(4.0f), 1, 1, 3, 1};
  lr_sampling sampling[] = {{0, 1, 0, 0}, {1, 1, 1, 5, 9}};
  int32_t tokens[2], top[4];
  float logprobs[6];
  check(context, lr_sample(context, logits.data(), 4, sampling, 2, tokens, 2, top, logprobs));
  expect(tokens[0] == 1 && tokens[1] == 2, "a token of each row");
  expect(top[0] == 1 && top[1] == 3 && top[2] == 2 && top[3] == 0, "the most probable tokens of each row");
  expect(std::fabs(logprobs[0] - std::log(4.0f / 11)) < 1e-6f && logprobs[1] == logprobs[0] && logprobs[2] == logprobs[0], "log-probabilities");
  expect(std::fabs(logprobs[5] - (1 - std::log(3 * std::exp(1.0f) + std::exp(3.0f)))) < 1e-5f, "of each row");
  sampling[0].bias_tokens = &tokens[0];
  const float much = 50;
  sampling[0].biases = &much;
  sampling[0].n_biases = 1;
  float unchanged[2];
  check(context, lr_sample(context, logits.data(), 4, sampling, 2, tokens, 0, nullptr, unchanged));
  expect(unchanged[0] == logprobs[0], "log-probabilities are the model's own");

  struct Bad {
    lr_sampling sampling;
    const char* mention;
  };
  const int32_t strange[] = {4};
  const float infinite[] = {INFINITY};
  std::vector<Bad> all(9, {{1, 1, 0, 0}, ""});
  all[0] = {{-1, 1, 0, 0}, "sampling[1]: temperature -1"};
  all[1] = {{1, 0, 0, 0}, "top_p 0"};
  all[2].sampling.min_p = 2, all[2].mention = "min_p 2";
  all[3].sampling.repetition_penalty = -1, all[3].mention = "repetition_penalty -1";
  all[4].sampling.presence_penalty = NAN, all[4].mention = "presence_penalty";
  all[5].sampling.history = strange, all[5].sampling.n_history = 1, all[5].mention = "history[0] is 4";
  all[6].sampling.history = strange, all[6].sampling.n_prompt = 1, all[6].mention = "1 of them a prompt";
  all[7].sampling.bias_tokens = strange, all[7].sampling.n_biases = 1, all[7].mention = "biases is null";
  all[8].sampling.bias_tokens = top, all[8].sampling.biases = infinite, all[8].sampling.n_biases = 1, all[8].mention = "biases[0] is not finite";
  for (const Bad& bad : all) {
    const lr_sampling two[] = {{0, 1, 0, 0}, bad.sampling};
    expect_status(context, lr_sample(context, logits.data(), 4, two, 2, tokens, 0, nullptr, nullptr), LR_INVALID_ARGUMENT, "sampling", bad.mention);
  }
  expect_status(context, lr_sample(context, logits.data(), 4, sampling, 0, tokens, 0, nullptr, nullptr), LR_INVALID_ARGUMENT, "no rows", "0 rows");
  expect_status(context, lr_sample(context, logits.data(), 4, sampling, 1, tokens, 5, top, logprobs), LR_INVALID_ARGUMENT, "n_top", "n_top is 5");
  expect_status(context, lr_sample(context, logits.data(), 4, sampling, 1, tokens, 2, nullptr, logprobs), LR_INVALID_ARGUMENT, "top_tokens", "is null");
  const Floats broken = {0, NAN, 0, 0};
  expect_status(context, lr_sample(context, broken.data(), 4, sampling + 1, 1, tokens, 0, nullptr, nullptr), LR_NOT_FINITE, "NaN", "not finite");
}

}  // namespace

void session_cases() {
  for (const Family family : kFamilies) cache_agrees(family, LR_BACKEND_FAST);
  cache_agrees(Family::LlamaBiased, LR_BACKEND_REFERENCE);
  cache_agrees(Family::Gemma2, LR_BACKEND_REFERENCE);
  regime_change();
  taking_turns();
  long_prompt();
  bad_arguments();
  sampling();
  shaped_draws();
  sample_rows();
}

}  // namespace lr::test
