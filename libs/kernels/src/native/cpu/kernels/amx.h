// Tile registers of AMX-BF16 (Intel SDM vol. 1, chapter 18): eight of 16 rows × 64 bytes. A product of two of them adds, to 16 × 16 floats,
// 16 rows of A with 32 bfloat16 each times 32 rows of B, which lie two to a lane: the layout of `Paired` (gemm.h). Every element is summed in
// one order that the instruction defines, whatever the other rows are.
#pragma once
#include "tile.h"

#if defined(__AMX_BF16__)

namespace lr::LR_ISA {

constexpr int64_t kAmxRows = 16;   // of a register
constexpr int64_t kAmxLanes = 16;  // 32-bit lanes of k that one instruction takes

// Tile registers for the tasks of one thread: they hold a configuration from here on and none afterwards, for a thread that sleeps with one is
// dear to switch.
class AmxTiles {
 public:
  AmxTiles() {
    alignas(64) Config config{};
    config.palette = 1;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = 64;
      config.rows[i] = kAmxRows;
    }
    asm volatile("" : : "r"(&config) : "memory");  // GCC 12 takes the next line to read 8 bytes
    _tile_loadconfig(&config);
  }
  ~AmxTiles() { _tile_release(); }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

 private:
  struct Config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  };
  static_assert(sizeof(Config) == 64);
};

// out[M · 16, NV · 16] (stride out_stride floats) = or += A[M · 16, lanes] · B[lanes, NV · 16]; lanes is a multiple of kAmxLanes, and all of these
// rows and columns have memory behind them. M, NV: 1 or 2.
template <int M, int NV>
static inline void amx_tile(const float* a, int64_t a_stride, const float* b, int64_t ldb, int64_t lanes, bool add, float* out, int64_t out_stride) {
  const int64_t a_bytes = a_stride * 4, b_bytes = ldb * 4, out_bytes = out_stride * 4;
  asm volatile("" ::: "memory");  // the loads below are seen by the compiler as if they read nothing
  if (add) {
    _tile_loadd(0, out, out_bytes);
    if constexpr (NV == 2) _tile_loadd(1, out + 16, out_bytes);
    if constexpr (M == 2) _tile_loadd(2, out + 16 * out_stride, out_bytes);
    if constexpr (M == 2 && NV == 2) _tile_loadd(3, out + 16 * out_stride + 16, out_bytes);
  } else {
    _tile_zero(0);
    if constexpr (NV == 2) _tile_zero(1);
    if constexpr (M == 2) _tile_zero(2);
    if constexpr (M == 2 && NV == 2) _tile_zero(3);
  }
  for (int64_t i = 0; i < lanes; i += kAmxLanes) {
    _tile_loadd(4, a + i, a_bytes);
    _tile_loadd(6, b + i * ldb, b_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (NV == 2) {
      _tile_loadd(7, b + i * ldb + 16, b_bytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (M == 2) {
      _tile_loadd(5, a + 16 * a_stride + i, a_bytes);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (NV == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, out, out_bytes);
  if constexpr (NV == 2) _tile_stored(1, out + 16, out_bytes);
  if constexpr (M == 2) _tile_stored(2, out + 16 * out_stride, out_bytes);
  if constexpr (M == 2 && NV == 2) _tile_stored(3, out + 16 * out_stride + 16, out_bytes);
}

// The same for `rows` below 16, of out, that have no more memory behind them: by way of a tile that has.
template <int NV>
static inline void amx_part(const float* a, int64_t a_stride, int64_t rows, const float* b, int64_t ldb, int64_t lanes, bool add, float* out,
                            int64_t out_stride) {
  alignas(64) float values[kAmxRows * NV * 16];
  const auto copy_rows = [rows](const float* from, int64_t from_stride, float* to, int64_t to_stride) {
    for (int64_t i = 0; i < rows; ++i)
      for (int v = 0; v < NV; ++v) store(to + i * to_stride + v * 16, load(from + i * from_stride + v * 16));
  };
  if (add) copy_rows(out, out_stride, values, NV * 16);
  amx_tile<1, NV>(a, a_stride, b, ldb, lanes, add, values, NV * 16);
  copy_rows(values, NV * 16, out, out_stride);
}

// All rows of out's NV · 16 columns.
template <int NV>
static inline void amx_columns(Rows a, int64_t rows, const float* b, int64_t ldb, int64_t lanes, bool add, float* out, int64_t out_stride) {
  for (; rows >= 2 * kAmxRows; rows -= 2 * kAmxRows, a = a.below(2 * kAmxRows), out += 2 * kAmxRows * out_stride)
    amx_tile<2, NV>(a.data, a.stride, b, ldb, lanes, add, out, out_stride);
  for (; rows >= kAmxRows; rows -= kAmxRows, a = a.below(kAmxRows), out += kAmxRows * out_stride)
    amx_tile<1, NV>(a.data, a.stride, b, ldb, lanes, add, out, out_stride);
  if (rows > 0) amx_part<NV>(a.data, a.stride, rows, b, ldb, lanes, add, out, out_stride);
}

// out[rows, cols] = or += A[rows, lanes] · B[lanes, cols], B row-major as it lies in memory. lanes is rounded up to whole steps: there A and B have
// finite values, zeros in one of the two. cols is a multiple of 16. Rows of A have memory up to a multiple of 16, those of out need none.
static inline void amx_multiply(const Rows& a, int64_t rows, const float* b, int64_t ldb, int64_t lanes, int64_t cols, bool add, float* out,
                                int64_t out_stride) {
  lanes = (lanes + kAmxLanes - 1) / kAmxLanes * kAmxLanes;
  int64_t col = 0;
  for (; col + 32 <= cols; col += 32) amx_columns<2>(a, rows, b + col, ldb, lanes, add, out + col, out_stride);
  if (col < cols) amx_columns<1>(a, rows, b + col, ldb, lanes, add, out + col, out_stride);
}

}  // namespace lr::LR_ISA

#endif
