// Decoding by graphs under the emulator, through the C interface: graphs are made and started, and bytes are those of kernels that are started
// one by one, while lengths, tokens, pages, rows and weights change between steps that look alike.
#include <cmath>
#include <cstdlib>
#include <thread>

#include "../model/tiny_model.h"
#include "../support/run_checks.h"
#include "cuda/emulator/memory.h"
#include "cuda/queue.h"
#include "pool.h"
#include "scratch.h"

namespace lr::cuda {
extern const Ops kOps;
}

namespace lr::test {
namespace {

constexpr int32_t kPageTokens = 3, kPages = 12;  // of a sequence
constexpr int kSequences = 5;
constexpr uint32_t kOrder = 3;  // of warps and lanes

Context context(bool graphs, uint32_t compute) {
  setenv("LOWRANK_CUDA_GRAPHS", graphs ? "on" : "off", 1);
  return make_context(LR_BACKEND_FAST, kOrder, compute);
}

// Sequences over one cache: of two adapters and of the bare base, their pages mixed up.
struct Decoding {
  Decoding(Family family, bool graphs, uint32_t compute)
      : world(family, context(graphs, compute)), first(world.adapter(linears_of(family), 4)), second(world.adapter(linears_of(family), 7, 0, {}, false, 9)) {
    lr_cache* made = nullptr;
    check(world.context.get(), lr_cache_create(world.base.get(), kPageTokens, kPages * kSequences, &made));
    cache.reset(made);
  }

  // The next `count` tokens of each of these sequences, which depend on the sequence and their position alone.
  lr_status advance(const std::vector<int>& which, int count, Floats& logits, lr_cancel* cancel = nullptr) {
    std::vector<int32_t> tokens, starts{0}, lengths, pages, page_starts{0}, rope_lengths(which.size(), kPages * kPageTokens);
    std::vector<lr_rows> rows;
    for (const int s : which) {
      for (int i = 0; i < count; ++i) tokens.push_back((s * 31 + (past[s] + i) * 17 + shift) % static_cast<int32_t>(kVocab));
      for (int32_t page = 0; page < kPages; ++page) pages.push_back(kSequences * (kPages - 1 - page) + s);
      lr_adapter* adapters[] = {first.get(), second.get(), nullptr};
      rows.push_back({adapters[s % 3], static_cast<uint32_t>(starts.back()), static_cast<uint32_t>(tokens.size()), 1, 0});
      starts.push_back(static_cast<int32_t>(tokens.size()));
      page_starts.push_back(static_cast<int32_t>(pages.size()));
      lengths.push_back(past[s]);
    }
    const lr_cached_batch batch = {tokens.data(), starts.data(), lengths.data(), pages.data(), page_starts.data(), rope_lengths.data(), nullptr,
                                   static_cast<uint32_t>(tokens.size()), static_cast<uint32_t>(which.size())};
    logits.assign(which.size() * kVocab, NAN);
    const lr_status status = lr_cache_run(cache.get(), count == 1 ? LR_DECODE : LR_PREFILL, &batch, rows.data(),
                                          static_cast<uint32_t>(rows.size()), cancel, logits.data());
    if (status == LR_OK)
      for (const int s : which) past[s] += count;
    return status;
  }
  Floats next(const std::vector<int>& which, int count = 1) {
    Floats logits;
    check(world.context.get(), advance(which, count, logits));
    return logits;
  }
  // Other weights at the same addresses.
  void train() {
    const Packed packed({7, 5});
    const lr_batch batch = packed.batch();
    const lr_rows rows = {first.get(), 0, packed.size(), 1, 3};
    const lr_step_options options = {1, 0};
    const lr_adamw adamw = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.01f, 1.0f, 0};
    lr_loss loss;
    float norm;
    check(world.context.get(), lr_train_step(world.base.get(), &batch, &rows, 1, &options, nullptr, &loss));
    check(world.context.get(), lr_adapter_optimizer_step(first.get(), &adamw, &norm));
  }

  World world;
  AdapterHandle first, second;
  CacheHandle cache;
  int32_t past[kSequences] = {}, shift = 0;
};

// What a Decoding is taken through; the logits of every step.
template <typename Each>
void story(Decoding& one, const Each& each) {
  each(one.next({0, 1, 2, 3, 4}, 2));
  for (int step = 0; step < 6; ++step) each(one.next({0, 1, 2, 3}));  // page tables grow by a power of two in it
  for (int step = 0; step < 3; ++step) each(one.next({3, 4, 1}));     // others, in another order
  for (int step = 0; step < 3; ++step) each(one.next({0, 1, 2, 3}));  // the first ones again
  one.train();
  for (int step = 0; step < 2; ++step) each(one.next({0, 1, 2, 3}));
  one.shift = 5;
  each(one.next({4}, 9));  // a workspace that is larger lies elsewhere
  for (int step = 0; step < 3; ++step) each(one.next({0, 1, 2, 3}));
}

void same_as_one_by_one(Family family, uint32_t compute) {
  const std::string what = std::string(name_of(family)) + (compute == LR_COMPUTE_BF16 ? " bf16" : " f32");
  std::vector<Floats> plain;
  const uint64_t before = cuda::emulator::graphs_started();
  {
    Decoding one(family, false, compute);
    story(one, [&](Floats logits) { plain.push_back(std::move(logits)); });
  }
  expect(cuda::emulator::graphs_started() == before, what + ": LOWRANK_CUDA_GRAPHS=off starts none");
  Decoding one(family, true, compute);
  size_t at = 0;
  bool same = true;
  story(one, [&](const Floats& logits) { same &= same_bytes(logits, plain[at++]); });
  expect(same, what + ": graphs give the bytes of kernels that are started one by one");
  // Of 17 steps of one token: a batch, a size of page tables and a workspace are new once each.
  const uint64_t started = cuda::emulator::graphs_started() - before;
  expect(started >= 10, what + ": graphs were started, " + std::to_string(started));
}

// A sequence in a batch by graphs, and alone without.
void same_alone() {
  Decoding together(Family::LlamaPlain, true, LR_COMPUTE_BF16), alone(Family::LlamaPlain, false, LR_COMPUTE_BF16);
  together.next({0, 1, 2}, 2);
  alone.next({1}, 2);
  bool same = true;
  for (int step = 0; step < 4; ++step) {
    const Floats all = together.next({0, 1, 2});
    same &= same_bytes(Floats(all.begin() + kVocab, all.begin() + 2 * kVocab), alone.next({1}));
  }
  expect(same, "a sequence gets the same bytes alone, without graphs");
}

void refused() {
  Decoding one(Family::LlamaPlain, true, LR_COMPUTE_F32), plain(Family::LlamaPlain, false, LR_COMPUTE_F32);
  const uint64_t before = cuda::emulator::graphs_started();
  bool same = true;
  const cuda::emulator::NoGraphs none;
  for (int step = 0; step < 4; ++step) same &= same_bytes(one.next({0, 1}), plain.next({0, 1}));
  expect(same && cuda::emulator::graphs_started() == before, "a driver that makes no graph changes no byte");
}

void cancelled() {
  Decoding one(Family::LlamaPlain, true, LR_COMPUTE_F32), plain(Family::LlamaPlain, false, LR_COMPUTE_F32);
  lr_cancel* made = nullptr;
  check(nullptr, lr_cancel_create(&made));
  const Cancel cancel(made);
  lr_cancel_set(cancel.get());
  bool same = true;
  for (int step = 0; step < 4; ++step) {
    Floats logits;
    expect(one.advance({0, 1}, 1, logits, cancel.get()) == LR_CANCELLED, "a step that is cancelled");
    same &= same_bytes(one.next({0, 1}), plain.next({0, 1}));
  }
  expect(same, "a step that was cancelled leaves nothing behind");
}

// As many batches as there are, each twice: the graphs of those that were long ago go.
void bounded() {
  Decoding one(Family::LlamaPlain, true, LR_COMPUTE_F32);
  for (int batch = 1; batch < 32; ++batch) {
    std::vector<int> forwards, backwards;
    for (int s = 0; s < kSequences; ++s)
      if ((batch >> s & 1) != 0) forwards.push_back(s);
    backwards.assign(forwards.rbegin(), forwards.rend());
    for (int32_t& past : one.past) past = 0;
    for (int step = 0; step < 2; ++step) {
      one.next(forwards);
      one.next(backwards);
    }
  }
  expect(cuda::emulator::graphs_alive() <= 32, std::to_string(cuda::emulator::graphs_alive()) + " graphs are kept");
}

struct Padded {
  bool narrow;
  double wide;
};

cuda::Recording recording_of(int garbage, double wide, int threads) {
  Padded padded;
  std::memset(static_cast<void*>(&padded), garbage, sizeof padded);
  padded.narrow = true;
  padded.wide = wide;
  cuda::Recording recording;
  recording.add<char, Padded>({[](const Run&, const cuda::Recording::Work&, unsigned char*) {}, nullptr, {2}, threads}, 'a', padded);
  return recording;
}

void equality() {
  const cuda::Recording one = recording_of(0xAA, 3, 64);
  expect(one == recording_of(0x55, 3, 64), "what a struct leaves unused is no part of a recording");
  expect(!(one == recording_of(0xAA, 4, 64)) && !(one == recording_of(0xAA, 3, 32)), "an argument and a number of threads are");
}

// A queue, and what its operations need.
struct Queue {
  Queue() { run.device = device.get(); }
  MemoryCounter counter;
  BlockScratch scratch{counter};
  std::unique_ptr<Pool> pool = make_pool(1);
  std::unique_ptr<Device, void (*)(Device*)> device{cuda::open_queue(), cuda::close_queue};
  Run run = {pool.get(), &scratch, Compute::F32};
  cuda::Recorder& recorder() { return cuda::recorder_of(device.get()); }
};

// While one thread writes work down, that of another is started.
void other_threads() {
  Queue queue;
  Floats own = {1}, other = {1};
  queue.recorder().begin(queue.run, nullptr, 0);
  cuda::kOps.scale(queue.run, own.data(), 2, 1);
  std::thread([&] { cuda::kOps.scale(queue.run, other.data(), 3, 1); }).join();
  expect(own[0] == 1 && other[0] == 3, "work of another thread is started at once");
  queue.recorder().finish();
  expect(own[0] == 2 && other[0] == 3, "and that which was written down, once");
}

// Small arrays that find no more room at their fixed place: what was written down is started, and the rest as it is given.
void no_room() {
  Queue queue;
  const Run& run = queue.run;
  const Floats table = {10, 20, 30, 40};
  const Weight weight = {Storage::F32, 4, 1, table.data(), {}};
  alignas(16) unsigned char inputs[32];
  Floats out(8, NAN);
  const int32_t tokens[] = {3, 1, 0, 2};
  queue.recorder().begin(run, inputs, sizeof inputs);
  cuda::kOps.embedding(run, weight, tokens, 1, out.data(), 4);
  cuda::kOps.embedding(run, weight, tokens, 1, out.data() + 4, 4);
  expect(std::isnan(out[0]), "nothing is started while there is room");
  cuda::kOps.embedding(run, weight, tokens + 1, 1, out.data(), 3);
  cuda::kOps.embedding(run, weight, tokens + 2, 1, out.data() + 2, 2);
  expect(out == Floats({20, 10, 10, 30, 40, 20, 10, 30}), "arrays without room, in their order");
}

// Sequences that grow beyond one part of keys: two recordings, and the bytes of what is started as it is given.
void growing_parts() {
  constexpr int64_t kPageSize = 16, kTablePages = 9, kSequenceCount = 2, kHeads = 2, kWidth = 8;
  Queue queue;
  Run run = queue.run;
  run.decoding = true;
  Floats keys(kSequenceCount * kTablePages * kPageSize * kWidth), values(keys.size()), q(kSequenceCount * kHeads * kWidth);
  for (size_t i = 0; i < keys.size(); ++i) {
    keys[i] = std::sin(static_cast<float>(i));
    values[i] = std::cos(static_cast<float>(3 * i));
  }
  for (size_t i = 0; i < q.size(); ++i) q[i] = std::sin(static_cast<float>(5 * i));
  int32_t pages[kSequenceCount][kTablePages];
  for (int32_t i = 0; i < kTablePages; ++i) {
    pages[0][i] = 2 * i;
    pages[1][i] = 2 * i + 1;
  }
  const int32_t starts[] = {0, 1, 2};
  alignas(16) static unsigned char inputs[1 << 16];
  const uint64_t before = cuda::emulator::graphs_started();
  Floats plain(q.size()), recorded(q.size());
  bool same = true;
  for (int64_t past = 120; past < 140; ++past) {
    const PagedSequence sequences[] = {{past, pages[0]}, {past - 60, pages[1]}};
    const Attention a = {kHeads, 1, kWidth, 0.5f};
    const PagedKeys cache = {keys.data(), values.data(), kPageSize};
    cuda::kOps.attention_cached(run, a, q.data(), cache, sequences, starts, kSequenceCount, plain.data());
    queue.recorder().begin(run, inputs, sizeof inputs);
    cuda::kOps.attention_cached(run, a, q.data(), cache, sequences, starts, kSequenceCount, recorded.data());
    queue.recorder().finish();
    same &= same_bytes(recorded, plain);
  }
  expect(same, "attention over parts of keys, by graphs");
  const uint64_t started = cuda::emulator::graphs_started() - before;
  expect(started == 18, "one recording for one part, one for several: " + std::to_string(started) + " graphs of 20 steps");
}

// Small arrays are on the device once, whoever asks for them; what has gone for others comes again.
void kept_arrays() {
  Queue queue;
  const auto array = [](int number) { return std::vector<int>(static_cast<size_t>(1 + number % 7 * 100), number); };
  const auto place = [&](const std::vector<int>& values) {
    const void* at = cuda::kept_arrays_of(queue.device.get()).place(queue.device.get(), values.data(), values.size() * sizeof(int));
    std::vector<int> there(values.size());
    if (at != nullptr) cuda::copy_out(queue.device.get(), there.data(), at, there.size() * sizeof(int));
    return at != nullptr && there == values ? at : nullptr;
  };
  bool same = true;
  for (int round = 0; round < 2; ++round)
    for (int number = 0; number < 40; ++number) {
      const void* at = place(array(number));
      same &= at != nullptr && place(array(number)) == at && place(array(number / 2 * 2)) != nullptr && place(array(number)) == at;
    }
  expect(same, "kept arrays are where they were asked for");
  expect(place(std::vector<int>(5000)) == nullptr, "large arrays are not kept");
}

}  // namespace
}  // namespace lr::test

int main() {
  using namespace lr::test;
  return run_checks([] {
    equality();
    no_room();
    growing_parts();
    kept_arrays();
    other_threads();
    for (const Family family : {Family::LlamaPlain, Family::Gemma2, Family::Phi3})
      for (const uint32_t compute : {LR_COMPUTE_F32, LR_COMPUTE_BF16}) same_as_one_by_one(family, compute);
    same_alone();
    refused();
    cancelled();
    bounded();
  });
}
