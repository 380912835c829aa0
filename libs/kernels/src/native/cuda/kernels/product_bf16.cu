// c = a · b in bfloat16 on tensor cores (mma.m16n8k16), sums in float. A block of eight warps makes 128 × 128 elements; three tiles of
// 32 columns are under way from global memory while one is multiplied.
#include "operands.h"
#include "products.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256, kRows = 128, kCols = 128, kDepth = 32, kStages = 3;
constexpr int kWarpRows = 64, kWarpCols = 32;  // of a warp; the warps lie 2 × 4
constexpr int kChunk = 8;                      // elements of 16 bytes
constexpr int64_t kTileBytes = kRows * kDepth * 2;  // of a or of b
constexpr int64_t kSharedBytes = 2 * kStages * kTileBytes;

// Where chunk c of a row of 32 columns lies: turned by the row, so that eight rows of one column are in eight different banks.
LR_DEVICE int64_t narrow_place(int row, int c) { return (row * 4 + (c ^ (row / 2 & 3))) * 16; }
// The same for rows of 128 columns.
LR_DEVICE int64_t wide_place(int row, int c) { return (row * 16 + (c ^ (row & 7))) * 16; }

template <typename Element>
struct Operands {
  Halves a, b;
  Rows<Element> c;
  int64_t m, n, k;
  bool add;
};

// Rows first … first + 127 of a matrix with k columns, columns from `depth` on. Rows behind the last one repeat it: their products are
// not stored.
LR_DEVICE void load_rows(const Halves& from, int64_t first, int64_t rows, int64_t depth, int64_t k, int64_t shared) {
  LR_UNROLL
  for (int i = 0; i < kRows * 4 / kThreads; ++i) {
    const int piece = thread_index() + i * kThreads, row = piece / 4, c = piece % 4;
    const int64_t source = first + row < rows ? first + row : rows - 1, column = depth + c * kChunk;
    copy_async16(shared_at<char>(shared + narrow_place(row, c)), from.data + source * from.stride + column, column < k);
  }
}

// Rows depth … depth + 31 of a matrix with k rows, columns first … first + 127.
LR_DEVICE void load_columns(const Halves& from, int64_t first, int64_t depth, int64_t k, int64_t shared) {
  LR_UNROLL
  for (int i = 0; i < kDepth * 16 / kThreads; ++i) {
    const int piece = thread_index() + i * kThreads, row = piece / 16, c = piece % 16;
    const int64_t column = first + c * kChunk;
    copy_async16(shared_at<char>(shared + wide_place(row, c)), from.data + (depth + row) * from.stride + column,
                 depth + row < k && column < from.stride);
  }
}

template <Right right, typename Element>
LR_DEVICE void load_tile(const Operands<Element>& o, int64_t tile, int64_t tiles) {
  if (tile < tiles) {
    const int64_t shared = tile % kStages * 2 * kTileBytes;
    load_rows(o.a, block_x() * kRows, o.m, tile * kDepth, o.k, shared);
    if constexpr (right == Right::Rows) {
      load_rows(o.b, block_y() * kCols, o.n, tile * kDepth, o.k, shared + kTileBytes);
    } else {
      load_columns(o.b, block_y() * kCols, tile * kDepth, o.k, shared + kTileBytes);
    }
  }
  copy_commit();  // also an empty group: the count of groups is that of tiles
}

// A lane's two sums that follow each other, of which `cols` are columns of the product.
LR_DEVICE void store_two(float* to, float first, float second, int64_t cols, bool add) {
  to[0] = add ? to[0] + first : first;
  if (cols > 1) to[1] = add ? to[1] + second : second;
}
LR_DEVICE void store_two(uint16_t* to, float first, float second, int64_t, bool) { *reinterpret_cast<uint32_t*>(to) = bf16_pair(first, second); }

template <Right right, typename Element>
LR_KERNEL(kThreads) multiply_bf16(Operands<Element> o) {
  const int warp = warp_index(), lane = lane_index();
  const int first_row = warp / 4 * kWarpRows, first_col = warp % 4 * kWarpCols;
  const int64_t rows = o.m - block_x() * kRows - first_row, cols = o.n - block_y() * kCols - first_col;  // of this warp that are stored
  const int64_t tiles = (o.k + kDepth - 1) / kDepth;
  float sums[4][4][4] = {};
  for (int64_t tile = 0; tile < kStages - 1; ++tile) load_tile<right>(o, tile, tiles);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    copy_wait<kStages - 2>();
    barrier();  // the tile is there for all, and all are done with the one whose place the next takes
    load_tile<right>(o, tile + kStages - 1, tiles);
    if (rows <= 0 || cols <= 0) continue;
    const int64_t a_at = tile % kStages * 2 * kTileBytes, b_at = a_at + kTileBytes;
    LR_UNROLL
    for (int step = 0; step < kDepth / 16; ++step) {
      uint32_t b[2][4];  // two pairs of 8 columns; of each pair k 0-7, 8-15, then the second 8 columns
      LR_UNROLL
      for (int j = 0; j < 2; ++j) {
        if constexpr (right == Right::Rows) {
          load_matrices(b[j], shared_at<char>(b_at + narrow_place(first_col + j * 16 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2)));
        } else {
          load_transposed(b[j], shared_at<char>(b_at + wide_place(step * 16 + lane % 16, first_col / 8 + j * 2 + lane / 16)));
        }
      }
      LR_UNROLL
      for (int i = 0; i < 4; ++i) {
        if (i * 16 >= rows) continue;
        uint32_t a[4];
        load_matrices(a, shared_at<char>(a_at + narrow_place(first_row + i * 16 + lane % 16, step * 2 + lane / 16)));
        LR_UNROLL
        for (int j = 0; j < 4; ++j) multiply(sums[i][j], a, b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
      }
    }
  }
  LR_UNROLL
  for (int i = 0; i < 4; ++i) {
    LR_UNROLL
    for (int j = 0; j < 4; ++j) {
      LR_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int row = i * 16 + lane / 4 + half * 8, col = j * 8 + lane % 4 * 2;
        if (row >= rows || col >= cols) continue;
        Element* c = o.c.data + (block_x() * kRows + first_row + row) * (o.n + o.c.gap) + block_y() * kCols + first_col + col;
        store_two(c, sums[i][j][2 * half], sums[i][j][2 * half + 1], cols - col, o.add);
      }
    }
  }
}

}  // namespace

void product_bf16(const Run& run, const Halves& a, const Halves& b, Right right, OperandOut c, int64_t m, int64_t n, int64_t k, bool add) {
  const Grid grid = {ceil_div(m, kRows), ceil_div(n, kCols)};
  with_type(c, [&]<typename Element>() {
    const Operands<Element> operands = {a, b, rows_of<Element>(c, n), m, n, k, add};
    auto* kernel = right == Right::Rows ? multiply_bf16<Right::Rows, Element> : multiply_bf16<Right::Columns, Element>;
    launch(run, kernel, grid, kThreads, kSharedBytes, operands);
  });
}

}  // namespace lr::cuda
