// Frozen weights to floats and to bfloat16: what a product takes, in a small workspace that every layer reuses.
#include "kernels.h"
#include "weights.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEight = 8;  // values that a thread takes at once: a 4-byte word of codes

LR_DEVICE void store_eight(float* out, const float (&values)[kEight]) {
  LR_UNROLL
  for (int i = 0; i < kEight; ++i) out[i] = values[i];
}
LR_DEVICE void store_eight(uint16_t* out, const float (&values)[kEight]) {
  FourWords words;
  LR_UNROLL
  for (int i = 0; i < 4; ++i) words.word[i] = bf16_pair(values[2 * i], values[2 * i + 1]);
  *reinterpret_cast<FourWords*>(out) = words;
}

// Where eight number `eight` of a matrix goes, when rows of so many eights are followed by a gap. There are less than 2³² of them.
LR_DEVICE int64_t place_of(int64_t eight, uint32_t per_row, int64_t gap) {
  return eight * kEight + (gap == 0 ? 0 : static_cast<uint32_t>(eight) / per_row * gap);
}

// 4-bit codes whose rows are multiples of eight: a word of eight codes a thread, which never leaves its block of 64 or its row.
template <typename Out>
LR_KERNEL(kThreads) dequantize_words(Weight w, Levels levels, Out* out, int64_t words, int64_t gap) {
  const Levels* shared = share_levels(levels, 0);
  const auto per_row = static_cast<uint32_t>(w.cols / kEight);
  for (int64_t word = flat_begin(); word < words; word += flat_step()) {
    const uint32_t codes = static_cast<const uint32_t*>(w.data)[word];
    const float scale = block_scale(w.scales, word * kEight / quant::kBlock, shared);
    float values[kEight];
    LR_UNROLL
    for (int i = 0; i < kEight; ++i) {
      const uint32_t byte = codes >> (i / 2 * 8) & 0xFF;
      values[i] = shared->four_bit[i % 2 == 0 ? byte >> 4 : byte & 15] * scale;
    }
    store_eight(out + place_of(word, per_row, gap), values);
  }
}

// Floats to bfloat16, of which the rows are multiples of eight.
LR_KERNEL(kThreads) round_floats(const float* from, uint32_t per_row, uint16_t* out, int64_t eights, int64_t gap) {
  for (int64_t eight = flat_begin(); eight < eights; eight += flat_step()) {
    const auto* own = reinterpret_cast<const FourFloats*>(from + eight * kEight);
    const FourFloats low = own[0], high = own[1];
    float values[kEight];
    LR_UNROLL
    for (int i = 0; i < 4; ++i) {
      values[i] = low.value[i];
      values[4 + i] = high.value[i];
    }
    store_eight(out + place_of(eight, per_row, gap), values);
  }
}

// Any storage and shape, an element a thread; zeros up to `width`.
template <typename Out>
LR_KERNEL(kThreads) dequantize_elements(Weight w, Levels levels, Out* out, int64_t width, int64_t stride) {
  const Levels* shared = share_levels(levels, 0);
  for (int64_t i = flat_begin(); i < w.rows * width; i += flat_step()) {
    const int64_t row = i / width, col = i % width;
    store(out + row * stride + col, col < w.cols ? weight_element(w, row * w.cols + col, shared) : 0.0f);
  }
}

template <typename Out>
void dequantize_to(const Run& run, const Weight& w, Out* out, int64_t width, int64_t stride) {
  const Levels levels = levels_of(w.storage);
  const int64_t eights = w.rows * w.cols / kEight;
  if (w.cols % kEight == 0 && quant::is_four_bit(w.storage)) {
    return launch(run, dequantize_words<Out>, flat_grid(eights), kThreads, kLevelsBytes, w, levels, out, eights, stride - w.cols);
  }
  if constexpr (std::is_same_v<Out, uint16_t>) {
    if (w.cols % kEight == 0 && w.storage == Storage::F32 && is_aligned(w.data)) {
      return launch(run, round_floats, flat_grid(eights), kThreads, 0, static_cast<const float*>(w.data),
                    static_cast<uint32_t>(w.cols / kEight), out, eights, stride - w.cols);
    }
  }
  launch(run, dequantize_elements<Out>, flat_grid(w.rows * width), kThreads, kLevelsBytes, w, levels, out, width, stride);
}

constexpr int kPlacedAtOnce = 32;  // arguments have 4 KiB
struct AllPlaced {
  Placed of[kPlacedAtOnce];
};

// An element a thread; a layer of the grid is one of them.
LR_KERNEL(kThreads) place(AllPlaced all) {
  const Placed& p = all.of[block_y()];
  for (int64_t i = flat_begin(); i < p.to_rows * p.to_cols; i += flat_step()) {
    const int64_t row = i / p.to_cols, col = i % p.to_cols;
    const bool there = row < p.rows && col < p.cols;
    const float value = there ? p.values[p.turned ? col * p.rows + row : row * p.cols + col] : 0.0f;
    p.to[row * p.stride + col] = bf16_bits(p.factor * value);
  }
}

}  // namespace

void dequantize(const Run& run, const Weight& w, float* out) { dequantize_to(run, w, out, w.cols, w.cols); }

Halves weight_halves(const Run& run, const Weight& w, Moment& moment, Room room) {
  const int64_t width = halves_stride(w.cols), stride = width + room.cols;
  const bool as_it_lies = w.storage == Storage::BF16 && width == w.cols && room.cols + room.rows == 0;
  if (as_it_lies) return {static_cast<const uint16_t*>(w.data), stride};
  auto* out = moment.take<uint16_t>((w.rows + room.rows) * stride);
  dequantize_to(run, w, out, width, stride);
  return {out, stride};
}

Halves float_halves(const Run& run, const float* values, int64_t rows, int64_t cols, Moment& moment, Room room) {
  return weight_halves(run, {Storage::F32, rows, cols, values, {}}, moment, room);
}

void place_halves(const Run& run, std::span<const Placed> all) {
  for (size_t first = 0; first < all.size(); first += kPlacedAtOnce) {
    AllPlaced some = {};
    const size_t count = std::min<size_t>(kPlacedAtOnce, all.size() - first);
    int64_t largest = 0;
    for (size_t i = 0; i < count; ++i) {
      some.of[i] = all[first + i];
      largest = std::max(largest, some.of[i].to_rows * some.of[i].to_cols);
    }
    Grid grid = flat_grid(largest);
    grid.y = static_cast<int64_t>(count);
    launch(run, place, grid, kThreads, 0, some);
  }
}

const float* weight_floats(const Run& run, const Weight& w, Moment& moment) {
  if (w.storage == Storage::F32) return static_cast<const float*>(w.data);
  auto* out = moment.take<float>(w.rows * w.cols);
  dequantize(run, w, out);
  return out;
}

}  // namespace lr::cuda
