// AdamW's first and second moments of an adapter's tensors, in floats or in 8 bits. Where a device's memory is short they lie in pinned memory
// of the machine, and an update takes them through the device page by page.
#pragma once
#include <vector>

#include "offload.h"
#include "../ops.h"

namespace lr {

class Moments {
 public:
  enum Which { First, Second };

  // Adds the moments of a tensor of n elements. `eight_bit` asks for codes; small tensors keep floats (kSmallest8).
  void add(size_t n, bool eight_bit);
  // Takes the memory of all tensors, zero before the first update.
  void prepare(MemoryCounter& counter);
  size_t bytes() const { return bytes_; }
  bool eight_bit(size_t tensor) const { return parts_[tensor].eight_bit; }

  // All of it, bytes() of them; zeros while none was prepared.
  void read_all(uint8_t* out) const;
  void write_all(const uint8_t* in) { memory_.write(0, in, bytes_); }  // prepared
  void read(Which which, size_t tensor, float* out) const;
  void write(Which which, size_t tensor, const float* values);  // prepared

  // Steps of tensors, in their order; prepared. Those in floats are started together, at the latest by finish(). With paged moments one page is used
  // while the next comes and the last one goes.
  class Update {
   public:
    Update(const Run& run, const Ops& ops, Moments& moments);
    Update(const Update&) = delete;
    Update& operator=(const Update&) = delete;
    ~Update();

    // One step of a tensor's weights w [n] with gradient g [n].
    void step(size_t tensor, float* w, const float* g, const AdamwStep& step);
    // After the last tensor.
    void finish();

   private:
    static constexpr size_t kPlaces = 3;
    void load(size_t page);
    void store(size_t page);
    void enter(size_t page);
    void start();  // what waits

    const Run& run_;
    const Ops& ops_;
    Moments& moments_;
    size_t mark_;
    uint8_t* places_[kPlaces] = {};  // on the device
    Offload::Copy loads_[kPlaces] = {}, stores_[kPlaces] = {};
    size_t entered_ = 0;  // pages so far
    std::vector<AdamwTensor> waiting_;
  };

 private:
  struct Part {
    size_t n, at;
    bool eight_bit;
  };
  struct Page {  // tensors that travel together
    size_t first, at, bytes;
  };
  void make_pages();
  // Where they begin in memory_, in bytes.
  static size_t floats_at(const Part& part, Which which);
  static size_t codes_at(const Part& part, Which which);
  static size_t scales_at(const Part& part, Which which);

  std::vector<Part> parts_;
  size_t bytes_ = 0;
  Buffer<uint8_t> memory_;
  Offload* offload_ = nullptr;  // null: memory_ is the backend's
  std::vector<Page> pages_;     // of offloaded moments
};

}  // namespace lr
