#include "attention_bf16.h"
#include "weights.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256;

struct Rounding {
  const float *from, *o;  // o may be null
  uint16_t* to;
  float* delta;
  PageTable pages;
  int64_t rows, D;
  bool whole;  // rows begin at multiples of 16 bytes
};

// Eight values of a row from `column` on, zeros behind its end.
LR_DEVICE void load_eight(float (&values)[8], const float* row, int column, int D, bool whole) {
  if (whole && column + 8 <= D) {
    LR_UNROLL
    for (int i = 0; i < 2; ++i) {
      const FourFloats four = *reinterpret_cast<const FourFloats*>(row + column + 4 * i);
      LR_UNROLL
      for (int j = 0; j < 4; ++j) values[4 * i + j] = four.value[j];
    }
    return;
  }
  LR_UNROLL
  for (int i = 0; i < 8; ++i) values[i] = column + i < D ? row[column + i] : 0.0f;
}

// A thread rounds eight values. Those of a row are neighbours in a warp, and sum its product with o.
template <int kWidth>
LR_KERNEL(kThreads) round_rows(Rounding r) {
  constexpr int kChunks = Bf16Shape<kWidth>::kChunks;
  const int64_t row = block_x() * (kThreads / kChunks) + thread_index() / kChunks;
  const int chunk = thread_index() % kChunks, D = static_cast<int>(r.D);
  float values[8] = {};
  if (row < r.rows) {
    const int64_t source = r.pages.table == nullptr ? row : r.pages.table[row / r.pages.rows] * r.pages.rows + row % r.pages.rows;
    load_eight(values, r.from + source * D, chunk * 8, D, r.whole);
    FourWords halves;
    LR_UNROLL
    for (int i = 0; i < 4; ++i) halves.word[i] = bf16_pair(values[2 * i], values[2 * i + 1]);
    reinterpret_cast<FourWords*>(r.to)[row * kChunks + chunk] = halves;
  }
  if (r.o == nullptr) return;
  float outputs[8] = {}, sum = 0;
  if (row < r.rows) load_eight(outputs, r.o + row * D, chunk * 8, D, r.whole);
  LR_UNROLL
  for (int i = 0; i < 8; ++i) sum = fused(values[i], outputs[i], sum);
  sum = row_reduce<Sum, kChunks>(sum);
  if (row < r.rows && chunk == 0) r.delta[row] = sum;
}

const uint16_t* start(const Run& run, Moment& moment, const Attention& a, Rounding r) {
  r.D = a.D;
  r.whole = a.D % 4 == 0 && is_aligned(r.from) && is_aligned(r.o);
  r.to = moment.take<uint16_t>(r.rows * bf16_width(a));
  const int64_t blocks = ceil_div(r.rows * bf16_width(a) / 8, kThreads);
  launch(run, a.D <= 64 ? round_rows<64> : round_rows<128>, {blocks}, kThreads, 0, r);
  return r.to;
}

}  // namespace

const uint16_t* attention_halves(const Run& run, Moment& moment, const Attention& a, const float* from, int64_t rows, const PageTable& pages) {
  return start(run, moment, a, {from, nullptr, nullptr, nullptr, pages, rows, 0, false});
}

const uint16_t* gradient_halves(const Run& run, Moment& moment, const Attention& a, const float* dout, const float* o, float* delta, int64_t rows) {
  return start(run, moment, a, {dout, o, nullptr, delta, {}, rows, 0, false});
}

}  // namespace lr::cuda
