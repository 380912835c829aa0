// Frozen weights to floats and to bfloat16: what a product takes, in a small workspace that every layer reuses.
#include "kernels.h"
#include "weights.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEight = 8;  // codes of a 4-byte word

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

// 4-bit codes whose rows are multiples of eight: a word of eight codes a thread, which never leaves its block of 64 or its row. n / 8
// words; rows follow each other without gaps.
template <typename Out>
LR_KERNEL(kThreads) dequantize_words(Weight w, Levels levels, Out* out, int64_t words) {
  const Levels* shared = share_levels(levels, 0);
  for (int64_t word = flat_begin(); word < words; word += flat_step()) {
    const uint32_t codes = static_cast<const uint32_t*>(w.data)[word];
    const float scale = block_scale(w.scales, word * kEight / quant::kBlock, shared);
    float values[kEight];
    LR_UNROLL
    for (int i = 0; i < kEight; ++i) {
      const uint32_t byte = codes >> (i / 2 * 8) & 0xFF;
      values[i] = shared->four_bit[i % 2 == 0 ? byte >> 4 : byte & 15] * scale;
    }
    store_eight(out + word * kEight, values);
  }
}

LR_DEVICE void store(float* out, float value) { *out = value; }
LR_DEVICE void store(uint16_t* out, float value) { *out = bf16_bits(value); }

// Any storage and shape, an element a thread; zeros up to the stride.
template <typename Out>
LR_KERNEL(kThreads) dequantize_elements(Weight w, Levels levels, Out* out, int64_t stride) {
  const Levels* shared = share_levels(levels, 0);
  for (int64_t i = flat_begin(); i < w.rows * stride; i += flat_step()) {
    const int64_t row = i / stride, col = i % stride;
    store(out + i, col < w.cols ? weight_element(w, row * w.cols + col, shared) : 0.0f);
  }
}

template <typename Out>
void dequantize_to(const Run& run, const Weight& w, Out* out, int64_t stride) {
  const Levels levels = levels_of(w.storage);
  if (quant::is_four_bit(w.storage) && w.cols % kEight == 0) {
    const int64_t words = w.rows * w.cols / kEight;
    launch(run, dequantize_words<Out>, flat_grid(words), kThreads, kLevelsBytes, w, levels, out, words);
  } else {
    launch(run, dequantize_elements<Out>, flat_grid(w.rows * stride), kThreads, kLevelsBytes, w, levels, out, stride);
  }
}

}  // namespace

void dequantize(const Run& run, const Weight& w, float* out) { dequantize_to(run, w, out, w.cols); }

Halves weight_halves(const Run& run, const Weight& w, Moment& moment) {
  const int64_t stride = halves_stride(w.cols);
  if (w.storage == Storage::BF16 && stride == w.cols) return {static_cast<const uint16_t*>(w.data), stride};
  auto* out = moment.take<uint16_t>(w.rows * stride);
  dequantize_to(run, w, out, stride);
  return {out, stride};
}

Halves float_halves(const Run& run, const float* values, int64_t rows, int64_t cols, Moment& moment) {
  return weight_halves(run, {Storage::F32, rows, cols, values, {}}, moment);
}

const float* weight_floats(const Run& run, const Weight& w, Moment& moment) {
  if (w.storage == Storage::F32) return static_cast<const float*>(w.data);
  auto* out = moment.take<float>(w.rows * w.cols);
  dequantize(run, w, out);
  return out;
}

}  // namespace lr::cuda
