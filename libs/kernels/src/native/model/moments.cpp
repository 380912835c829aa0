#include "moments.h"

#include <algorithm>

#include "../adamw8.h"

namespace lr {
namespace {

// As in bitsandbytes: below this many elements 8 bits save nothing worth their error.
constexpr size_t kSmallest8 = 4096;
// Copies of a few hundred kilobytes are as fast as large ones.
constexpr size_t kPage = size_t{1} << 20;

size_t align64(size_t bytes) { return (bytes + 63) / 64 * 64; }
size_t blocks_of(size_t n) { return (n + kMomentBlock - 1) / kMomentBlock; }

}  // namespace

void Moments::add(size_t n, bool eight_bit) {
  const Part part = {n, bytes_, eight_bit && n >= kSmallest8};
  parts_.push_back(part);
  bytes_ += 2 * (part.eight_bit ? align64(n) + align64(blocks_of(n) * sizeof(float)) : align64(n * sizeof(float)));
}

void Moments::prepare(MemoryCounter& counter) {
  if (!memory_.empty()) return;
  Offload* offload = counter.offload();
  Buffer<uint8_t> memory;
  if (offload == nullptr || offload->always() != Offload::Always::Everything) {
    try {
      memory = Buffer<uint8_t>(counter, bytes_);
      offload = nullptr;
    } catch (const std::bad_alloc&) {
      if (offload == nullptr) throw;
    }
  }
  if (offload != nullptr) {
    memory = Buffer<uint8_t>(offload->memory(), bytes_);
    make_pages();
  }
  memory.zero();  // a scale of 0 makes every code 0
  memory_ = std::move(memory);
  offload_ = offload;
}

void Moments::make_pages() {
  pages_.clear();
  for (size_t i = 0; i < parts_.size(); ++i) {
    const size_t at = parts_[i].at, end = i + 1 < parts_.size() ? parts_[i + 1].at : bytes_;
    if (pages_.empty() || end - pages_.back().at > kPage) pages_.push_back({i, at, 0});
    pages_.back().bytes = end - pages_.back().at;
  }
}

void Moments::read_all(uint8_t* out) const {
  if (memory_.empty()) {
    std::fill(out, out + bytes_, uint8_t{0});
  } else {
    memory_.read(0, out, bytes_);
  }
}

size_t Moments::floats_at(const Part& part, Which which) { return part.at + (which == First ? 0 : align64(part.n * sizeof(float))); }

size_t Moments::codes_at(const Part& part, Which which) { return part.at + (which == First ? 0 : align64(part.n)); }

size_t Moments::scales_at(const Part& part, Which which) {
  return part.at + 2 * align64(part.n) + (which == First ? 0 : align64(blocks_of(part.n) * sizeof(float)));
}

Moments::Update::Update(const Run& run, const Ops& ops, Moments& moments) : run_(run), ops_(ops), moments_(moments), mark_(run.scratch->mark()) {
  size_t largest = 0;
  for (const Page& page : moments_.pages_) largest = std::max(largest, page.bytes);
  for (size_t i = 0; i < std::min(kPlaces, moments_.pages_.size()); ++i) places_[i] = static_cast<uint8_t*>(run_.scratch->take(largest));
  waiting_.reserve(moments_.parts_.size());  // steps are not to fail halfway
}

Moments::Update::~Update() {
  if (moments_.offload_ != nullptr) moments_.offload_->settle();  // the scratch is free for others then
  run_.scratch->release(mark_);
}

void Moments::Update::load(size_t page) {
  const Page& p = moments_.pages_[page];
  loads_[page % kPlaces] = moments_.offload_->load(places_[page % kPlaces], moments_.memory_.data() + p.at, p.bytes);
}

void Moments::Update::store(size_t page) {
  const Page& p = moments_.pages_[page];
  stores_[page % kPlaces] = moments_.offload_->store(moments_.memory_.data() + p.at, places_[page % kPlaces], p.bytes);
}

void Moments::Update::enter(size_t page) {
  start();
  if (page == 0) {
    load(0);
  } else {
    store(page - 1);
  }
  if (const size_t next = page + 1; next < moments_.pages_.size()) {
    if (next >= kPlaces) moments_.offload_->await(stores_[next % kPlaces]);  // who had that place before
    load(next);
  }
  moments_.offload_->await(loads_[page % kPlaces]);
}

void Moments::Update::step(size_t tensor, float* w, const float* g, const AdamwStep& step) {
  Part part = moments_.parts_[tensor];
  uint8_t* memory = moments_.memory_.data();
  if (moments_.offload_ != nullptr) {
    const std::vector<Page>& pages = moments_.pages_;
    if (entered_ < pages.size() && pages[entered_].first == tensor) enter(entered_++);
    memory = places_[(entered_ - 1) % kPlaces];
    part.at -= pages[entered_ - 1].at;
  }
  const auto n = static_cast<int64_t>(part.n);
  const auto floats = [&](size_t at) { return reinterpret_cast<float*>(memory + at); };
  if (part.eight_bit) {
    const Moments8 moments = {memory + codes_at(part, First), memory + codes_at(part, Second), floats(scales_at(part, First)),
                              floats(scales_at(part, Second))};
    ops_.adamw8(run_, w, g, moments, n, step);
  } else {
    waiting_.push_back({w, g, floats(floats_at(part, First)), floats(floats_at(part, Second)), n, step});
  }
}

void Moments::Update::start() {
  ops_.adamw(run_, waiting_);
  waiting_.clear();
}

void Moments::Update::finish() {
  start();
  if (entered_ > 0) store(entered_ - 1);
}

void Moments::read(Which which, size_t tensor, float* out) const {
  const Part& part = parts_[tensor];
  if (memory_.empty()) {
    std::fill(out, out + part.n, 0.0f);
  } else if (!part.eight_bit) {
    memory_.read(floats_at(part, which), reinterpret_cast<uint8_t*>(out), part.n * sizeof(float));
  } else {
    std::vector<uint8_t> codes(part.n);
    std::vector<float> absmax(blocks_of(part.n));
    memory_.read(codes_at(part, which), codes.data(), codes.size());
    memory_.read(scales_at(part, which), reinterpret_cast<uint8_t*>(absmax.data()), absmax.size() * sizeof(float));
    const Map8& map = which == First ? maps8().m : maps8().v;
    const auto n = static_cast<int64_t>(part.n);
    for (int64_t block = 0, at = 0; at < n; ++block, at += kMomentBlock) {
      decode8(map, codes.data() + at, absmax[static_cast<size_t>(block)], std::min(kMomentBlock, n - at), out + at);
    }
  }
}

void Moments::write(Which which, size_t tensor, const float* values) {
  const Part& part = parts_[tensor];
  if (!part.eight_bit) {
    memory_.write(floats_at(part, which), reinterpret_cast<const uint8_t*>(values), part.n * sizeof(float));
    return;
  }
  std::vector<uint8_t> codes(part.n);
  std::vector<float> absmax(blocks_of(part.n));
  const Map8& map = which == First ? maps8().m : maps8().v;
  const auto n = static_cast<int64_t>(part.n);
  for (int64_t block = 0, at = 0; at < n; ++block, at += kMomentBlock) {
    absmax[static_cast<size_t>(block)] = encode8(map, values + at, std::min(kMomentBlock, n - at), codes.data() + at);
  }
  memory_.write(codes_at(part, which), codes.data(), codes.size());
  memory_.write(scales_at(part, which), reinterpret_cast<const uint8_t*>(absmax.data()), absmax.size() * sizeof(float));
}

}  // namespace lr
