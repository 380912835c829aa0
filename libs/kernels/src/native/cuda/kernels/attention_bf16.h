// Attention on tensor cores. Queries, keys and values are in bfloat16, in rows as wide as the kernels are: as they come, or rounded once a call; from
// there tiles come by asynchronous copies. A warp owns 32 rows, whose scores and sums it keeps in registers: what it loads of the other side
// serves two products. What attention.h says of tiles and of the order of sums holds here too.
#pragma once
#include "attention.h"

namespace lr::cuda {

constexpr int kWarpRows = 32;
constexpr int kRowBlocks = kWarpRows / 16;                      // of a product's 16 rows
constexpr int kOwnRows = kWarpRows * kAttentionThreads / 32;  // of a block
constexpr float kLog2E = 1.44269504f;

// Heads up to kWidth wide, 64 or 128; columns behind the head's width are zeros.
template <int kWidth>
struct Bf16Shape {
  static constexpr int kChunks = kWidth / 8;  // of 16 bytes in a row
  static constexpr int tile_bytes(int rows) { return rows * kWidth * 2; }
  // Turned by the row, so that eight rows of one column are in eight different banks.
  LR_DEVICE_MEMBER static int place(int row, int chunk) { return (row * kChunks + (chunk ^ (row & 7))) * 16; }
};

// Sums of a warp's rows and kColumns columns, and the same as the left side of a product.
template <int kColumns>
using WarpSums = float[kRowBlocks][kColumns / 8][4];
template <int kColumns>
using WarpWeights = uint32_t[kRowBlocks][kColumns / 16][4];

// Rows at `from`, `stride` apart, into a tile of kRows at `tile`: zeros from `count` on. They are there once copy_wait says so.
template <int kWidth, int kRows>
LR_DEVICE void load_tile(int tile, const uint16_t* from, int stride, int count) {
  using Shape = Bf16Shape<kWidth>;
  constexpr int kAtOnce = kAttentionThreads / Shape::kChunks;
  const int thread = opaque(thread_index()), row = thread / Shape::kChunks, chunk = thread % Shape::kChunks;
  const int step = opaque(stride * kAtOnce), place = tile + Shape::place(row, chunk);
  int at = row * stride + chunk * 8;
  LR_UNROLL
  for (int first = 0; first < kRows; first += kAtOnce) {
    copy_async16(shared_at<char>(place + Shape::tile_bytes(first)), from + at, row + first < count);
    at += step;
  }
}

// sums += rows first … first + 31 of tile `a` times the kColumns rows of tile `b`, over all columns.
template <int kWidth, int kColumns>
LR_DEVICE void multiply_rows(WarpSums<kColumns>& sums, int a, int first, int b) {
  using Shape = Bf16Shape<kWidth>;
  const int lane = opaque(lane_index());
  LR_UNROLL
  for (int step = 0; step < kWidth / 16; ++step) {
    uint32_t left[kRowBlocks][4];
    LR_UNROLL
    for (int i = 0; i < kRowBlocks; ++i) {
      load_matrices(left[i], shared_at<char>(a + Shape::place(first + i * 16 + lane % 16, step * 2 + lane / 16)));
    }
    LR_UNROLL
    for (int pair = 0; pair < kColumns / 16; ++pair) {
      uint32_t right[4];
      load_matrices(right, shared_at<char>(b + Shape::place(pair * 16 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2)));
      LR_UNROLL
      for (int i = 0; i < kRowBlocks; ++i) {
        multiply(sums[i][2 * pair], left[i], right[0], right[1]);
        multiply(sums[i][2 * pair + 1], left[i], right[2], right[3]);
      }
    }
  }
}

// own += weights times the kRows rows of tile `b`.
template <int kWidth, int kRows>
LR_DEVICE void multiply_columns(WarpSums<kWidth>& own, const WarpWeights<kRows>& weights, int b) {
  using Shape = Bf16Shape<kWidth>;
  const int lane = opaque(lane_index());
  LR_UNROLL
  for (int step = 0; step < kRows / 16; ++step) {
    LR_UNROLL
    for (int pair = 0; pair < kWidth / 16; ++pair) {
      uint32_t right[4];
      load_transposed(right, shared_at<char>(b + Shape::place(step * 16 + lane % 16, pair * 2 + lane / 16)));
      LR_UNROLL
      for (int i = 0; i < kRowBlocks; ++i) {
        multiply(own[i][2 * pair], weights[i][step], right[0], right[1]);
        multiply(own[i][2 * pair + 1], weights[i][step], right[2], right[3]);
      }
    }
  }
}

// Calls what(weight, i, block, half) for the pairs of elements of a lane: they are 2 · half and 2 · half + 1 of a block of sums, which lie as a
// product takes its left side.
template <int kColumns, typename What>
LR_DEVICE void for_each_weight(WarpWeights<kColumns>& weights, const What& what) {
  LR_UNROLL
  for (int i = 0; i < kRowBlocks; ++i) {
    LR_UNROLL
    for (int block = 0; block < kColumns / 8; ++block) {
      LR_UNROLL
      for (int half = 0; half < 2; ++half) what(weights[i][block / 2][block % 2 * 2 + half], i, block, half);
    }
  }
}

// Of element `part` of block `block` of row block `i` in a warp's sums: its row within the warp, its column.
LR_DEVICE int fragment_row(int i, int part) { return i * 16 + lane_index() / 4 + part / 2 * 8; }
LR_DEVICE int fragment_column(int block, int part) { return block * 8 + lane_index() % 4 * 2 + part % 2; }

// Calls what(sum, i, block, part) for all elements of a lane.
template <int kBlocks, typename What>
LR_DEVICE void for_each_sum(float (&sums)[kRowBlocks][kBlocks][4], const What& what) {
  LR_UNROLL
  for (int block = 0; block < kBlocks; ++block) {
    LR_UNROLL
    for (int i = 0; i < kRowBlocks; ++i) {
      LR_UNROLL
      for (int part = 0; part < 4; ++part) what(sums[i][block][part], i, block, part);
    }
  }
}

// Products become capped scores where there is a cap. score_factor(a), above 0, is what remains to multiply them by.
template <int kBlocks>
LR_DEVICE void cap_products(float (&sums)[kRowBlocks][kBlocks][4], const Attention& a) {
  if (a.softcap <= 0) return;
  for_each_sum(sums, [&](float& sum, int, int, int) {
    float slope;
    sum = capped(a, sum, slope);
  });
}
LR_DEVICE float score_factor(const Attention& a) { return a.softcap > 0 ? 1.0f : a.scale; }

// The derivative of the cap at a capped score.
LR_DEVICE float cap_slope(const Attention& a, float score) {
  const float ratio = score / a.softcap;
  return 1 - ratio * ratio;
}

// Keys that a query sees, its own included, as a number that positions can be compared with.
LR_DEVICE int window_of(const Attention& a) {
  constexpr int kAll = 1 << 30;
  return a.window > 0 && a.window < kAll ? static_cast<int>(a.window) : kAll;
}

// The least score for what a query does not see: key_behind(i, block, part) is how far the key lies behind the query.
template <int kBlocks, typename KeyBehind>
LR_DEVICE void hide_unseen(float (&scores)[kRowBlocks][kBlocks][4], int window, const KeyBehind& key_behind) {
  for_each_sum(scores, [&](float& score, int i, int block, int part) {
    const int behind = key_behind(i, block, part);
    if (behind > 0 || behind <= -window) score = -INFINITY;
  });
}
// Column less row of an element; that of the lane's first one is lane_offset().
LR_DEVICE int lane_offset() { return opaque(lane_index() % 4 * 2 - lane_index() / 4); }
LR_DEVICE int element_offset(int i, int block, int part) { return block * 8 + part % 2 - i * 16 - part / 2 * 8; }

// Two values that follow each other, as far as there are `left` in the row.
LR_DEVICE void store_two(float* to, float first, float second, int64_t left) {
  if (left > 0) to[0] = first;
  if (left > 1) to[1] = second;
}
LR_DEVICE void store_two(uint16_t* to, float first, float second, int64_t left) {
  if (left > 1 && reinterpret_cast<uintptr_t>(to) % sizeof(uint32_t) == 0) {
    *reinterpret_cast<uint32_t*>(to) = bf16_pair(first, second);
    return;
  }
  if (left > 0) to[0] = bf16_bits(first);
  if (left > 1) to[1] = bf16_bits(second);
}

// Writes `factor` times a warp's rows: row i of them, which is row `first + i` of the block's tile, at to + i · stride; those from `count` on are left out.
template <int kWidth, typename Element>
LR_DEVICE void store_rows(Element* to, int64_t stride, const WarpSums<kWidth>& own, int64_t D, int first, int count, const float (&factors)[kRowBlocks][2]) {
  LR_UNROLL
  for (int i = 0; i < kRowBlocks; ++i) {
    LR_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = first + fragment_row(i, 2 * half);
      if (row >= count) continue;
      Element* at = to + row * stride;
      LR_UNROLL
      for (int block = 0; block < kWidth / 8; ++block) {
        const int column = fragment_column(block, 0);
        store_two(at + column, own[i][block][2 * half] * factors[i][half], own[i][block][2 * half + 1] * factors[i][half], D - column);
      }
    }
  }
}

// Puts the tiles with the most work first: the last blocks of a launch are short ones.
template <typename Work>
void heaviest_first(std::vector<AttentionTile>& tiles, const Work& work) {
  std::stable_sort(tiles.begin(), tiles.end(), [&](const AttentionTile& a, const AttentionTile& b) { return work(a) > work(b); });
}

// Whether operands in bfloat16 are wanted and these kernels have the width.
inline bool uses_bf16_attention(const Run& run, const Attention& a) { return run.compute == Compute::BF16 && a.D <= 128; }
inline int bf16_width(const Attention& a) { return a.D <= 64 ? 64 : 128; }

// Rows of a paged memory: row r of the result is row r % rows of page table[r / rows].
struct PageTable {
  const int32_t* table = nullptr;
  int64_t rows = 0;
};
// from [T, heads · D] in bfloat16, [T · heads, bf16_width] with zeros behind D: as it lies there where it is so, or in memory of `moment`. Pages are of
// floats.
const uint16_t* attention_halves(const Run& run, Moment& moment, const Attention& a, Operand from, int64_t rows, int64_t heads, const PageTable& pages = {});
// The same of dout [T, Hq · D]; delta[T, Hq] = dout · o.
const uint16_t* gradient_halves(const Run& run, Moment& moment, const Attention& a, Operand dout, Operand o, float* delta, int64_t rows);

}  // namespace lr::cuda
