// Frozen weights to floats and to bfloat16: what a product takes, in a small workspace that every layer reuses.
#include "kernels.h"
#include "operands.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kBlocksAtOnce = 6;  // on a multiprocessor: registers for two pieces
constexpr int kPlacedAtOnce = 32;  // arguments have 4 KiB

constexpr int kWords = 4;                  // of codes for each lane of a warp at a time
constexpr int kWarpWords = 32 * kWords;    // of a row
constexpr int kBlockWords = quant::kBlock / kEight;

// What a lane reads of a piece of a row: words 32 apart, and one of the piece's scales. Those are of at most seventeen blocks, the first and the
// last of them in part.
struct Piece {
  uint32_t words[kWords];
  StoredScale scale;
};
// The piece of a row that begins at word `first`; `begin` is that word's place in the matrix, `there` how many the row has from it on.
LR_DEVICE Piece read_piece(const Weight& w, uint64_t begin, int there) {
  Piece piece = {};
  const int lane = lane_index(), offset = static_cast<int>(begin % kBlockWords);
  const auto* codes = static_cast<const uint32_t*>(w.data) + begin + lane;
  LR_UNROLL
  for (int j = 0; j < kWords; ++j)
    if (lane + j * 32 < there) piece.words[j] = codes[j * 32];
  const int blocks = (offset + (there < kWarpWords ? there : kWarpWords) + kBlockWords - 1) / kBlockWords;
  if (lane < blocks) piece.scale = stored_scale(w.scales, begin / kBlockWords + lane);
  return piece;
}

// 4-bit codes whose rows are multiples of eight; a word is eight codes, which never leave their block of 64 or their row. A warp has the same piece of
// several rows, and asks for that of the next row before it writes one out: the first ones are under way while the block fetches its levels. y of the
// grid is a piece of a row, and behind them what is placed beside.
template <typename Out>
LR_KERNEL_SHARING(kThreads, kBlocksAtOnce) dequantize_words(Weight w, const Levels* levels, Rows<Out> out, SeveralPlaced<kBeside> beside) {
  const auto rows = static_cast<uint32_t>(w.rows), per_row = static_cast<uint32_t>(w.cols / kEight);
  const uint32_t first = static_cast<uint32_t>(block_y()) * kWarpWords, step = static_cast<uint32_t>(grid_x()) * kWarps;
  if (first >= per_row) return place_elements(beside.of[(first - per_row) / kWarpWords]);  // all threads of the block alike
  const int there = static_cast<int>(per_row - first);
  uint32_t row = static_cast<uint32_t>(block_x()) * kWarps + static_cast<uint32_t>(warp_index());
  uint64_t begin = uint64_t{row} * per_row + first;
  Piece next = read_piece(w, begin, row < rows ? there : 0);
  const Levels* shared = share_levels(*levels, 0);
  for (; row < rows; row += step) {
    const Piece piece = next;
    const auto offset = static_cast<uint32_t>(begin % kBlockWords + lane_index());
    Out* to = out.data + uint64_t{row} * static_cast<uint64_t>(w.cols + out.gap) + (first + static_cast<uint32_t>(lane_index())) * kEight;
    begin += uint64_t{step} * per_row;
    next = read_piece(w, begin, rows - row > step ? there : 0);
    const float own_scale = scale_value(w.scales, piece.scale, shared);
    LR_UNROLL
    for (int j = 0; j < kWords; ++j) {
      const float scale = shuffle(own_scale, static_cast<int>((offset + j * 32) / kBlockWords));
      Some<kEight> values;
      LR_UNROLL
      for (int i = 0; i < kEight; ++i) {
        // The high half of a byte comes first.
        const uint32_t code = piece.words[j] >> (i / 2 * 8 + (i % 2 == 0 ? 4 : 0)) & 15;
        values.value[i] = shared->four_bit[code] * scale;
      }
      if (lane_index() + j * 32 < there) put_some(to + j * 32 * kEight, values);
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

// `beside` is placed by the same launch where that is one over words.
template <typename Out>
void dequantize_to(const Run& run, const Weight& w, Out* out, int64_t width, int64_t stride, std::span<const Placed> beside = {}) {
  const Levels levels = levels_of(w.storage);
  const int64_t eights = w.rows * w.cols / kEight;
  if (w.cols % kEight == 0 && quant::is_four_bit(w.storage) && is_aligned(out)) {
    constexpr int64_t kMost = 132 * kBlocksAtOnce;  // as many as a large GPU runs at once
    const int64_t pieces = ceil_div(w.cols / kEight, kWarpWords), blocks = ceil_div(w.rows, kWarps);
    const int64_t rounds = ceil_div(blocks, std::max<int64_t>(1, kMost / pieces));
    const std::span<const Placed> own = beside.first(std::min<size_t>(kBeside, beside.size()));
    Moment moment(run);
    launch(run, dequantize_words<Out>, {ceil_div(blocks, rounds), pieces + static_cast<int64_t>(own.size())}, kThreads, kLevelsBytes, w,
           moment.upload(run, &levels, 1), Rows<Out>{out, stride - w.cols}, SeveralPlaced<kBeside>(own));
    return place_halves(run, beside.subspan(own.size()));
  }
  place_halves(run, beside);
  if constexpr (std::is_same_v<Out, uint16_t>) {
    if (w.cols % kEight == 0 && w.storage == Storage::F32 && is_aligned(w.data)) {
      return launch(run, round_floats, flat_grid(eights), kThreads, 0, static_cast<const float*>(w.data),
                    static_cast<uint32_t>(w.cols / kEight), Rows<Out>{out, stride - w.cols}, eights);
    }
  }
  launch(run, dequantize_elements<Out>, flat_grid(w.rows * width), kThreads, kLevelsBytes, w, levels, out, width, stride);
}

// A layer of the grid is one of them.
LR_KERNEL(kThreads) place(SeveralPlaced<kPlacedAtOnce> all) { place_elements(all.of[block_y()]); }

}  // namespace

void dequantize(const Run& run, const Weight& w, float* out) { dequantize_to(run, w, out, w.cols, w.cols); }

HalvesOut take_halves(const Weight& w, Moment& moment, Room room) {
  const int64_t stride = halves_stride(w.cols) + room.cols;
  return {moment.take<uint16_t>((w.rows + room.rows) * stride), stride};
}

void dequantize_halves(const Run& run, const Weight& w, const HalvesOut& out, std::span<const Placed> beside) {
  dequantize_to(run, w, out.data, halves_stride(w.cols), out.stride, beside);
}

Halves weight_halves(const Run& run, const Weight& w, Moment& moment, Room room) {
  if (w.storage == Storage::BF16 && w.cols % kHalvesStep == 0 && room.cols + room.rows == 0) return {static_cast<const uint16_t*>(w.data), w.cols};
  const HalvesOut out = take_halves(w, moment, room);
  dequantize_halves(run, w, out, {});
  return out;
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
    const std::span<const Placed> some = all.subspan(first, std::min<size_t>(kPlacedAtOnce, all.size() - first));
    int64_t largest = 0;
    for (const Placed& one : some) largest = std::max(largest, one.to_rows * one.to_cols);
    Grid grid = flat_grid(largest);
    grid.y = static_cast<int64_t>(some.size());
    launch(run, place, grid, kThreads, 0, SeveralPlaced<kPlacedAtOnce>(some));
  }
}

const float* weight_floats(const Run& run, const Weight& w, Moment& moment) {
  if (w.storage == Storage::F32) return static_cast<const float*>(w.data);
  auto* out = moment.take<float>(w.rows * w.cols);
  dequantize(run, w, out);
  return out;
}

}  // namespace lr::cuda
