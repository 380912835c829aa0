#include "queue.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <system_error>

#include "../cores.h"
#include "../model/error.h"
#include "../pool.h"

namespace lr {

// One stream, pinned memory through which small arrays travel (what is copied from there does not wait for the GPU), and two more streams
// once something is offloaded.
struct Device {
  // Copies of one direction beside the queue. Events are used again: who waits for an old one waits for a later copy.
  struct Copies {
    static constexpr uint64_t kEvents = 16;
    cudaStream_t stream = nullptr;
    cudaEvent_t given = nullptr;  // what the device was given before a copy
    cudaEvent_t done[kEvents] = {};
    uint64_t asked = 0;
  };
  cudaStream_t stream = nullptr;
  Copies stores, loads;
  std::mutex staging_lock;  // of the next three: weights of an adapter come from one thread while another computes
  char* staging = nullptr;
  size_t staged = 0;
  uint64_t copies = 0;
  // What large arrays come out through: while one piece crosses the bus, threads copy the one before to where it belongs.
  struct Pieces {
    std::mutex lock;  // of one array at a time
    char* memory[2] = {};
    cudaEvent_t arrived[2] = {};
    std::unique_ptr<Pool> threads;
    bool refused = false;
  };
  Pieces pieces;
  cudaError_t failure = cudaSuccess;  // the GPU gives no more than this from then on
  cuda::Recorder recorder;
  cuda::KeptArrays kept;
};

namespace cuda {
namespace {

constexpr size_t kStaging = size_t{16} << 20;
constexpr size_t kPiece = size_t{2} << 20;
constexpr size_t kMostCopiers = 8;               // threads: one copies a fifth of what the bus brings
constexpr size_t kShare = kPiece / kMostCopiers;  // of a piece, for a thread at a time

void check(Device& device, cudaError_t status, const char* what) {
  if (device.failure != cudaSuccess) status = device.failure;
  if (status == cudaSuccess) return;
  cudaGetLastError();  // an error that the GPU survives is not that of the next call too
  if (status == cudaErrorMemoryAllocation) throw std::bad_alloc();
  device.failure = status;
  fail(LR_DEVICE_FAILED, "the GPU failed while %s: %s (%s); end this process and start another", what, cudaGetErrorString(status),
       cudaGetErrorName(status));
}

void wait(Device& device, const char* what) { check(device, cudaStreamSynchronize(device.stream), what); }

Device::Copies& copies_of(Device& device, Offload::Direction direction) {
  return direction == Offload::Direction::Store ? device.stores : device.loads;
}

void open_copies(Device& device, Device::Copies& copies) {
  if (copies.stream != nullptr) return;
  const auto make_event = [&](cudaEvent_t& event) {
    if (event == nullptr) check(device, cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event was made");
  };
  make_event(copies.given);
  for (cudaEvent_t& event : copies.done) make_event(event);
  check(device, cudaStreamCreateWithFlags(&copies.stream, cudaStreamNonBlocking), "a queue of copies was made");
}

void close_copies(Device::Copies& copies) {
  if (copies.stream != nullptr) {
    cudaStreamSynchronize(copies.stream);
    cudaStreamDestroy(copies.stream);
  }
  if (copies.given != nullptr) cudaEventDestroy(copies.given);
  for (cudaEvent_t event : copies.done)
    if (event != nullptr) cudaEventDestroy(event);
}

// Whether they are there.
bool open_pieces(Device::Pieces& pieces) {
  if (pieces.threads != nullptr || pieces.refused) return !pieces.refused;
  bool made = true;
  for (int i = 0; i < 2; ++i) {
    made = made && cudaMallocHost(reinterpret_cast<void**>(&pieces.memory[i]), kPiece) == cudaSuccess;
    made = made && cudaEventCreateWithFlags(&pieces.arrived[i], cudaEventDisableTiming) == cudaSuccess;
  }
  cudaGetLastError();
  try {
    if (made) pieces.threads = make_pool(static_cast<int>(std::min(kMostCopiers, usable_cores().size())));
  } catch (const std::system_error&) {
    made = false;
  }
  pieces.refused = !made;
  return made;
}

void close_pieces(Device::Pieces& pieces) {
  for (int i = 0; i < 2; ++i) {
    if (pieces.arrived[i] != nullptr) cudaEventDestroy(pieces.arrived[i]);
    cudaFreeHost(pieces.memory[i]);
  }
}

void copy_by_threads(Pool& threads, char* to, const char* from, size_t bytes) {
  const auto copy = [&](int task) {
    const size_t first = static_cast<size_t>(task) * kShare;
    std::memcpy(to + first, from + first, std::min(kShare, bytes - first));
  };
  threads.run(
      static_cast<int>((bytes + kShare - 1) / kShare), [](void* own, int task, int) { (*static_cast<decltype(copy)*>(own))(task); },
      const_cast<void*>(static_cast<const void*>(&copy)));
}

// Waits until all bytes are there; false: nothing was copied, as there is no pinned memory for it.
bool copy_out_in_pieces(Device& device, char* to, const char* from, size_t bytes) {
  Device::Pieces& pieces = device.pieces;
  const std::lock_guard<std::mutex> lock(pieces.lock);
  if (!open_pieces(pieces)) return false;
  const size_t count = (bytes + kPiece - 1) / kPiece;
  const auto size_of = [&](size_t piece) { return std::min(kPiece, bytes - piece * kPiece); };
  const auto fetch = [&](size_t piece) {
    check(device, cudaMemcpyAsync(pieces.memory[piece % 2], from + piece * kPiece, size_of(piece), cudaMemcpyDeviceToHost, device.stream),
          "bytes were copied from it");
    check(device, cudaEventRecord(pieces.arrived[piece % 2], device.stream), "bytes were copied from it");
  };
  fetch(0);
  for (size_t piece = 0; piece < count; ++piece) {
    if (piece + 1 < count) fetch(piece + 1);
    check(device, cudaEventSynchronize(pieces.arrived[piece % 2]), "computing");
    copy_by_threads(*pieces.threads, to + piece * kPiece, pieces.memory[piece % 2], size_of(piece));
  }
  return true;
}

}  // namespace

Device* open_queue() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver) {
    cudaGetLastError();
    return nullptr;
  }
  auto device = std::make_unique<Device>();
  check(*device, status, "devices were counted");
  if (count == 0) return nullptr;
  cudaDeviceProp properties;
  check(*device, cudaGetDeviceProperties(&properties, 0), "its properties were read");
  if (properties.major < 8) {
    fail(LR_DEVICE_FAILED, "%s has compute capability %d.%d; 8.0 is the least that this library computes on", properties.name,
         properties.major, properties.minor);
  }
  check(*device, cudaSetDevice(0), "it was chosen");
  check(*device, cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking), "its queue was made");
  const cudaError_t pinned = cudaMallocHost(reinterpret_cast<void**>(&device->staging), kStaging);
  if (pinned != cudaSuccess) cudaStreamDestroy(device->stream);
  check(*device, pinned, "pinned memory was taken");
  return device.release();
}

void close_queue(Device* device) {
  cudaStreamSynchronize(device->stream);
  close_copies(device->stores);
  close_copies(device->loads);
  close_pieces(device->pieces);
  device->kept.close(device);
  cudaFreeHost(device->staging);
  cudaStreamDestroy(device->stream);
  delete device;
}

void* allocate(Device*, size_t bytes) {
  void* memory = nullptr;
  if (cudaMalloc(&memory, bytes) == cudaSuccess) return memory;
  cudaGetLastError();
  return nullptr;
}

void deallocate(Device*, void* memory) { cudaFree(memory); }

bool is_done(Device* device) {
  const cudaError_t status = cudaStreamQuery(device->stream);
  if (status == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  check(*device, status, "computing");
  return true;
}

void copy_in(Device* device, void* to, const void* from, size_t bytes) {
  device->recorder.interrupt();
  const std::lock_guard<std::mutex> lock(device->staging_lock);
  while (bytes > 0) {
    if (device->staged == kStaging) {
      wait(*device, "bytes were copied to it");
      device->staged = 0;
    }
    const size_t some = bytes < kStaging - device->staged ? bytes : kStaging - device->staged;
    char* staged = device->staging + device->staged;
    std::memcpy(staged, from, some);
    check(*device, cudaMemcpyAsync(to, staged, some, cudaMemcpyHostToDevice, device->stream), "bytes were copied to it");
    device->staged += some;
    device->copies += 1;
    to = static_cast<char*>(to) + some;
    from = static_cast<const char*>(from) + some;
    bytes -= some;
  }
}

void copy_out(Device* device, void* to, const void* from, size_t bytes) {
  device->recorder.finish();
  uint64_t before;
  {
    const std::lock_guard<std::mutex> lock(device->staging_lock);
    before = device->copies;
  }
  if (bytes <= kPiece || !copy_out_in_pieces(*device, static_cast<char*>(to), static_cast<const char*>(from), bytes)) {
    check(*device, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, device->stream), "bytes were copied from it");
    wait(*device, "computing");
  }
  const std::lock_guard<std::mutex> lock(device->staging_lock);
  if (device->copies == before) device->staged = 0;
}

void copy_rows(Device* device, void* to, size_t to_stride, const void* from, size_t from_stride, size_t row_bytes, int64_t rows) {
  if (rows == 0 || row_bytes == 0 || record_rows(device, to, to_stride, from, from_stride, row_bytes, rows)) return;
  check(*device, cudaMemcpy2DAsync(to, to_stride, from, from_stride, row_bytes, static_cast<size_t>(rows), cudaMemcpyDeviceToDevice, device->stream),
        "rows were copied");
}

void fill_zero(Device* device, void* to, size_t bytes) {
  if (record_zero(device, to, bytes)) return;
  check(*device, cudaMemsetAsync(to, 0, bytes, device->stream), "memory was cleared");
}

void* allocate_pinned(Device*, size_t bytes) {
  void* memory = nullptr;
  if (cudaMallocHost(&memory, bytes) == cudaSuccess) return memory;
  cudaGetLastError();
  return nullptr;
}

void deallocate_pinned(Device*, void* memory) { cudaFreeHost(memory); }

Offload::Copy copy_beside(Device* device, Offload::Direction direction, void* to, const void* from, size_t bytes) {
  constexpr const char* kWhat = "memory was offloaded";
  device->recorder.interrupt();
  Device::Copies& copies = copies_of(*device, direction);
  open_copies(*device, copies);
  const bool store = direction == Offload::Direction::Store;
  check(*device, cudaEventRecord(copies.given, device->stream), kWhat);
  check(*device, cudaStreamWaitEvent(copies.stream, copies.given, 0), kWhat);
  check(*device, cudaMemcpyAsync(to, from, bytes, store ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice, copies.stream), kWhat);
  check(*device, cudaEventRecord(copies.done[copies.asked % Device::Copies::kEvents], copies.stream), kWhat);
  return {direction, copies.asked++};
}

void await_copy(Device* device, const Offload::Copy& copy) {
  const Device::Copies& copies = copies_of(*device, copy.direction);
  check(*device, cudaStreamWaitEvent(device->stream, copies.done[copy.number % Device::Copies::kEvents], 0), "offloaded memory was waited for");
}

void settle_copies(Device* device) noexcept {
  for (Device::Copies* copies : {&device->stores, &device->loads}) {
    if (copies->asked == 0) continue;
    const cudaError_t status = cudaStreamWaitEvent(device->stream, copies->done[(copies->asked - 1) % Device::Copies::kEvents], 0);
    if (device->failure == cudaSuccess) device->failure = status;
  }
}

void finish_copies(Device* device) {
  for (Device::Copies* copies : {&device->stores, &device->loads})
    if (copies->stream != nullptr) check(*device, cudaStreamSynchronize(copies->stream), "offloaded memory was waited for");
}

KeptArrays& kept_arrays_of(Device* device) { return device->kept; }

Recorder& recorder_of(Device* device) { return device->recorder; }

void* make_graph(const Run& run, Recording& recording) {
  Device own;  // what other threads give that of the run meanwhile is no part of the graph
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t made = nullptr;
  if (cudaStreamCreateWithFlags(&own.stream, cudaStreamNonBlocking) == cudaSuccess) {
    if (cudaStreamBeginCapture(own.stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess) {
      Run capturing = run;
      capturing.device = &own;
      bool whole = true;
      try {
        recording.start(capturing);
      } catch (const std::exception&) {
        whole = false;
      }
      if (cudaStreamEndCapture(own.stream, &graph) == cudaSuccess && whole && cudaGraphInstantiate(&made, graph, 0) != cudaSuccess) made = nullptr;
      if (graph != nullptr) cudaGraphDestroy(graph);
    }
    cudaStreamDestroy(own.stream);
  }
  cudaGetLastError();
  return made;
}

void start_graph(Device* device, void* graph) {
  check(*device, cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), device->stream), "a graph was started");
}

void drop_graph(void* graph) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

Stream stream_of(Device* device) {
  device->recorder.interrupt();
  return device->stream;
}

void give_up(Device* device, const char* what, int status) {
  check(*device, cudaGetLastError(), what);
  device->failure = cudaErrorUnknown;
  fail(LR_DEVICE_FAILED, "the GPU failed while %s: status %d; end this process and start another", what, status);
}

void allow_shared(const Run& run, const void* kernel, int64_t bytes) {
  check(*run.device, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)), "a kernel was set up");
}

void start_kernel(const Run& run, const Recording::Work& work, void** arguments) {
  const dim3 blocks(static_cast<unsigned>(work.grid.x), static_cast<unsigned>(work.grid.y), static_cast<unsigned>(work.grid.z));
  check(*run.device,
        cudaLaunchKernel(work.kernel, blocks, dim3(static_cast<unsigned>(work.threads)), arguments, static_cast<size_t>(work.shared), run.device->stream),
        "a kernel was started");
}

}  // namespace cuda
}  // namespace lr
