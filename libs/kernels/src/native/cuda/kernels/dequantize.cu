// Frozen weights to floats and to bfloat16: what a product takes, in a small workspace that every layer reuses.
#include "kernels.h"
#include "operands.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256;

constexpr int kWords = 4;                  // of codes for each lane of a warp at a time
constexpr int kWarpWords = 32 * kWords;    // of a row
constexpr int kBlockWords = quant::kBlock / kEight;

// 4-bit codes whose rows are multiples of eight; a word is eight codes, which never leave their block of 64 or their row. Instructions set the pace:
// a warp takes a piece of a row, of whose scales each lane computes one for all.
template <typename Out>
LR_KERNEL(kThreads) dequantize_words(Weight w, Levels levels, Rows<Out> out) {
  const Levels* shared = share_levels(levels, 0);
  const auto per_row = static_cast<int>(w.cols / kEight), pieces = (per_row + kWarpWords - 1) / kWarpWords;
  const int64_t blocks = (w.rows * per_row + kBlockWords - 1) / kBlockWords;
  const int warps = block_threads() / 32, lane = lane_index();
  for (int64_t piece = block_x() * warps + warp_index(); piece < w.rows * pieces; piece += grid_x() * warps) {
    const int64_t row = piece / pieces;
    const int first = static_cast<int>(piece % pieces) * kWarpWords;
    const int64_t begin = row * per_row + first, first_block = begin / kBlockWords;
    const int offset = static_cast<int>(begin % kBlockWords);
    const auto* codes = static_cast<const uint32_t*>(w.data) + begin;
    Out* to = out.data + row * (w.cols + out.gap) + first * kEight;
    uint32_t words[kWords];
    LR_UNROLL
    for (int j = 0; j < kWords; ++j) words[j] = first + j * 32 + lane < per_row ? codes[j * 32 + lane] : 0;
    // At most seventeen blocks, the first and the last of them in part.
    const int64_t own_block = first_block + lane;
    const float own_scale = lane <= kWarpWords / kBlockWords && own_block < blocks ? block_scale(w.scales, own_block, shared) : 0.0f;
    LR_UNROLL
    for (int j = 0; j < kWords; ++j) {
      const int word = j * 32 + lane;
      const float scale = shuffle(own_scale, (offset + word) / kBlockWords);
      Some<kEight> values;
      LR_UNROLL
      for (int i = 0; i < kEight; ++i) {
        // The high half of a byte comes first.
        const uint32_t code = words[j] >> (i / 2 * 8 + (i % 2 == 0 ? 4 : 0)) & 15;
        values.value[i] = shared->four_bit[code] * scale;
      }
      if (first + word < per_row) put_some(to + word * kEight, values);
    }
  }
}

// Floats to bfloat16, of which the rows are multiples of eight.
LR_KERNEL(kThreads) round_floats(const float* from, uint32_t per_row, Rows<uint16_t> out, int64_t eights) {
  for (int64_t eight = flat_begin(); eight < eights; eight += flat_step()) {
    put_some(out.at<kEight>(eight, per_row), some_of<kEight>(from + eight * kEight));
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
  if (w.cols % kEight == 0 && quant::is_four_bit(w.storage) && is_aligned(out)) {
    constexpr int64_t kMostBlocks = 132 * 8;  // as many as a large GPU runs at once
    const int64_t pieces = w.rows * ceil_div(w.cols / kEight, kWarpWords);
    return launch(run, dequantize_words<Out>, {std::min(ceil_div(pieces, kThreads / 32), kMostBlocks)}, kThreads, kLevelsBytes, w, levels,
                  Rows<Out>{out, stride - w.cols});
  }
  if constexpr (std::is_same_v<Out, uint16_t>) {
    if (w.cols % kEight == 0 && w.storage == Storage::F32 && is_aligned(w.data)) {
      return launch(run, round_floats, flat_grid(eights), kThreads, 0, static_cast<const float*>(w.data),
                    static_cast<uint32_t>(w.cols / kEight), Rows<Out>{out, stride - w.cols}, eights);
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

Halves operand_halves(const Run& run, const Operand& x, int64_t rows, int64_t cols, Moment& moment, int64_t room) {
  if (x.halves == nullptr) return weight_halves(run, {Storage::F32, rows, cols, x.floats, {}}, moment, {.cols = room});
  if (x.stride - cols >= room) return {x.halves, x.stride};
  auto* wider = moment.take<uint16_t>(rows * (cols + room));
  const auto bytes = [](int64_t elements) { return static_cast<size_t>(elements) * sizeof(uint16_t); };
  copy_rows(run.device, wider, bytes(cols + room), x.halves, bytes(x.stride), bytes(cols), rows);
  return {wider, cols + room};
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
