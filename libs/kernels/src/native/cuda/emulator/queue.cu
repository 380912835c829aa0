// Device memory is memory of the machine that nobody can touch but kernels and copies: the rest of the library, which has to leave it
// alone, ends with a segmentation fault where it does not.
#include "../queue.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>

#include "../../model/error.h"
#include "memory.h"

namespace lr {

// Copies beside the queue are made as late as what waits for them allows, and where they go there is garbage until then: who uses either end
// too early gets other bytes.
struct Device {
  struct Pending {
    void* to;
    const void* from;
    size_t bytes;
  };
  struct Copies {
    std::deque<Pending> pending;
    uint64_t asked = 0;
  };
  Copies stores, loads;
  cuda::Recorder recorder;
  cuda::KeptArrays kept;

  Copies& of(Offload::Direction direction) { return direction == Offload::Direction::Store ? stores : loads; }
};

namespace cuda {
namespace {

constexpr size_t kRegion = size_t{8} << 30, kPage = 4096;

// Addresses are given out once and never again, so that a use after freeing is found as well. Guarded by `lock`.
struct Region {
  std::mutex lock;
  std::byte* begin = nullptr;
  size_t used = 0;
  int open = 0;
  std::map<void*, size_t> live;
  size_t live_bytes = 0, limit = kRegion;
};
Region region;

struct EmulatedGraph {
  Recording recording;
  Run run;
};
std::atomic<uint64_t> graphs{0}, alive{0};
std::atomic<bool> refuse_graphs{false}, refuse_pinned{false};

constexpr int kGarbage = 0xFF;  // floats of it are not numbers

// Makes those of one direction until `left` are pending.
void make_copies(Device::Copies& copies, uint64_t left) {
  const emulator::OpenMemory open;
  for (; copies.pending.size() > left; copies.pending.pop_front()) {
    const Device::Pending& first = copies.pending.front();
    std::memcpy(first.to, first.from, first.bytes);
  }
}

void protect(int access) {
  if (region.used > 0) ::mprotect(region.begin, region.used, access);
}

}  // namespace

emulator::OpenMemory::OpenMemory() {
  const std::lock_guard<std::mutex> lock(region.lock);
  if (region.open++ == 0) protect(PROT_READ | PROT_WRITE);
}

emulator::OpenMemory::~OpenMemory() {
  const std::lock_guard<std::mutex> lock(region.lock);
  if (--region.open == 0) protect(PROT_NONE);
}

emulator::MemoryLimit::MemoryLimit(size_t bytes) {
  const std::lock_guard<std::mutex> lock(region.lock);
  region.limit = bytes;
}

emulator::MemoryLimit::~MemoryLimit() {
  const std::lock_guard<std::mutex> lock(region.lock);
  region.limit = kRegion;
}

emulator::NothingPinned::NothingPinned() { refuse_pinned = true; }
emulator::NothingPinned::~NothingPinned() { refuse_pinned = false; }

uint64_t emulator::graphs_started() { return graphs.load(); }
uint64_t emulator::graphs_alive() { return alive.load(); }

emulator::NoGraphs::NoGraphs() { refuse_graphs = true; }
emulator::NoGraphs::~NoGraphs() { refuse_graphs = false; }

Device* open_queue() { return new Device; }
void close_queue(Device* device) {
  device->kept.close(device);
  delete device;
}

KeptArrays& kept_arrays_of(Device* device) { return device->kept; }

void* allocate(Device*, size_t bytes) {
  const std::lock_guard<std::mutex> lock(region.lock);
  if (region.begin == nullptr) {
    void* memory = ::mmap(nullptr, kRegion, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    region.begin = static_cast<std::byte*>(memory);
  }
  const size_t size = (bytes + kPage - 1) / kPage * kPage;
  if (size > kRegion - region.used || region.live_bytes + size > region.limit) return nullptr;
  void* memory = region.begin + region.used;
  if (region.open > 0) ::mprotect(memory, size, PROT_READ | PROT_WRITE);  // by another context, in another thread
  region.live.emplace(memory, size);
  region.used += size;
  region.live_bytes += size;
  return memory;
}

void deallocate(Device*, void* memory) {
  const std::lock_guard<std::mutex> lock(region.lock);
  const auto found = region.live.find(memory);
  region.live_bytes -= found->second;
  region.live.erase(found);
}

bool is_done(Device*) { return true; }

void copy_in(Device* device, void* to, const void* from, size_t bytes) {
  if (device != nullptr) device->recorder.interrupt();
  const emulator::OpenMemory open;
  std::memcpy(to, from, bytes);
}

void copy_out(Device* device, void* to, const void* from, size_t bytes) {
  if (device != nullptr) device->recorder.finish();
  const emulator::OpenMemory open;
  std::memcpy(to, from, bytes);
}

void copy_rows(Device* device, void* to, size_t to_stride, const void* from, size_t from_stride, size_t row_bytes, int64_t rows) {
  if (record_rows(device, to, to_stride, from, from_stride, row_bytes, rows)) return;
  const emulator::OpenMemory open;
  for (int64_t row = 0; row < rows; ++row)
    std::memcpy(static_cast<std::byte*>(to) + static_cast<size_t>(row) * to_stride,
                static_cast<const std::byte*>(from) + static_cast<size_t>(row) * from_stride, row_bytes);
}

void fill_zero(Device* device, void* to, size_t bytes) {
  if (record_zero(device, to, bytes)) return;
  const emulator::OpenMemory open;
  std::memset(to, 0, bytes);
}

void* allocate_pinned(Device*, size_t bytes) { return refuse_pinned ? nullptr : std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage); }
void deallocate_pinned(Device*, void* memory) { std::free(memory); }

Offload::Copy copy_beside(Device* device, Offload::Direction direction, void* to, const void* from, size_t bytes) {
  device->recorder.interrupt();
  const emulator::OpenMemory open;
  std::memset(to, kGarbage, bytes);
  Device::Copies& copies = device->of(direction);
  copies.pending.push_back({to, from, bytes});
  return {direction, copies.asked++};
}

void await_copy(Device* device, const Offload::Copy& copy) {
  Device::Copies& copies = device->of(copy.direction);
  make_copies(copies, copies.asked - 1 - copy.number);
}

void settle_copies(Device* device) noexcept {
  make_copies(device->stores, 0);
  make_copies(device->loads, 0);
}

void finish_copies(Device* device) { settle_copies(device); }

Recorder& recorder_of(Device* device) { return device->recorder; }

// A copy: what is started later has the arguments of now.
void* make_graph(const Run& run, Recording& recording) {
  if (refuse_graphs) return nullptr;
  ++alive;
  return new EmulatedGraph{recording, run};
}

void start_graph(Device*, void* graph) {
  auto* own = static_cast<EmulatedGraph*>(graph);
  own->recording.start(own->run);
  ++graphs;
}

void drop_graph(void* graph) {
  delete static_cast<EmulatedGraph*>(graph);
  --alive;
}

Stream stream_of(Device* device) {
  if (device != nullptr) device->recorder.interrupt();
  return nullptr;
}

void give_up(Device*, const char* what, int status) { fail(LR_DEVICE_FAILED, "the device failed while %s: status %d", what, status); }

}  // namespace cuda
}  // namespace lr
