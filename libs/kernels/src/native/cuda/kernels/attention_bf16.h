// Attention on tensor cores: tiles of rows in bfloat16 in shared memory, scores and sums in the registers of a warp, which owns 16 rows.
// What attention.h says of tiles and of the order of sums holds here too.
#pragma once
#include "attention.h"

namespace lr::cuda {

constexpr int kWarpRows = 16;
constexpr int kOwnRows = kWarpRows * kAttentionThreads / 32;  // of a block

// Heads up to kWidth wide, 64 or 128; columns behind the head's width are zeros.
template <int kWidth>
struct Bf16Shape {
  static constexpr int kChunks = kWidth / 8;  // of 16 bytes in a row
  static constexpr int64_t tile_bytes(int rows) { return int64_t{rows} * kWidth * 2; }
  // Turned by the row, so that eight rows of one column are in eight different banks.
  LR_DEVICE_MEMBER static int64_t place(int row, int chunk) { return (row * kChunks + (chunk ^ (row & 7))) * 16; }
};

struct alignas(16) EightHalves {
  uint32_t pair[4];
};

// Rows of D floats into a tile of kRows at `tile`; row i of it is that at row_of(i), or zeros from `count` on.
template <int kWidth, int kRows, typename RowOf>
LR_DEVICE void load_bf16_tile(int64_t tile, const float* from, int64_t D, int count, const RowOf& row_of) {
  using Shape = Bf16Shape<kWidth>;
  for (int piece = thread_index(); piece < kRows * Shape::kChunks; piece += kAttentionThreads) {
    const int row = piece / Shape::kChunks, chunk = piece % Shape::kChunks;
    EightHalves halves = {};
    if (row < count) {
      const float* values = from + row_of(row) * D + chunk * 8;
      LR_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int64_t column = chunk * 8 + 2 * i;
        halves.pair[i] = bf16_pair(column < D ? values[2 * i] : 0.0f, column + 1 < D ? values[2 * i + 1] : 0.0f);
      }
    }
    *shared_at<EightHalves>(tile + Shape::place(row, chunk)) = halves;
  }
}

// sums[16, 8 · kBlocks] += rows first … first + 15 of tile `a` times the rows of tile `b`, over all columns.
template <int kWidth, int kBlocks>
LR_DEVICE void multiply_rows(float (&sums)[kBlocks][4], int64_t a, int first, int64_t b) {
  using Shape = Bf16Shape<kWidth>;
  const int lane = lane_index();
  LR_UNROLL
  for (int step = 0; step < kWidth / 16; ++step) {
    uint32_t left[4];
    load_matrices(left, shared_at<char>(a + Shape::place(first + lane % 16, step * 2 + lane / 16)));
    LR_UNROLL
    for (int pair = 0; pair < kBlocks / 2; ++pair) {
      uint32_t right[4];
      load_matrices(right, shared_at<char>(b + Shape::place(pair * 16 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2)));
      multiply(sums[2 * pair], left, right[0], right[1]);
      multiply(sums[2 * pair + 1], left, right[2], right[3]);
    }
  }
}

// own[16, kWidth] += weights[16, 8 · kBlocks] times the rows of tile `b`. Weights lie as multiply_rows leaves its sums, which is how a
// product takes its left side.
template <int kWidth, int kBlocks>
LR_DEVICE void multiply_columns(float (&own)[kWidth / 8][4], const float (&weights)[kBlocks][4], int64_t b) {
  using Shape = Bf16Shape<kWidth>;
  const int lane = lane_index();
  LR_UNROLL
  for (int pair = 0; pair < kBlocks / 2; ++pair) {
    const float(&low)[4] = weights[2 * pair], (&high)[4] = weights[2 * pair + 1];
    const uint32_t left[4] = {bf16_pair(low[0], low[1]), bf16_pair(low[2], low[3]), bf16_pair(high[0], high[1]), bf16_pair(high[2], high[3])};
    LR_UNROLL
    for (int column = 0; column < kWidth / 16; ++column) {
      uint32_t right[4];
      load_transposed(right, shared_at<char>(b + Shape::place(pair * 16 + lane % 16, column * 2 + lane / 16)));
      multiply(own[2 * column], left, right[0], right[1]);
      multiply(own[2 * column + 1], left, right[2], right[3]);
    }
  }
}

// Of element `part` of block `block` in a warp's 16 × 8 · kBlocks: its row within the warp, its column.
LR_DEVICE int fragment_row(int part) { return lane_index() / 4 + part / 2 * 8; }
LR_DEVICE int fragment_column(int block, int part) { return block * 8 + lane_index() % 4 * 2 + part % 2; }

// Writes a warp's rows: row i of them, which is row `first + i` of the block's tile, at row_of(first + i); those from `count` on are left out.
template <int kWidth, typename RowOf>
LR_DEVICE void store_fragments(float* to, const float (&own)[kWidth / 8][4], int64_t D, int first, int count, const RowOf& row_of) {
  LR_UNROLL
  for (int block = 0; block < kWidth / 8; ++block) {
    LR_UNROLL
    for (int part = 0; part < 4; ++part) {
      const int row = first + fragment_row(part), column = fragment_column(block, part);
      if (row < count && column < D) to[row_of(row) * D + column] = own[block][part];
    }
  }
}

// Whether operands in bfloat16 are wanted and these kernels have the width.
inline bool uses_bf16_attention(const Run& run, const Attention& a) { return run.compute == Compute::BF16 && a.D <= 128; }

}  // namespace lr::cuda
