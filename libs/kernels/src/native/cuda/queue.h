// Copies and waiting, on the queue of a run. queue.cu has them for a GPU, emulator/queue.cu for memory that is the machine's own.
#pragma once
#include <cstddef>
#include <cstdint>

#include "../ops.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#endif

namespace lr::cuda {

// `from` may be overwritten when it returns.
void copy_in(const Run& run, void* to, const void* from, size_t bytes);
// Waits: `to` holds the bytes when it returns.
void copy_out(const Run& run, void* to, const void* from, size_t bytes);
void copy_within(const Run& run, void* to, const void* from, size_t bytes);
void fill_zero(const Run& run, void* to, size_t bytes);

#if defined(__CUDACC__)
cudaStream_t stream_of(const Run& run);
void allow_shared(const void* kernel, int64_t bytes);
// Throws what went wrong with the launch before.
void check_launch();
#endif

}  // namespace lr::cuda
