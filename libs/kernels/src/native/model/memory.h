// Counted memory: every buffer of a context's handles adds itself to the context's counter (lr_context_memory). Where a backend runs on
// a device, floats, weights and codes lie in the device's memory: the host reads and writes them through the counter, never by address.
#pragma once
#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace lr {

// Buffers of many huge pages ask for those: weights of hundreds of adapters are read once a step, each from a page of its own. The last
// part of a buffer that fills none stays in small ones, so that no more memory is taken.
constexpr size_t kHugePage = size_t{1} << 21;
constexpr size_t kWorthHugePages = 4 * kHugePage;

class Offload;
class Repeats;

// Memory of one kind, and how much of it is taken. This one is the machine's own.
class MemoryCounter {
 public:
  virtual ~MemoryCounter() = default;
  MemoryCounter() = default;
  MemoryCounter(const MemoryCounter&) = delete;
  MemoryCounter& operator=(const MemoryCounter&) = delete;

  // At a multiple of 64; null where there is no more.
  virtual void* allocate(size_t bytes) {
    const bool huge = bytes >= kWorthHugePages;
    void* memory = std::aligned_alloc(huge ? kHugePage : 64, bytes);
    // A kernel without them refuses; nothing depends on it.
    if (huge && memory != nullptr) ::madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
    return memory;
  }
  virtual void deallocate(void* memory) { std::free(memory); }
  // `to` and `from` lie in this memory, `host` in the machine's own. None of them overlap.
  virtual void zero(void* to, size_t bytes) { std::memset(to, 0, bytes); }
  virtual void write(void* to, const void* host, size_t bytes) { std::memcpy(to, host, bytes); }
  virtual void read(void* host, const void* from, size_t bytes) const { std::memcpy(host, from, bytes); }
  // Rows of so many bytes, which begin to_stride and from_stride bytes apart.
  virtual void copy_rows(void* to, size_t to_stride, const void* from, size_t from_stride, size_t row_bytes, int64_t rows) {
    for (int64_t row = 0; row < rows; ++row)
      std::memcpy(static_cast<std::byte*>(to) + static_cast<size_t>(row) * to_stride,
                  static_cast<const std::byte*>(from) + static_cast<size_t>(row) * from_stride, row_bytes);
  }
  void copy(void* to, const void* from, size_t bytes) { copy_rows(to, bytes, from, bytes, bytes, 1); }
  // Whether the machine can use addresses of this memory.
  virtual bool is_host() const { return true; }
  // What starts work that was given before as one; null where there is nothing to be gained.
  virtual Repeats* repeats() { return nullptr; }
  // Where what is not needed for a while can go; null where this is the only memory.
  virtual Offload* offload() { return nullptr; }

  void add(size_t bytes) {
    const uint64_t now = current_.fetch_add(bytes) + bytes;
    uint64_t peak = peak_.load();
    while (now > peak && !peak_.compare_exchange_weak(peak, now)) {
    }
  }
  void subtract(size_t bytes) { current_.fetch_sub(bytes); }
  uint64_t current() const { return current_.load(); }
  uint64_t peak() const { return peak_.load(); }
  void reset_peak() { peak_.store(current_.load()); }

 private:
  std::atomic<uint64_t> current_{0}, peak_{0};
};

// count elements of a trivial type, 64-byte aligned, not initialised. Throws std::bad_alloc.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(MemoryCounter& counter, size_t count) : counter_(&counter), size_(count) {
    if (count > (SIZE_MAX / 2) / sizeof(T)) throw std::bad_alloc();
    if (count == 0) return;
    data_ = static_cast<T*>(counter_->allocate(bytes()));
    if (data_ == nullptr) throw std::bad_alloc();
    counter_->add(bytes());
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer taken(std::move(other));
    swap(taken);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ == nullptr) return;
    counter_->subtract(bytes());
    counter_->deallocate(data_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Elements [at, at + n) from and to the machine's memory, wherever the buffer's lies.
  void read(size_t at, T* host, size_t n) const {
    if (n > 0) counter_->read(host, data_ + at, n * sizeof(T));
  }
  void write(size_t at, const T* host, size_t n) {
    if (n > 0) counter_->write(data_ + at, host, n * sizeof(T));
  }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  void zero() {
    if (data_ != nullptr) counter_->zero(data_, size_ * sizeof(T));
  }

 private:
  size_t bytes() const { return (size_ * sizeof(T) + 63) / 64 * 64; }
  void swap(Buffer& other) noexcept {
    std::swap(counter_, other.counter_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  MemoryCounter* counter_ = nullptr;
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lr
