#include "attention_bf16.h"
#include "operands.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256;

struct Rounding {
  const float* from;
  Operand o;  // [tokens, heads · D]; or none
  uint16_t* to;
  float* delta;
  PageTable pages;
  int64_t rows, D, heads;
  bool whole, o_whole;  // rows begin at multiples of 16 bytes
};

// Eight values of a row from `column` on, zeros behind its end.
template <typename Element>
LR_DEVICE Some<kEight> load_eight(const Element* row, int column, int D, bool whole) {
  if (whole && column + kEight <= D) return some_of<kEight>(row + column);
  Some<kEight> values;
  LR_UNROLL
  for (int i = 0; i < kEight; ++i) values.value[i] = column + i < D ? as_float(row[column + i]) : 0.0f;
  return values;
}

// A thread rounds eight values. Those of a row are neighbours in a warp, and sum its product with o.
template <int kWidth>
LR_KERNEL(kThreads) round_rows(Rounding r) {
  constexpr int kChunks = Bf16Shape<kWidth>::kChunks;
  const int64_t row = block_x() * (kThreads / kChunks) + thread_index() / kChunks;
  const int chunk = thread_index() % kChunks, D = static_cast<int>(r.D);
  Some<kEight> values = {};
  if (row < r.rows) {
    const int64_t source = r.pages.table == nullptr ? row : r.pages.table[row / r.pages.rows] * r.pages.rows + row % r.pages.rows;
    values = load_eight(r.from + source * D, chunk * kEight, D, r.whole);
    put_some(r.to + (row * kChunks + chunk) * kEight, values);
  }
  if (r.delta == nullptr) return;
  Some<kEight> outputs = {};
  float sum = 0;
  if (row < r.rows && r.o.halves != nullptr) {
    const uint16_t* own = r.o.halves + row / r.heads * r.o.stride + row % r.heads * D;
    outputs = load_eight(own, chunk * kEight, D, r.o_whole);
  } else if (row < r.rows) {
    outputs = load_eight(r.o.floats + row * D, chunk * kEight, D, r.o_whole);
  }
  LR_UNROLL
  for (int i = 0; i < kEight; ++i) sum = fused(values.value[i], outputs.value[i], sum);
  sum = row_reduce<Sum, kChunks>(sum);
  if (row < r.rows && chunk == 0) r.delta[row] = sum;
}

const uint16_t* start(const Run& run, Moment& moment, const Attention& a, Rounding r) {
  r.D = a.D;
  r.heads = a.Hq;
  r.whole = a.D % kFour == 0 && is_aligned(r.from);
  r.o_whole = r.o.halves == nullptr ? a.D % kFour == 0 && is_aligned(r.o.floats) : a.D % kEight == 0;
  r.to = moment.take<uint16_t>(r.rows * bf16_width(a));
  const int64_t blocks = ceil_div(r.rows * bf16_width(a) / 8, kThreads);
  launch(run, a.D <= 64 ? round_rows<64> : round_rows<128>, {blocks}, kThreads, 0, r);
  return r.to;
}

}  // namespace

const uint16_t* attention_halves(const Run& run, Moment& moment, const Attention& a, const float* from, int64_t rows, const PageTable& pages) {
  return start(run, moment, a, {.from = from, .pages = pages, .rows = rows});
}

const uint16_t* gradient_halves(const Run& run, Moment& moment, const Attention& a, const float* dout, Operand o, float* delta, int64_t rows) {
  return start(run, moment, a, {.from = dout, .o = o, .delta = delta, .rows = rows});
}

}  // namespace lr::cuda
