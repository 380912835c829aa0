// An adapter trained by several devices, under the emulator and with a library made for the test in the place of NCCL. Ranks are threads with
// contexts of their own.
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <thread>

#include "../model/tiny_model.h"
#include "../support/run_checks.h"
#include "../support/stand_in.h"
#include "cuda/emulator/memory.h"
#include "cuda/nccl.h"
#include "model/error.h"

namespace lr::test {
namespace {

using GroupHandle = std::unique_ptr<lr_group, Destroyer<lr_group, lr_group_leave>>;

// While one of these lives the library answers so.
struct Answer {
  Answer(const char* name, int value) : setting_(setting<std::atomic<int>>(name)), before_(setting_.exchange(value)) {}
  ~Answer() { setting_ = before_; }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

 private:
  std::atomic<int>& setting_;
  int before_;
};

struct Method {
  const char* name;
  Family family;
  uint32_t rank, dora, bias, optimizer;
  float dropout;
};
constexpr Method kPlain = {"LoRA", Family::LlamaPlain, 4, 0, LR_BIAS_NONE, LR_OPTIMIZER_ADAMW, 0};
constexpr Method kMuch = {"DoRA with biases and dropout", Family::LlamaBiased, 4, 1, LR_BIAS_ALL, LR_OPTIMIZER_ADAMW8, 0.1f};

// A context with its base and adapter; all of one method begin alike.
struct Side {
  explicit Side(const Method& method) : world(method.family, make_context(LR_BACKEND_FAST)), adapter(world.adapter({"q_proj"}, 1)) {
    std::vector<std::string> names;
    for (int64_t layer = 0; layer < kLayers; ++layer)
      for (const std::string& linear : kAllLinears) {
        const char* block = linear == "gate_proj" || linear == "up_proj" || linear == "down_proj" ? ".mlp." : ".self_attn.";
        names.push_back("model.layers." + std::to_string(layer) + block + linear);
      }
    std::vector<lr_lora_target> targets;
    for (const std::string& name : names) targets.push_back({name.c_str(), method.rank, 0.5f, method.dora});
    const lr_adapter_options options = {method.dropout, method.bias, method.optimizer, LR_INIT_DEFAULT, 0, 11};
    lr_adapter* made = nullptr;
    check(world.context.get(), lr_adapter_create(world.base.get(), targets.data(), static_cast<uint32_t>(targets.size()), &options, &made));
    adapter.reset(made);
  }
  lr_context* context() const { return world.context.get(); }

  void join(const std::vector<uint8_t>& id, uint32_t rank, uint32_t ranks) {
    lr_group* made = nullptr;
    check(context(), lr_group_join(context(), id.data(), rank, ranks, &made));
    group.reset(made);
  }
  void train(uint32_t step, uint32_t micro) {
    const Packed packed({5, 3 + static_cast<int>(micro % 3)}, 10 * step + micro);
    const lr_batch batch = packed.batch();
    const lr_rows rows = {adapter.get(), 0, packed.size(), 0.1f, 100 * step + micro, 0, 5};
    const lr_step_options options = {1, 0};
    lr_loss loss;
    check(context(), lr_train_step(world.base.get(), &batch, &rows, 1, &options, nullptr, &loss));
  }
  lr_status sum(uint32_t last, lr_cancel* cancel = nullptr) { return lr_adapter_sum_gradients(adapter.get(), group.get(), last, cancel); }
  lr_status update(float& norm) {
    const lr_adamw settings = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.01f, 1.0f, 0};
    return lr_adapter_optimizer_step(adapter.get(), &settings, &norm);
  }
  void write_gradient(uint32_t tensor, const Floats& values) {
    check(context(), lr_adapter_write(adapter.get(), LR_GRADIENT, tensor, values.data(), values.size()));
  }
  std::string state() {
    uint64_t bytes;
    check(context(), lr_adapter_state_size(adapter.get(), &bytes));
    std::string out(bytes, '\0');
    check(context(), lr_adapter_state_export(adapter.get(), reinterpret_cast<uint8_t*>(out.data()), bytes));
    return out;
  }

  World world;
  AdapterHandle adapter;
  GroupHandle group;
};

std::vector<uint8_t> make_id() {
  const Context context = make_context(LR_BACKEND_FAST);
  std::vector<uint8_t> id(LR_GROUP_ID_BYTES);
  check(context.get(), lr_group_id(context.get(), id.data()));
  return id;
}

// body(side, rank) on a thread of each rank, joined to the others.
void together(const Method& method, uint32_t ranks, const std::function<void(Side&, uint32_t)>& body) {
  const std::vector<uint8_t> id = make_id();
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&, rank] {
      try {
        Side side(method);
        side.join(id, rank, ranks);
        body(side, rank);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "rank %u of %u: %s\n", rank, ranks, error.what());
        std::exit(1);  // the others wait for it
      }
    });
  for (std::thread& thread : threads) thread.join();
  expect(setting<std::atomic<int>>("fake_live") == 0, "every rank gives its communicator back");
}

constexpr uint32_t kSteps = 2, kMicro = 5;

struct Run {
  std::string state;
  Floats norms;
  bool operator==(const Run&) const = default;
};

Run alone(const Method& method) {
  Side side(method);
  Run run;
  for (uint32_t step = 0; step < kSteps; ++step) {
    for (uint32_t micro = 0; micro < kMicro; ++micro) side.train(step, micro);
    check(side.context(), side.update(run.norms.emplace_back()));
  }
  run.state = side.state();
  return run;
}

std::vector<Run> by(const Method& method, uint32_t ranks) {
  std::vector<Run> runs(ranks);
  together(method, ranks, [&](Side& side, uint32_t rank) {
    for (uint32_t step = 0; step < kSteps; ++step) {
      for (uint32_t micro = 0; micro < kMicro; micro += ranks) {
        if (micro + rank < kMicro) side.train(step, micro + rank);
        check(side.context(), side.sum(micro + ranks >= kMicro));
      }
      check(side.context(), side.update(runs[rank].norms.emplace_back()));
    }
    runs[rank].state = side.state();
  });
  return runs;
}

void same_as_alone() {
  for (const Method& method : {kPlain, kMuch}) {
    const Run want = alone(method);
    for (const uint32_t ranks : {1u, 2u, 3u}) {
      const std::vector<Run> runs = by(method, ranks);
      for (uint32_t rank = 0; rank < ranks; ++rank)
        expect(runs[rank] == want, std::string(method.name) + ": rank " + std::to_string(rank) + " of " + std::to_string(ranks) +
                                       " has the bytes of one device with all micro-batches");
    }
  }
}

// Adapters that travel in several pieces, and the order of the sum: one that is taken in another order rounds otherwise.
void pieces_in_order() {
  constexpr Method kWide = {"wide", Family::LlamaPlain, 512, 0, LR_BIAS_NONE, LR_OPTIMIZER_ADAMW, 0};
  constexpr uint32_t kRanks = 3, kLast = 41;  // B of down_proj of the last layer
  const size_t elements = 512 * kHidden;
  const auto values_of = [](uint32_t rank, size_t i) {
    constexpr float kLarge[] = {1e8f, -1e8f, 3e7f};
    return kLarge[rank] + static_cast<float>(i % 977) + static_cast<float>(rank) / 3;
  };
  const int before = setting<std::atomic<int>>("fake_gathers");
  together(kWide, kRanks, [&](Side& side, uint32_t rank) {
    for (const uint32_t last : {0u, 1u}) {
      Floats own(elements), got(elements), want(elements);
      for (size_t i = 0; i < elements; ++i) own[i] = values_of(rank, i);
      for (const uint32_t tensor : {0u, kLast}) side.write_gradient(tensor, own);
      check(side.context(), side.sum(last));
      if (last == 1 || rank == 0)
        for (size_t i = 0; i < elements; ++i) want[i] = (values_of(0, i) + values_of(1, i)) + values_of(2, i);
      for (const uint32_t tensor : {0u, kLast}) {
        check(side.context(), lr_adapter_read(side.adapter.get(), LR_GRADIENT, tensor, got.data(), got.size()));
        expect(same_bytes(got, want), "rank " + std::to_string(rank) + ", last " + std::to_string(last) + ", tensor " + std::to_string(tensor));
      }
    }
  });
  expect(setting<std::atomic<int>>("fake_gathers") - before == 2 * 2 * static_cast<int>(kRanks), "an adapter of 1.1 million values travels in two pieces");
}

// A gradient of one rank that is not finite stops the update of all, at any turn; the next step goes on alike.
void not_finite() {
  std::vector<std::string> states(2);
  together(kPlain, 2, [&](Side& side, uint32_t rank) {
    const std::string before = side.state();
    float norm = 0;
    for (uint32_t bad_turn = 0; bad_turn < 2; ++bad_turn) {
      for (uint32_t turn = 0; turn < 2; ++turn) {
        side.train(0, 2 * turn + rank);
        if (rank == 1 && turn == bad_turn) side.write_gradient(1, Floats(4 * kHidden, std::numeric_limits<float>::infinity()));
        check(side.context(), side.sum(turn == 1));
      }
      expect_status(side.context(), side.update(norm), LR_NOT_FINITE, "rank " + std::to_string(rank) + ": an update with a gradient that is not finite");
    }
    expect(side.state() == before, "rank " + std::to_string(rank) + ": nothing was updated");
    side.train(1, rank);
    check(side.context(), side.sum(1));
    check(side.context(), side.update(norm));
    states[rank] = side.state();
    expect(side.state() != before, "the next step is taken");
  });
  expect(states[0] == states[1], "the next step is the same on both ranks");
}

// A rank that does not come does not hold up one that is cancelled.
void cancelled() {
  std::atomic<bool> done{false};
  together(kPlain, 2, [&](Side& side, uint32_t rank) {
    if (rank == 1) {
      while (!done) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return;
    }
    lr_cancel* made = nullptr;
    lr_cancel_create(&made);
    const Cancel cancel(made);
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      lr_cancel_set(cancel.get());
    });
    side.train(0, 0);
    expect_status(side.context(), side.sum(0, cancel.get()), LR_CANCELLED, "a sum that is cancelled");
    later.join();
    float norm;
    expect_status(side.context(), side.update(norm), LR_NOT_FINITE, "no update takes what it left");
    expect_status(side.context(), side.sum(0), LR_CANCELLED, "the group has ended", "join another");
    done = true;
  });
}

void failures() {
  const auto sum_fails = [](const char* name, int status, lr_status wanted, const char* what) {
    together(kPlain, 1, [&](Side& side, uint32_t) {
      side.train(0, 0);
      const Answer answer(name, status);
      expect_status(side.context(), side.sum(1), wanted, what);
      float norm;
      expect_status(side.context(), side.update(norm), LR_NOT_FINITE, std::string(what) + ": no update");
      expect_status(side.context(), side.sum(1), wanted, std::string(what) + ": the group has ended", "join another");
    });
  };
  sum_fails("fake_gather_status", 3, LR_DEVICE_FAILED, "an exchange that cannot begin");
  sum_fails("fake_async_status", 6, LR_DEVICE_FAILED, "an exchange that fails on its way");
  together(kPlain, 1, [](Side& side, uint32_t) {
    side.write_gradient(1, Floats(4 * kHidden, 0.5f));
    {
      const cuda::emulator::MemoryLimit limit(1);
      expect_status(side.context(), side.sum(1), LR_OUT_OF_MEMORY, "memory for what ranks send");
    }
    check(side.context(), side.sum(1));
    float norm;
    check(side.context(), side.update(norm));
  });

  Side side(kPlain);
  const std::vector<uint8_t> id = make_id();
  std::vector<uint8_t> other(LR_GROUP_ID_BYTES);
  lr_group* made = nullptr;
  const auto join = [&](uint32_t rank, uint32_t ranks) { return lr_group_join(side.context(), id.data(), rank, ranks, &made); };
  expect_status(side.context(), join(2, 2), LR_INVALID_ARGUMENT, "a rank beyond the last", "rank 2 of 2");
  expect_status(side.context(), join(0, 65), LR_INVALID_ARGUMENT, "too many ranks");
  expect_status(side.context(), side.sum(1), LR_INVALID_ARGUMENT, "no group", "group");
  {
    const Answer answer("fake_init_status", 5);
    expect_status(side.context(), join(0, 1), LR_INVALID_ARGUMENT, "two ranks on one GPU", "as the test wants it");
  }
  {
    const Answer answer("fake_init_status", 2);
    expect_status(side.context(), join(0, 1), LR_DEVICE_FAILED, "ranks that do not find each other", "a made-up failure");
  }
  {
    const Answer answer("fake_id_status", 3);
    expect_status(side.context(), lr_group_id(side.context(), other.data()), LR_DEVICE_FAILED, "a group that cannot be made");
  }
  check(side.context(), join(0, 1));
  const GroupHandle group(made);
  Side stranger(kPlain);
  expect_status(stranger.context(), lr_adapter_sum_gradients(stranger.adapter.get(), group.get(), 1, nullptr), LR_INVALID_ARGUMENT,
                "a group of another context", "another context");
}

void libraries() {
  expect(cuda::Nccl(library_path.c_str()).state() == "NCCL 2.32.3", "its version");
  const auto unused = [&](const char* what, const char* path) {
    cuda::Nccl none(path);
    lr_status status = LR_OK;
    try {
      none.make_id(nullptr);
    } catch (const Error& error) {
      status = error.status();
    }
    expect(none.state().starts_with("no NCCL: ") && status == LR_IO_ERROR, what + (": " + none.state()));
  };
  unused("none", "/nowhere/libnccl.so.2");
  const Answer old("fake_version", 2804);
  unused("one that is too old", library_path.c_str());
  const Answer next("fake_version", 30000);
  unused("one of a version to come", library_path.c_str());
}

}  // namespace
}  // namespace lr::test

int main(int, char** argv) {
  using namespace lr::test;
  stand_in(argv[0], "LOWRANK_NCCL");
  return run_checks([] {
    libraries();
    same_as_alone();
    pieces_in_order();
    not_finite();
    cancelled();
    failures();
  });
}
