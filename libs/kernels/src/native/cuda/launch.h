// What the host side of an operation needs: launching a kernel, memory for moments, and small arrays of the host on the device.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "../ops.h"
#include "device.h"
#include "queue.h"

#if !defined(__CUDACC__)
#include "emulator/memory.h"
#endif

namespace lr::cuda {

constexpr int64_t kMostBlocks = 65535;  // in the y and z of a grid

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t to) { return ceil_div(a, to) * to; }

// Gives back what was taken from the scratch within a scope. The next operation may write there at once: kernels of a queue run one
// after the other.
class Moment {
 public:
  explicit Moment(const Run& run) : scratch_(*run.scratch), mark_(run.scratch->mark()) {}
  ~Moment() { scratch_.release(mark_); }
  Moment(const Moment&) = delete;
  Moment& operator=(const Moment&) = delete;

  template <typename T>
  T* take(int64_t count) {
    return static_cast<T*>(scratch_.take(static_cast<size_t>(count) * sizeof(T)));
  }
  // A copy of values[count] of the host, for what is launched next.
  template <typename T>
  const T* upload(const Run& run, const T* values, int64_t count) {
    const size_t bytes = static_cast<size_t>(count) * sizeof(T);
    if (run.device != nullptr) {
      if (const void* place = recorder_of(run.device).place(values, bytes)) return static_cast<const T*>(place);
      if (const void* place = kept_arrays_of(run.device).place(run.device, values, bytes)) return static_cast<const T*>(place);
    }
    T* copy = take<T>(count);
    copy_in(run.device, copy, values, bytes);
    return copy;
  }

 private:
  Scratch& scratch_;
  size_t mark_;
};

// Starts work.kernel, a function of P…
template <typename... P>
void start_work(const Run& run, const Recording::Work& work, unsigned char* arguments) {
  Arguments<P...>::with(arguments, [&](P&... own) {
#if defined(__CUDACC__)
    void* all[] = {&own...};
    start_kernel(run, work, all);
#else
    const emulator::OpenMemory open;
    const auto kernel = reinterpret_cast<void (*)(P...)>(const_cast<void*>(work.kernel));
    emulator::run(run.pool->threads(), {work.grid.x, work.grid.y, work.grid.z}, work.threads, static_cast<size_t>(work.shared), [&] { kernel(own...); });
#endif
  });
}

// Starts kernel(arguments…) on the queue of a run. A grid without blocks starts nothing.
template <typename... P, typename... A>
void launch(const Run& run, void (*kernel)(P...), Grid grid, int threads, int64_t shared, const A&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const Recording::Work work = {start_work<P...>, reinterpret_cast<const void*>(kernel), grid, threads, shared};
#if defined(__CUDACC__)
  if (shared > 48 << 10) allow_shared(run, work.kernel, shared);
#endif
  if (Recording* recording = recording_of(run.device)) return recording->add<P...>(work, static_cast<P>(arguments)...);
  alignas(Arguments<P...>::kAlignment) unsigned char bytes[Arguments<P...>::kBytes] = {};
  Arguments<P...>::write(bytes, static_cast<P>(arguments)...);
  start_work<P...>(run, work, bytes);
}

// Blocks and threads of kernels that take one element a thread, in steps of the whole grid.
constexpr int kFlatThreads = 256;
inline Grid flat_grid(int64_t n) { return {std::min(ceil_div(n, kFlatThreads), int64_t{132} * 16)}; }
LR_DEVICE int64_t flat_begin() { return block_x() * block_threads() + thread_index(); }
LR_DEVICE int64_t flat_step() { return grid_x() * block_threads(); }

}  // namespace lr::cuda
