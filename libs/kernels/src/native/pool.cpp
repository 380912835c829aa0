#include "pool.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "cores.h"

namespace lr {
namespace {

// How often an idle thread looks for work before it sleeps. Operations of one layer follow each other within microseconds,
// and waking a sleeping thread costs more than most small ones: 2,000 pauses are 20 to 60 µs.
constexpr int kSpins = 2000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

class ThreadPool final : public Pool {
 public:
  explicit ThreadPool(int threads) {
    workers_.reserve(threads - 1);
    try {
      for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
      keep_to_cores();
    } catch (...) {
      stop();
      throw;
    }
  }
  ~ThreadPool() override { stop(); }

  int threads() const override { return static_cast<int>(workers_.size()) + 1; }

  void run(int tasks, void (*fn)(void*, int, int), void* user) override {
    if (workers_.empty() || tasks <= 1) {
      for (int task = 0; task < tasks; ++task) fn(user, task, 0);
      return;
    }
    fn_ = fn;
    user_ = user;
    tasks_ = tasks;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    {
      std::lock_guard lock(mutex_);
      round_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    claim(0);
    for (int spin = 0; busy_.load(std::memory_order_acquire) != 0; ++spin) {
      if (spin < kSpins) {
        pause();
      } else {
        std::unique_lock lock(mutex_);
        done_.wait(lock, [this] { return busy_.load(std::memory_order_acquire) == 0; });
      }
    }
  }

 private:
  // One hardware thread a core, where there are enough: which of them a worker runs on is the scheduler's choice, so that several
  // pools share a machine. Those of a machine too small for the pool, or that may not be bound, run anywhere.
  void keep_to_cores() {
    const std::vector<int> cores = usable_cores();
    if (static_cast<size_t>(threads()) > cores.size()) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int core : cores) CPU_SET(core, &set);
    for (std::thread& worker : workers_) pthread_setaffinity_np(worker.native_handle(), sizeof set, &set);
  }

  void claim(int thread) {
    for (int task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) fn_(user_, task, thread);
  }

  void work(int thread) {
    for (unsigned seen = 0;;) {
      for (int spin = 0; spin < kSpins && round_.load(std::memory_order_acquire) == seen; ++spin) pause();
      if (round_.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return round_.load(std::memory_order_acquire) != seen; });
      }
      ++seen;
      if (stopping_.load(std::memory_order_acquire)) return;
      claim(thread);
      if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard lock(mutex_);  // the caller is either before its check or waiting: never between
        done_.notify_one();
      }
    }
  }

  void stop() {
    stopping_.store(true, std::memory_order_release);
    {
      std::lock_guard lock(mutex_);
      round_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<unsigned> round_{0};  // raised once per run(); every worker takes part in every round
  std::atomic<int> next_{0}, busy_{0};
  std::atomic<bool> stopping_{false};
  void (*fn_)(void*, int, int) = nullptr;
  void* user_ = nullptr;
  int tasks_ = 0;
};

}  // namespace

void OneThread::run(int tasks, void (*fn)(void*, int, int), void* user) {
  for (int task = 0; task < tasks; ++task) fn(user, task, 0);
}

std::unique_ptr<Pool> make_pool(int threads) { return std::make_unique<ThreadPool>(threads); }

}  // namespace lr
