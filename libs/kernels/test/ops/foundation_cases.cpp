#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <iterator>
#include <new>
#include <thread>

#include "bf16.h"
#include "cases.h"
#include "check.h"
#include "cores.h"
#include "philox.h"

namespace lr::test {
namespace {

int64_t threads_now() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

// Whether this process has so many threads; those that were joined may be listed for a moment longer.
bool has_threads(int64_t count) {
  for (int tries = 0; tries < 2000; ++tries) {
    if (threads_now() == count) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

void cores_cases() {
  const std::vector<int> cores = usable_cores();
  expect(!cores.empty() && cores.size() <= std::thread::hardware_concurrency(), "cores: at most the hardware threads");
  expect(std::is_sorted(cores.begin(), cores.end(), std::less_equal<int>()), "cores: each once");
}

void pool_cases() {
  const Machine alone(1);  // a device's driver has threads of its own
  const int64_t others = threads_now() - 1;
  for (const int threads : {1, 2, 3}) {
    const Machine machine(threads);
    expect(machine.pool->threads() == threads, "pool: has the threads asked for");
    expect(has_threads(others + threads), "pool: starts no more threads than asked for");
    bool complete = true, in_range = true;
    for (int round = 0; round < 200; ++round) {  // rounds follow each other faster than workers fall asleep
      std::vector<std::atomic<int>> runs(round % 7);
      std::atomic<bool> known_thread{true};
      parallel(machine.run, round % 7, [&](int task, int thread) {
        ++runs[task];
        if (thread < 0 || thread >= threads) known_thread = false;
      });
      for (const std::atomic<int>& count : runs) complete &= count == 1;
      in_range &= known_thread;
    }
    expect(complete, "pool: every task runs once");
    expect(in_range, "pool: threads are numbered from 0");
  }
}

// A worker whose task throws neither ends the process nor leaves others at work on what the caller has left.
void throwing_cases() {
  for (const int threads : {1, 3}) {
    const Machine machine(threads);
    for (const int culprit : {0, 5, 99}) {
      std::atomic<int> running{0};
      bool thrown = false;
      try {
        parallel(machine.run, 100, [&](int task, int) {
          ++running;
          if (task == culprit) {
            --running;
            throw std::bad_alloc();
          }
          --running;
        });
      } catch (const std::bad_alloc&) {
        thrown = running == 0;
      }
      expect(thrown, "pool: what a task throws comes back when all threads are done");
    }
    std::atomic<int> runs{0};
    parallel(machine.run, 100, [&](int, int) { ++runs; });
    expect(runs == 100, "pool: works on after a task that threw");
  }
}

void scratch_cases() {
  MemoryCounter counter;
  {
    BlockScratch scratch(counter);
    uint64_t after_first = 0;
    for (int step = 0; step < 3; ++step) {
      const size_t start = scratch.mark();
      auto* small = static_cast<char*>(scratch.take(100));
      small[0] = 1;
      const size_t inner = scratch.mark();
      auto* big = static_cast<char*>(scratch.take(5 << 20));
      big[(5 << 20) - 1] = 2;
      scratch.release(inner);
      auto* other = static_cast<char*>(scratch.take(9 << 20));
      other[(9 << 20) - 1] = 3;
      expect(reinterpret_cast<uintptr_t>(small) % 64 == 0 && reinterpret_cast<uintptr_t>(other) % 64 == 0,
             "scratch: aligned to 64 bytes");
      expect(small[0] == 1, "scratch: memory under a mark stays");
      scratch.release(start);
      if (step == 1) after_first = counter.current();
    }
    expect(counter.current() == after_first && counter.current() > 0, "scratch: a repeated step allocates nothing");
  }
  expect(counter.current() == 0 && counter.peak() > 0, "scratch: counts what it gives back");
}

}  // namespace

void foundation_cases() {
  cores_cases();
  pool_cases();
  throwing_cases();
  scratch_cases();
  // Known answer of Random123 for philox4x32-10, counter and key all zero.
  const std::array<uint32_t, 4> zero = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  expect(philox::block(0, 0) == zero, "philox: known answer");
  double sum = 0;
  for (int i = 0; i < 10000; ++i) sum += philox_uniform(5, i);
  expect(std::fabs(sum / 10000 - 0.5) < 0.01, "philox: mean of a uniform stream");
  expect(float_to_bf16(1.00390625f) == 0x3f80 && float_to_bf16(1.01171875f) == 0x3f82, "bf16: ties go to even");
  expect(std::isnan(bf16_to_float(float_to_bf16(NAN))), "bf16: NaN stays NaN");
}

}  // namespace lr::test
