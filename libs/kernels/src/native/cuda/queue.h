// Memory of a device and work on it, in the order it was given. queue.cu does it on a GPU, emulator/queue.cu in the machine's own
// memory. What the GPU or its driver refuses for want of memory is std::bad_alloc; any other failure is Error(LR_DEVICE_FAILED), at once
// or at the next call that waits, and at every call from then on.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "../model/offload.h"
#include "../ops.h"
#include "kept_arrays.h"
#include "recording.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#endif

namespace lr::cuda {

// The first GPU that this process may see; null where there is none.
Device* open_queue();
void close_queue(Device* device);

// Null when refused; throws nothing.
void* allocate(Device* device, size_t bytes);
void deallocate(Device* device, void* memory);

// Whether all that was given to it is done; does not wait.
bool is_done(Device* device);
// `from` may be overwritten when it returns.
void copy_in(Device* device, void* to, const void* from, size_t bytes);
// Waits: `to` holds the bytes when it returns.
void copy_out(Device* device, void* to, const void* from, size_t bytes);
void copy_rows(Device* device, void* to, size_t to_stride, const void* from, size_t from_stride, size_t row_bytes, int64_t rows);
void fill_zero(Device* device, void* to, size_t bytes);

// Pinned memory of the machine; null when refused.
void* allocate_pinned(Device* device, size_t bytes);
void deallocate_pinned(Device* device, void* memory);
// Copies beside the queue; see Offload.
Offload::Copy copy_beside(Device* device, Offload::Direction direction, void* to, const void* from, size_t bytes);
void await_copy(Device* device, const Offload::Copy& copy);
void settle_copies(Device* device) noexcept;
// Waits until they are done.
void finish_copies(Device* device);

KeptArrays& kept_arrays_of(Device* device);

// Copies and clearings that are given while work is written down are written down with it; what waits, and what libraries are told, comes after
// all of it has been started. Nothing is written down where there is no device.
Recorder& recorder_of(Device* device);
inline Recording* recording_of(Device* device) { return device == nullptr ? nullptr : recorder_of(device).recording(); }
// Whether they were written down.
bool record_rows(Device* device, void* to, size_t to_stride, const void* from, size_t from_stride, size_t row_bytes, int64_t rows);
bool record_zero(Device* device, void* to, size_t bytes);
// A graph of a recording that has been started before; null where the driver makes none. It is started in the order of the queue.
void* make_graph(const Run& run, Recording& recording);
void start_graph(Device* device, void* graph);
void drop_graph(void* graph);

#if defined(__CUDACC__)
using Stream = cudaStream_t;
#else
using Stream = void*;
#endif
// The order that work on a device is in, as libraries are told it. Starts what was written down.
Stream stream_of(Device* device);
// Throws Error(LR_DEVICE_FAILED): a library failed with `status` while `what`. So does every call from then on.
[[noreturn]] void give_up(Device* device, const char* what, int status);

#if defined(__CUDACC__)
void allow_shared(const Run& run, const void* kernel, int64_t bytes);
void start_kernel(const Run& run, const Recording::Work& work, void** arguments);
#endif

}  // namespace lr::cuda
