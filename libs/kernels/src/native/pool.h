// A fixed set of threads that runs the tasks of one operation at a time; the calling thread takes part.
#pragma once
#include <cstdint>
#include <memory>

#include "ops.h"

namespace lr {

// threads ≥ 1 counts the caller: threads - 1 are started. Throws std::system_error when the machine refuses one.
// run() is called by one thread at a time; tasks do not throw and do not call run().
std::unique_ptr<Pool> make_pool(int threads);

// The calling thread alone, inside a task of another pool too.
class OneThread final : public Pool {
 public:
  int threads() const override { return 1; }
  void run(int tasks, void (*fn)(void* user, int task, int thread), void* user) override;
};

// Calls f(int task, int thread) for each task on the pool, or on the calling thread when the work is not worth waking others.
template <typename F>
void parallel(const Run& run, int64_t tasks, const F& f, bool alone = false) {
  if (alone) {
    for (int64_t task = 0; task < tasks; ++task) f(static_cast<int>(task), 0);
  } else {
    run.pool->run(
        static_cast<int>(tasks), [](void* user, int task, int thread) { (*static_cast<const F*>(user))(task, thread); },
        const_cast<F*>(&f));
  }
}

}  // namespace lr
