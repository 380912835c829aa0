// The backend as a context has it: its table, its memory, its scratch, its queue.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "../device.h"
#include "../model/error.h"
#include "../model/repeats.h"
#include "nccl.h"
#include "queue.h"

namespace lr {
namespace cuda {

extern const Ops kOps;

namespace {

class PinnedMemory final : public MemoryCounter {
 public:
  explicit PinnedMemory(Device* device) : device_(device) {}
  void* allocate(size_t bytes) override { return allocate_pinned(device_, bytes); }
  void deallocate(void* memory) override { deallocate_pinned(device_, memory); }
  void zero(void* to, size_t bytes) override {
    finish_copies(device_);
    std::memset(to, 0, bytes);
  }
  void write(void* to, const void* host, size_t bytes) override {
    finish_copies(device_);
    std::memcpy(to, host, bytes);
  }
  void read(void* host, const void* from, size_t bytes) const override {
    finish_copies(device_);
    std::memcpy(host, from, bytes);
  }

 private:
  Device* device_;
};

class DeviceOffload final : public Offload {
 public:
  DeviceOffload(Device* device, Always always) : device_(device), memory_(device), always_(always) {}
  MemoryCounter& memory() override { return memory_; }
  Always always() const override { return always_; }
  Copy store(void* host, const void* from, size_t bytes) override { return copy_beside(device_, Direction::Store, host, from, bytes); }
  Copy load(void* to, const void* host, size_t bytes) override { return copy_beside(device_, Direction::Load, to, host, bytes); }
  void await(const Copy& copy) override { await_copy(device_, copy); }
  void settle() noexcept override { settle_copies(device_); }

 private:
  Device* device_;
  PinnedMemory memory_;
  Always always_;
};

// What LOWRANK_OFFLOAD says: `auto` where the device's memory does not do, `checkpoints` and `on`, which is all, where it would, or `off`.
std::unique_ptr<Offload> make_offload(Device* device) {
  const char* set = std::getenv("LOWRANK_OFFLOAD");
  const std::string wanted = set == nullptr || *set == '\0' ? "auto" : set;
  if (wanted == "off") return nullptr;
  using Always = Offload::Always;
  for (const auto& [name, always] : {std::pair{"auto", Always::Nothing}, {"checkpoints", Always::Checkpoints}, {"on", Always::Everything}})
    if (wanted == name) return std::make_unique<DeviceOffload>(device, always);
  fail(LR_INVALID_ARGUMENT, "LOWRANK_OFFLOAD is \"%s\"; it can be auto, checkpoints, on or off", set);
}

class DeviceRepeats final : public Repeats {
 public:
  DeviceRepeats(Device* device, MemoryCounter& memory) : device_(device), memory_(memory) {}
  void begin(const Run& run) override {
    if (inputs_.empty()) {
      try {
        inputs_ = Buffer<uint8_t>(memory_, kInputs);
      } catch (const std::bad_alloc&) {
        return;  // work is started as it is given
      }
    }
    recorder_of(device_).begin(run, inputs_.data(), inputs_.size());
  }
  void end() override { recorder_of(device_).finish(); }
  void drop() noexcept override { recorder_of(device_).drop(); }

 private:
  // Most of it are page tables and parts of keys, twenty bytes for each page or part that a sequence of the batch has, and two addresses for each
  // pair that decodes at each linear layer.
  static constexpr size_t kInputs = size_t{4} << 20;
  Device* device_;
  MemoryCounter& memory_;
  Buffer<uint8_t> inputs_;
};

// What LOWRANK_CUDA_GRAPHS says: `on`, the default, or `off`.
std::unique_ptr<Repeats> make_repeats(Device* device, MemoryCounter& memory) {
  const char* set = std::getenv("LOWRANK_CUDA_GRAPHS");
  const std::string wanted = set == nullptr || *set == '\0' ? "on" : set;
  if (wanted == "off") return nullptr;
  if (wanted != "on") fail(LR_INVALID_ARGUMENT, "LOWRANK_CUDA_GRAPHS is \"%s\"; it can be on or off", set);
  return std::make_unique<DeviceRepeats>(device, memory);
}

class DeviceMemory final : public MemoryCounter {
 public:
  explicit DeviceMemory(Device* device) : device_(device), offload_(make_offload(device)), repeats_(make_repeats(device, *this)) {}
  void* allocate(size_t bytes) override { return cuda::allocate(device_, bytes); }
  void deallocate(void* memory) override { cuda::deallocate(device_, memory); }
  void zero(void* to, size_t bytes) override { fill_zero(device_, to, bytes); }
  void write(void* to, const void* host, size_t bytes) override { copy_in(device_, to, host, bytes); }
  void read(void* host, const void* from, size_t bytes) const override { copy_out(device_, host, from, bytes); }
  void copy_rows(void* to, size_t to_stride, const void* from, size_t from_stride, size_t row_bytes, int64_t rows) override {
    cuda::copy_rows(device_, to, to_stride, from, from_stride, row_bytes, rows);
  }
  bool is_host() const override { return false; }
  Offload* offload() override { return offload_.get(); }
  Repeats* repeats() override { return repeats_.get(); }

 private:
  Device* device_;
  std::unique_ptr<Offload> offload_;
  std::unique_ptr<Repeats> repeats_;
};

// A stack over blocks that stay: a repeated step takes nothing anew. What does not fit into the rest of a block begins the next one. Where none is
// large enough, those that nobody uses go before a larger one comes: so blocks are as many as are wanted at one time.
class DeviceScratch final : public Scratch {
 public:
  DeviceScratch(Device* device, MemoryCounter& memory) : device_(device), memory_(memory) {}

  void* take(size_t bytes) override {
    bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    size_t block = block_, used = used_;
    while (block < blocks_.size() && used + bytes > blocks_[block].size()) {
      ++block;
      used = 0;
    }
    if (block == blocks_.size()) {
      block = used_ == 0 ? block_ : block_ + 1;
      if (block < blocks_.size()) recorder_of(device_).interrupt();  // what is written down may use what goes
      blocks_.resize(std::min(block, blocks_.size()));
      blocks_.emplace_back(memory_, bytes > kBlock ? bytes : kBlock);
      used = 0;
    }
    block_ = block;
    used_ = used;
    uint8_t* taken = blocks_[block_].data() + used_;
    used_ += bytes;
    return taken;
  }
  size_t mark() const override { return block_ << kOffsetBits | used_; }
  void release(size_t mark) override {
    block_ = mark >> kOffsetBits;
    used_ = mark & ((size_t{1} << kOffsetBits) - 1);
  }

 private:
  static constexpr size_t kAlignment = 256, kBlock = size_t{16} << 20;
  static constexpr int kOffsetBits = 48;
  Device* device_;
  MemoryCounter& memory_;
  std::vector<Buffer<uint8_t>> blocks_;
  size_t block_ = 0, used_ = 0;
};

class Backend final : public DeviceBackend {
 public:
  explicit Backend(Device* device) : queue_(device), memory_(device), scratch_(device, memory_) {}
  const Ops& ops() const override { return kOps; }
  MemoryCounter& memory() override { return memory_; }
  Scratch& scratch() override { return scratch_; }
  Device* queue() override { return queue_.get(); }
  GroupId make_group_id() override { return nccl().make_id(queue_.get()); }
  std::unique_ptr<Group> join_group(const GroupId& id, int rank, int size) override { return nccl().join(queue_.get(), id, rank, size); }

 private:
  struct Close {
    void operator()(Device* device) const { close_queue(device); }
  };
  std::unique_ptr<Device, Close> queue_;
  DeviceMemory memory_;
  DeviceScratch scratch_;
};

}  // namespace
}  // namespace cuda

std::unique_ptr<DeviceBackend> open_device() {
  Device* device = cuda::open_queue();
  return device == nullptr ? nullptr : std::make_unique<cuda::Backend>(device);
}

}  // namespace lr
