// Counted memory: every buffer of a context's handles adds itself to the context's counter (lr_context_memory).
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

class MemoryCounter {
 public:
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

// Buffers of many huge pages ask for those: weights of hundreds of adapters are read once a step, each from a page of its own. The last
// part of a buffer that fills none stays in small ones, so that no more memory is taken.
constexpr size_t kHugePage = size_t{1} << 21;
constexpr size_t kWorthHugePages = 4 * kHugePage;

// count elements of a trivial type, 64-byte aligned, not initialised. Throws std::bad_alloc.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(MemoryCounter& counter, size_t count) : counter_(&counter), size_(count) {
    if (count > (SIZE_MAX / 2) / sizeof(T)) throw std::bad_alloc();
    if (count == 0) return;
    const bool huge = bytes() >= kWorthHugePages;
    data_ = static_cast<T*>(std::aligned_alloc(huge ? kHugePage : 64, bytes()));
    if (data_ == nullptr) throw std::bad_alloc();
    if (huge) ::madvise(data_, bytes() / kHugePage * kHugePage, MADV_HUGEPAGE);  // a kernel without them refuses; nothing depends on it
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
    std::free(data_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  void zero() {
    if (data_ != nullptr) std::memset(data_, 0, size_ * sizeof(T));
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
