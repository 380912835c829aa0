// Work of a queue, written down before it is started. What was written down before in the very same way is started as a graph, at once: for
// hundreds of kernels of a few microseconds that is what sets the pace (docs/adr/0044).
//
// Two recordings are the same when their kernels, grids and arguments are, to the byte, addresses included. So a graph is never started with
// a value of another time: what differs is another recording. Values that change from step to step lie in memory at fixed places.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <list>
#include <memory>
#include <new>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "../ops.h"

namespace lr::cuda {

struct Grid {
  int64_t x = 1, y = 1, z = 1;
  bool operator==(const Grid&) const = default;
};

// Arguments of a kernel as bytes, each at a multiple of its alignment. Equal arguments are equal bytes: what structs leave unused is zero.
template <typename... P>
struct Arguments {
  static constexpr size_t kAlignment = 16;
  static_assert((std::is_trivially_copyable_v<P> && ...) && ((alignof(P) <= kAlignment) && ...));

  // Where each of them begins, and at the end how many bytes they are.
  static constexpr std::array<size_t, sizeof...(P) + 1> kPlaces = [] {
    std::array<size_t, sizeof...(P) + 1> places = {};
    size_t at = 0, i = 0;
    ((at = (at + alignof(P) - 1) / alignof(P) * alignof(P), places[i++] = at, at += sizeof(P)), ...);
    places[i] = at;
    return places;
  }();
  static constexpr size_t kBytes = kPlaces.back();

  // `to` holds zeros.
  static void write(unsigned char* to, P... values) {
    size_t i = 0;
    (write_one(to + kPlaces[i++], values), ...);
  }
  // call(P&…)
  template <typename Call>
  static void with(unsigned char* from, const Call& call) {
    [&]<size_t... i>(std::index_sequence<i...>) {
      call(*std::launder(reinterpret_cast<P*>(from + kPlaces[i]))...);
    }(std::index_sequence_for<P...>());
  }

 private:
  template <typename T>
  static void write_one(unsigned char* to, T& value) {
    __builtin_clear_padding(&value);
    std::memcpy(to, &value, sizeof value);
  }
};

class Recording {
 public:
  // A kernel, a copy or a clearing.
  struct Work {
    void (*start)(const Run&, const Work&, unsigned char* arguments);
    const void* kernel = nullptr;
    Grid grid = {};
    int threads = 0;
    int64_t shared = 0;    // bytes
    size_t arguments = 0;  // where they begin
    bool operator==(const Work&) const = default;
  };

  template <typename... P>
  void add(Work work, P... arguments) {
    constexpr size_t kAlignment = Arguments<P...>::kAlignment;
    work.arguments = (bytes_.size() + kAlignment - 1) / kAlignment * kAlignment;
    bytes_.resize(work.arguments + Arguments<P...>::kBytes);
    Arguments<P...>::write(bytes_.data() + work.arguments, arguments...);
    work_.push_back(work);
  }
  // Starts all of it, in its order.
  void start(const Run& run) {
    for (const Work& work : work_) work.start(run, work, bytes_.data() + work.arguments);
  }
  void clear() {
    work_.clear();
    bytes_.clear();
  }
  bool operator==(const Recording&) const = default;

 private:
  std::vector<Work> work_;
  std::vector<unsigned char> bytes_;
};

// Of a queue: writes down what one thread gives it, and knows what was started last. What other threads give it meanwhile, as weights of an
// adapter that no batch has yet, is started at once.
class Recorder {
 public:
  // From here on. Small arrays of the machine go to `inputs`, memory of the device, in one copy before everything else.
  void begin(const Run& run, unsigned char* inputs, size_t capacity);
  // Where work is written down; null: it is to be started at once.
  Recording* recording() { return active() ? &current_ : nullptr; }
  // Where values will be on the device; equal ones of a recording have one place. Null when nothing is written down, and, after starting what
  // was, when there is no more room.
  void* place(const void* values, size_t bytes);
  // Starts what was written down: as a graph where that is known, or else one after the other.
  void finish();
  // The same before something that cannot be part of a graph.
  void interrupt();
  void drop() { writer_ = std::thread::id(); }

 private:
  struct DropGraph {
    void operator()(void* graph) const;
  };
  struct Known {
    Recording recording;
    std::unique_ptr<void, DropGraph> graph;
    bool refused = false;
  };
  struct Input {
    size_t at, bytes;
  };
  bool active() const { return writer_.load() == std::this_thread::get_id(); }
  void copy_inputs();

  std::atomic<std::thread::id> writer_{};
  Run run_ = {};
  unsigned char* inputs_ = nullptr;
  size_t capacity_ = 0;
  std::vector<unsigned char> values_;
  std::vector<Input> places_;
  Recording current_;
  std::list<Known> known_;  // what was started last comes first
};

}  // namespace lr::cuda
