#include "cache.h"

#include <algorithm>

#include "repeats.h"

namespace lr {
namespace {

// Tokens go through the layers this many at a time, so that the workspace stays small. Which they are changes no result.
constexpr int64_t kPartTokens = 512;

// A 32-bit page table reaches no further.
constexpr int64_t kMostTokens = int64_t{1} << 31;

int64_t pages_for(int64_t tokens, int64_t page_tokens) { return (tokens + page_tokens - 1) / page_tokens; }

// The length that frequencies of a sequence are of, where it was given; else 0.
int64_t given_length(const lr_cached_batch& batch, uint32_t s) { return batch.rope_lengths == nullptr ? 0 : batch.rope_lengths[s]; }

int64_t new_tokens(const lr_cached_batch& batch, uint32_t s) { return batch.starts[s + 1] - batch.starts[s]; }

bool by_length(const RopeConfig& rope) { return rope.type == RopeType::Dynamic || rope.type == RopeType::Longrope; }

}  // namespace

// The tokens of a batch that go through the layers together, numbered from 0.
struct Cache::Part {
  int64_t tokens;
  std::vector<int32_t> starts{0};       // [sequences + 1]
  std::vector<PagedSequence> sequences;
  std::vector<int64_t> rope_lengths;    // [sequences]
  std::vector<RowGroup> groups;
  std::vector<int64_t> ends;            // last tokens of sequences whose logits are wanted
};

struct Cache::Plan {
  int32_t* rope_rows[kMaxRopes];  // [T]
  int64_t* cache_rows;            // [T] in keys_ and values_ of a layer; it and rope_rows in the machine's own memory
  float* hidden_rstd;             // [T]
  LayerActivations a;
  LayerScratch s;
};

Cache::Cache(Base& base, int64_t page_tokens, int64_t pages) : base_(base), page_tokens_(page_tokens), pages_(pages) {
  if (page_tokens < 1 || pages < 1 || page_tokens > kMostTokens / pages) {
    fail(LR_INVALID_ARGUMENT, "a cache of %lld pages of %lld tokens: there have to be at least one page of one token and fewer than 2^31 tokens",
         static_cast<long long>(pages), static_cast<long long>(page_tokens));
  }
  const ModelConfig& c = base.config();
  const auto floats = static_cast<size_t>(c.layers * pages * page_tokens * c.kv_width());
  keys_ = Buffer<float>(base.memory(), floats);
  values_ = Buffer<float>(base.memory(), floats);
  writers_ = Buffer<int32_t>(base.host_memory(), static_cast<size_t>(pages));
  for (const RopeConfig& rope : c.ropes) ropes_.emplace_back(rope, c.max_positions, base.memory());
}

void Cache::check_positions(const lr_cached_batch& batch, uint32_t s) const {
  const ModelConfig& c = config();
  const int64_t past = batch.past[s], total = past + new_tokens(batch, s), length = given_length(batch, s);
  const auto number = [](int64_t value) { return static_cast<long long>(value); };
  if (past < 0) fail(LR_INVALID_ARGUMENT, "past[%u] is %lld", s, number(past));
  if (total > c.max_positions) {
    fail(LR_INVALID_ARGUMENT, "sequence %u would have %lld tokens; the model has %lld positions", s, number(total), number(c.max_positions));
  }
  if (length != 0 && (length < total || length > c.max_positions)) {
    fail(LR_INVALID_ARGUMENT, "rope_lengths[%u] is %lld; it has to be from the %lld tokens of the sequence to the model's %lld positions", s,
         number(length), number(total), number(c.max_positions));
  }
  for (const RopeConfig& rope : c.ropes) {
    if (length != 0 || !by_length(rope) || total <= rope.original_positions) continue;
    fail(LR_INVALID_ARGUMENT,
         "sequence %u would have %lld tokens, more than the %lld positions of pre-training, where the rotary frequencies of this model depend "
         "on the length: give rope_lengths, the same for all tokens of a sequence",
         s, number(total), number(rope.original_positions));
  }
}

void Cache::check(const lr_cached_batch& batch) {
  std::fill(writers_.data(), writers_.data() + pages_, -1);
  // Calls f(entry of batch.pages, its page) for the pages of a sequence that hold its tokens [begin, end).
  const auto for_each_page = [&](uint32_t s, int64_t begin, int64_t end, const auto& f) {
    for (int64_t i = begin / page_tokens_; i < pages_for(end, page_tokens_); ++i) {
      const auto entry = static_cast<int32_t>(batch.page_starts[s] + i);
      f(entry, batch.pages[entry]);
    }
  };
  const auto tokens_of = [&](uint32_t s) { return batch.past[s] + new_tokens(batch, s); };
  for (uint32_t s = 0; s < batch.n_sequences; ++s) {
    check_positions(batch, s);
    const int64_t has = batch.page_starts[s + 1] - batch.page_starts[s], needs = pages_for(tokens_of(s), page_tokens_);
    if (has < needs) {
      fail(LR_INVALID_ARGUMENT, "sequence %u has %lld pages; its %lld tokens need %lld", s, static_cast<long long>(has),
           static_cast<long long>(tokens_of(s)), static_cast<long long>(needs));
    }
    for_each_page(s, 0, tokens_of(s), [&](int32_t entry, int32_t page) {
      if (page < 0 || page >= pages_) {
        fail(LR_INVALID_ARGUMENT, "pages[%d] is %d; the cache has pages 0 to %lld", entry, page, static_cast<long long>(pages_ - 1));
      }
    });
    for_each_page(s, batch.past[s], tokens_of(s), [&](int32_t entry, int32_t page) { writers_[static_cast<size_t>(page)] = entry; });
  }
  for (uint32_t s = 0; s < batch.n_sequences; ++s) {
    for_each_page(s, 0, tokens_of(s), [&](int32_t entry, int32_t page) {
      const int32_t writer = writers_[static_cast<size_t>(page)];
      if (writer == -1 || writer == entry) return;
      fail(LR_INVALID_ARGUMENT, "page %d is pages[%d] and pages[%d]: a page that is written belongs to one sequence, once", page,
           std::min(entry, writer), std::max(entry, writer));
    });
  }
}

Cache::Part Cache::part_of(const lr_cached_batch& batch, const std::vector<RowGroup>& groups, int64_t begin, int64_t end) {
  Part part = {};
  part.tokens = end - begin;
  for (uint32_t s = 0; s < batch.n_sequences; ++s) {
    const int64_t start = batch.starts[s], stop = batch.starts[s + 1], first = std::max(start, begin), last = std::min(stop, end);
    if (first >= last) continue;
    part.sequences.push_back({batch.past[s] + first - start, batch.pages + batch.page_starts[s]});
    const int64_t given = given_length(batch, s);
    part.rope_lengths.push_back(given != 0 ? given : batch.past[s] + new_tokens(batch, s));
    part.starts.push_back(static_cast<int32_t>(last - begin));
    if (last == stop && (batch.wanted == nullptr || batch.wanted[s] != 0)) part.ends.push_back(last - begin - 1);
  }
  for (const RowGroup& group : groups) {
    const int64_t first = std::max(group.begin, begin), last = std::min(group.end, end);
    if (first >= last) continue;
    part.groups.push_back(group);
    part.groups.back().begin = first - begin;
    part.groups.back().end = last - begin;
  }
  return part;
}

Cache::Plan Cache::make_plan(Arena& arena, Arena& host, const Pass& pass, int64_t lora_hidden) {
  const ModelConfig& c = pass.config();
  const int64_t T = pass.tokens;
  Plan plan = {};
  for (size_t i = 0; i < c.ropes.size(); ++i) plan.rope_rows[i] = host.take<int32_t>(T);
  plan.cache_rows = host.take<int64_t>(T);
  plan.hidden_rstd = arena.floats(T);
  plan.a.x = arena.floats(T * c.hidden);
  if (pass.rounds_stream()) plan.a.x2 = arena.floats(T * c.hidden);
  take_kept(arena, pass, plan.a);
  take_recomputed(arena, pass, plan.a);
  std::fill(plan.a.h, plan.a.h + kLinears, arena.floats(lora_hidden));  // nobody reads it after the forward product
  plan.s.n = pass.operand(arena, c.hidden);
  take_forward(arena, pass, plan.s);
  return plan;
}

RopeTable& Cache::rope_table(size_t index) {
  return config().ropes[index].type == RopeType::Dynamic ? ropes_[index] : base_.ropes()[index];
}

// Where every token of the part turns, and where its keys and values go.
void Cache::number_rows(const Part& part, Plan& plan, Pass& pass) {
  std::vector<RopeSpan> spans;
  for (size_t s = 0; s < part.sequences.size(); ++s) {
    const PagedSequence& sequence = part.sequences[s];
    const int64_t n = part.starts[s + 1] - part.starts[s];
    spans.push_back({part.rope_lengths[s], sequence.past + n});
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = sequence.past + i;
      plan.cache_rows[part.starts[s] + i] = sequence.pages[at / page_tokens_] * page_tokens_ + at % page_tokens_;
    }
  }
  for (size_t i = 0; i < config().ropes.size(); ++i) {
    RopeTable& table = rope_table(i);
    table.reserve(spans);
    for (size_t s = 0; s < part.sequences.size(); ++s) {
      const int64_t first = table.first_row(part.rope_lengths[s]) + part.sequences[s].past;
      for (int32_t t = part.starts[s]; t < part.starts[s + 1]; ++t) {
        plan.rope_rows[i][t] = static_cast<int32_t>(first + t - part.starts[s]);
      }
    }
    pass.ropes[i] = {table.cos(), table.sin(), plan.rope_rows[i]};
  }
}

// Leaves the output of the last layer in plan.a.x.
void Cache::run_part(const Pass& pass, const Part& part, const Plan& plan, const int32_t* tokens, const CancelFlag* cancel) {
  const ModelConfig& c = config();
  const LayerActivations& a = plan.a;
  embed(pass, tokens, a.x);
  for (int layer = 0; layer < static_cast<int>(c.layers); ++layer) {
    check_cancelled(cancel);
    const int64_t width = c.kv_width(), layer_size = pages_ * page_tokens_ * width;
    float *keys = keys_.data() + layer * layer_size, *values = values_.data() + layer * layer_size;
    forward_attention_inputs(pass, layer, a, plan.s);
    pass.ops.store_keys(pass.run, a.k.floats, a.v.floats, plan.cache_rows, keys, values, pass.tokens, width);
    pass.ops.attention_cached(pass.run, pass.attention(layer), a.q.floats, {keys, values, page_tokens_}, part.sequences.data(), part.starts.data(),
                              static_cast<int64_t>(part.sequences.size()), a.o);
    forward_attention_output(pass, layer, a);
    forward_mlp_inputs(pass, layer, a, plan.s);
    forward_output(pass, layer, a, plan.s, a.x);
  }
}

// Logits of the sequences whose ends are wanted, one after the other; returns how many floats they are.
int64_t Cache::logits_of_ends(const Pass& pass, const Part& part, const Plan& plan, float* logits) {
  const int64_t d = pass.config().hidden;
  const auto wanted = static_cast<int64_t>(part.ends.size());
  if (wanted == 0) return 0;
  const int64_t* ends = part.ends.data();
  for (int64_t i = 0, stop = 0; i < wanted; i = stop) {  // tokens that follow each other, at once
    for (stop = i + 1; stop < wanted && ends[stop] == ends[i] + stop - i;) ++stop;
    pass.memory().copy(plan.a.x2 + i * d, plan.a.x + ends[i] * d, static_cast<size_t>((stop - i) * d) * sizeof(float));
  }
  final_norm(pass, plan.a.x2, plan.s.n, plan.hidden_rstd, wanted);
  logits_of(pass, plan.s.n, logits, wanted);
  return wanted * pass.config().vocab;
}

void Cache::run(Runtime& runtime, bool decoding, const lr_cached_batch& batch, const std::vector<RowGroup>& groups,
                const CancelFlag* cancel, float* logits) {
  const ModelConfig& c = config();
  Run run = runtime.run;
  run.decoding = decoding;
  for (int64_t begin = 0; begin < batch.n_tokens; begin += kPartTokens) {
    const Part part = part_of(batch, groups, begin, std::min<int64_t>(begin + kPartTokens, batch.n_tokens));
    Pass pass = {run, runtime.ops, base_, part.groups, part.tokens, false};
    pass.cached = true;
    int64_t lora_hidden = 0;
    for (int layer = 0; layer < static_cast<int>(c.layers); ++layer) {
      for (int kind = 0; kind < kLinears; ++kind) lora_hidden = std::max(lora_hidden, pass.lora_hidden_size(layer, kind));
    }
    Arena measure, measure_host;
    make_plan(measure, measure_host, pass, lora_hidden);
    Arena arena(runtime.workspace(measure.peak())), host(runtime.host_workspace(measure_host.peak()));
    Plan plan = make_plan(arena, host, pass, lora_hidden);
    number_rows(part, plan, pass);
    RepeatedWork work(decoding ? runtime.memory.repeats() : nullptr, run);
    run_part(pass, part, plan, batch.tokens + begin, cancel);
    if (logits != nullptr) logits += logits_of_ends(pass, part, plan, logits);
    work.end();
  }
}

}  // namespace lr
