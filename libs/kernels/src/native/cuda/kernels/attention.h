// What forward and backward attention share: tiles of queries against tiles of keys, never a [T, T] matrix (Dao et al. 2022), in floats.
// A block of 128 threads owns a tile of rows, which kLanes threads each share, and walks over the tiles of the other side. Which tiles
// those are is fixed by positions in the sequence, so a query sums in one order wherever its prompt was split.
#pragma once
#include "kernels.h"

namespace lr::cuda {

constexpr int kAttentionThreads = 128;

// Of heads up to kWidth wide.
template <int kWidth>
struct AttentionShape {
  static constexpr int kTile = kWidth <= 128 ? 32 : 16;           // rows and columns of a tile
  static constexpr int kLanes = kAttentionThreads / kTile;        // threads of a row
  static constexpr int kScores = kTile / kLanes;                  // of a row for each of them
  static constexpr int kOwn = kWidth / kLanes;                    // elements of an output row for each of them
  static constexpr int kScoreStride = kTile + 1;
  static constexpr int64_t kScoreFloats = int64_t{kTile} * kScoreStride;
  // A tile of rows of width D, which begin in different banks.
  static constexpr int64_t tile_floats(int64_t D) { return kTile * (D + 1); }
};

// Some rows of a sequence: tokens first … first + count - 1 of its new ones.
struct AttentionTile {
  int32_t begin;   // its first new token in the batch
  int32_t past;    // tokens of it that came before
  int32_t length;  // its new tokens
  int32_t first, count;
  int32_t pages;   // where its table begins
};

// Keys and values of a batch, or of a cache when there are pages.
struct KeyMemory {
  const float *k, *v;
  const int32_t* pages;
  int64_t page_tokens;

  // Row of the key at `position`.
  LR_DEVICE_MEMBER int64_t row(const AttentionTile& tile, int64_t position) const {
    if (pages == nullptr) return tile.begin + position;
    return pages[tile.pages + position / page_tokens] * page_tokens + position % page_tokens;
  }
};

LR_DEVICE int64_t first_key(const Attention& a, int64_t position) {
  return a.window > 0 && position + 1 > a.window ? position + 1 - a.window : 0;
}

// The score of a product, scaled and capped; `slope` is the derivative of the cap.
LR_DEVICE float capped(const Attention& a, float product, float& slope) {
  const float scaled = product * a.scale;
  slope = 1;
  if (a.softcap <= 0) return scaled;
  const float ratio = tanhf(scaled / a.softcap);
  slope = 1 - ratio * ratio;
  return a.softcap * ratio;
}

// Rows of D values into a tile; row i of it is that at row_of(i), or zeros from `count` on.
template <int kTile, typename RowOf>
LR_DEVICE void load_attention_tile(float* tile, const float* from, int64_t D, int count, const RowOf& row_of) {
  for (int piece = thread_index(); piece < kTile * D; piece += kAttentionThreads) {
    const int row = piece / static_cast<int>(D), i = piece % static_cast<int>(D);
    tile[row * (D + 1) + i] = row < count ? from[row_of(row) * D + i] : 0.0f;
  }
}

// sums[j] += row · rows[lane + kLanes · j]
template <typename Shape>
LR_DEVICE void tile_products(const float* row, const float* rows, int lane, int64_t D, float (&sums)[Shape::kScores]) {
  for (int64_t i = 0; i < D; ++i) {
    const float own = row[i];
    LR_UNROLL
    for (int j = 0; j < Shape::kScores; ++j) sums[j] = fused(own, rows[(lane + Shape::kLanes * j) * (D + 1) + i], sums[j]);
  }
}

// own[c] += Σ weights[j] · rows[j][lane + kLanes · c]
template <typename Shape>
LR_DEVICE void add_weighted(const float* weights, const float* rows, int lane, int64_t D, float (&own)[Shape::kOwn]) {
  for (int j = 0; j < Shape::kTile; ++j) {
    const float weight = weights[j];
    LR_UNROLL
    for (int c = 0; c < Shape::kOwn; ++c) {
      const int i = lane + Shape::kLanes * c;
      if (i < D) own[c] = fused(weight, rows[j * (D + 1) + i], own[c]);
    }
  }
}

// One value of the threads of a row, the same in each.
template <typename Join, int kLanes>
LR_DEVICE float row_reduce(float value) {
  for (int mask = kLanes / 2; mask > 0; mask /= 2) value = Join::join(value, shuffle_xor(value, mask));
  return value;
}

// Tiles of all new tokens of the sequences; past and pages as given, or none.
inline std::vector<AttentionTile> attention_tiles(const int32_t* starts, int64_t n_sequences, int tile) {
  std::vector<AttentionTile> tiles;
  for (int64_t s = 0; s < n_sequences; ++s) {
    const int32_t length = starts[s + 1] - starts[s];
    for (int32_t first = 0; first < length; first += tile) tiles.push_back({starts[s], 0, length, first, std::min(tile, length - first), 0});
  }
  return tiles;
}

// Calls with_shape(AttentionShape<…>) of the narrowest kernels that fit heads of width D.
template <typename With>
void with_attention_shape(int64_t D, const With& with_shape) {
  if (D <= 64) return with_shape(AttentionShape<64>());
  if (D <= 128) return with_shape(AttentionShape<128>());
  with_shape(AttentionShape<256>());
}

}  // namespace lr::cuda
