#include "attention_bf16.h"
#include "operands.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256;

struct Rounding {
  Operand from, o;     // [tokens, heads · D]; o may be none
  uint16_t* to;        // may be null
  float* delta;        // where there is o
  PageTable pages;     // of rows of `from`
  int64_t rows, D, heads;
  bool whole, o_whole;  // rows begin at multiples of 16 bytes
};

// Row `row` of an operand [tokens, heads · D].
LR_DEVICE const float* row_of(const float*, const Operand& operand, const Rounding& r, int64_t row) { return operand.floats + row * r.D; }
LR_DEVICE const uint16_t* row_of(const uint16_t*, const Operand& operand, const Rounding& r, int64_t row) {
  return operand.halves + row / r.heads * operand.stride + row % r.heads * r.D;
}

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
template <int kWidth, typename From>
LR_KERNEL(kThreads) round_rows(Rounding r) {
  constexpr int kChunks = Bf16Shape<kWidth>::kChunks;
  constexpr const From* kFrom = nullptr;
  const int64_t row = block_x() * (kThreads / kChunks) + thread_index() / kChunks;
  const int column = thread_index() % kChunks * kEight, D = static_cast<int>(r.D);
  Some<kEight> values = {};
  if (row < r.rows) {
    const int64_t source = r.pages.table == nullptr ? row : r.pages.table[row / r.pages.rows] * r.pages.rows + row % r.pages.rows;
    values = load_eight(row_of(kFrom, r.from, r, source), column, D, r.whole);
    if (r.to != nullptr) put_some(r.to + row * kWidth + column, values);
  }
  if (r.delta == nullptr) return;
  Some<kEight> outputs = {};
  float sum = 0;
  if (row < r.rows && r.o.halves != nullptr) {
    outputs = load_eight(row_of(r.o.halves, r.o, r, row), column, D, r.o_whole);
  } else if (row < r.rows) {
    outputs = load_eight(row_of(r.o.floats, r.o, r, row), column, D, r.o_whole);
  }
  LR_UNROLL
  for (int i = 0; i < kEight; ++i) sum = fused(values.value[i], outputs.value[i], sum);
  sum = row_reduce<Sum, kChunks>(sum);
  if (row < r.rows && column == 0) r.delta[row] = sum;
}

bool begins_whole(const Operand& operand, int64_t D) {
  return operand.halves == nullptr ? D % kFour == 0 && is_aligned(operand.floats) : D % kEight == 0;
}

const uint16_t* start(const Run& run, Moment& moment, const Attention& a, Rounding r) {
  r.D = a.D;
  r.whole = begins_whole(r.from, a.D);
  r.o_whole = begins_whole(r.o, a.D);
  const bool as_it_lies = r.from.halves != nullptr && r.from.stride == r.heads * bf16_width(a);
  if (as_it_lies && r.delta == nullptr) return r.from.halves;
  r.to = as_it_lies ? nullptr : moment.take<uint16_t>(r.rows * bf16_width(a));
  const Grid grid = {ceil_div(r.rows * bf16_width(a) / kEight, kThreads)};
  with_type(r.from, [&]<typename From>() { launch(run, a.D <= 64 ? round_rows<64, From> : round_rows<128, From>, grid, kThreads, 0, r); });
  return as_it_lies ? r.from.halves : r.to;
}

}  // namespace

const uint16_t* attention_halves(const Run& run, Moment& moment, const Attention& a, Operand from, int64_t rows, int64_t heads, const PageTable& pages) {
  return start(run, moment, a, {.from = from, .pages = pages, .rows = rows, .heads = heads});
}

const uint16_t* gradient_halves(const Run& run, Moment& moment, const Attention& a, Operand dout, Operand o, float* delta, int64_t rows) {
  return start(run, moment, a, {.from = dout, .o = o, .delta = delta, .rows = rows, .heads = a.Hq});
}

}  // namespace lr::cuda
