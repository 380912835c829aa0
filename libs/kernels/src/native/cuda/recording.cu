#include "recording.h"

#include <algorithm>

#include "queue.h"

namespace lr::cuda {
namespace {

// Batches change when a sequence begins or ends. A recording of a model of 32 layers takes half a megabyte of the machine, its graph some of the GPU.
constexpr size_t kMostKnown = 32;
constexpr size_t kAlignment = 16;  // of a small array

}  // namespace

void Recorder::DropGraph::operator()(void* graph) const { drop_graph(graph); }

void Recorder::begin(const Run& run, unsigned char* inputs, size_t capacity) {
  run_ = run;
  inputs_ = inputs;
  capacity_ = capacity;
  values_.clear();
  places_.clear();
  current_.clear();
  writer_ = std::this_thread::get_id();
}

void* Recorder::place(const void* values, size_t bytes) {
  if (!active()) return nullptr;
  for (const Input& known : places_)
    if (known.bytes == bytes && std::memcmp(values_.data() + known.at, values, bytes) == 0) return inputs_ + known.at;
  const size_t at = (values_.size() + kAlignment - 1) / kAlignment * kAlignment;
  if (at + bytes > capacity_) {
    interrupt();
    return nullptr;
  }
  values_.resize(at + bytes);
  std::memcpy(values_.data() + at, values, bytes);
  places_.push_back({at, bytes});
  return inputs_ + at;
}

void Recorder::copy_inputs() {
  drop();
  if (!values_.empty()) copy_in(run_.device, inputs_, values_.data(), values_.size());
}

void Recorder::interrupt() {
  if (!active()) return;
  copy_inputs();
  current_.start(run_);
}

void Recorder::finish() {
  if (!active()) return;
  copy_inputs();
  const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& known) { return known.recording == current_; });
  if (found == known_.end()) {
    // The first time as it was given: it may be the last, and a driver loads kernels when they are started first, which it cannot do for a graph.
    if (known_.size() == kMostKnown) known_.pop_back();
    known_.push_front({std::move(current_), nullptr});
    return known_.front().recording.start(run_);
  }
  known_.splice(known_.begin(), known_, found);
  Known& known = known_.front();
  if (known.graph == nullptr && !known.refused) {
    known.graph.reset(make_graph(run_, known.recording));
    known.refused = known.graph == nullptr;
  }
  if (known.graph == nullptr) return known.recording.start(run_);
  start_graph(run_.device, known.graph.get());
}

bool record_rows(Device* device, void* to, size_t to_stride, const void* from, size_t from_stride, size_t row_bytes, int64_t rows) {
  Recording* recording = recording_of(device);
  if (recording == nullptr) return false;
  const auto start = [](const Run& run, const Recording::Work&, unsigned char* arguments) {
    Arguments<void*, size_t, const void*, size_t, size_t, int64_t>::with(arguments, [&](auto&... own) { copy_rows(run.device, own...); });
  };
  recording->add<void*, size_t, const void*, size_t, size_t, int64_t>({start}, to, to_stride, from, from_stride, row_bytes, rows);
  return true;
}

bool record_zero(Device* device, void* to, size_t bytes) {
  Recording* recording = recording_of(device);
  if (recording == nullptr) return false;
  const auto start = [](const Run& run, const Recording::Work&, unsigned char* arguments) {
    Arguments<void*, size_t>::with(arguments, [&](auto&... own) { fill_zero(run.device, own...); });
  };
  recording->add<void*, size_t>({start}, to, bytes);
  return true;
}

}  // namespace lr::cuda
