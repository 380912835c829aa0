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

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t to) { return ceil_div(a, to) * to; }

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
  // A copy of values[count] of the host.
  template <typename T>
  T* upload(const Run& run, const T* values, int64_t count) {
    T* copy = take<T>(count);
    copy_in(run.device, copy, values, static_cast<size_t>(count) * sizeof(T));
    return copy;
  }

 private:
  Scratch& scratch_;
  size_t mark_;
};

struct Grid {
  int64_t x = 1, y = 1, z = 1;
};

// Starts kernel(arguments…) on the queue of a run. A grid without blocks starts nothing.
template <typename... P, typename... A>
void launch(const Run& run, void (*kernel)(P...), Grid grid, int threads, int64_t shared, const A&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
#if defined(__CUDACC__)
  const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
  if (shared > 48 << 10) allow_shared(run, reinterpret_cast<const void*>(kernel), shared);
  kernel<<<blocks, static_cast<unsigned>(threads), static_cast<size_t>(shared), stream_of(run.device)>>>(static_cast<P>(arguments)...);
  check_launch(run);
#else
  const emulator::OpenMemory open;
  emulator::run(run.pool->threads(), {grid.x, grid.y, grid.z}, threads, static_cast<size_t>(shared), [&] { kernel(static_cast<P>(arguments)...); });
#endif
}

// Blocks and threads of kernels that take one element a thread, in steps of the whole grid.
constexpr int kFlatThreads = 256;
inline Grid flat_grid(int64_t n) { return {std::min(ceil_div(n, kFlatThreads), int64_t{132} * 16)}; }
LR_DEVICE int64_t flat_begin() { return block_x() * block_threads() + thread_index(); }
LR_DEVICE int64_t flat_step() { return grid_x() * block_threads(); }

}  // namespace lr::cuda
