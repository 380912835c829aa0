// Products with frozen weights. In bfloat16 a pair rides on the product of its rows: what it is multiplied with stands behind x, and the pair behind
// the weight, so that y is written once. Otherwise bias and pairs of an output are written first, as floats, and the product is added to them.
#include "../cublaslt.h"
#include "kernels.h"
#include "products.h"

namespace lr::cuda {
namespace {

LR_KERNEL(kFlatThreads) write_rows(const float* bias, float* y, int64_t n, int64_t width) {
  for (int64_t i = flat_begin(); i < n; i += flat_step()) y[i] = bias == nullptr ? 0.0f : bias[i % width];
}

void write_rows_of(const Run& run, const float* bias, float* y, int64_t T, int64_t width) {
  launch(run, write_rows, flat_grid(T * width), kFlatThreads, 0, bias, y, T * width, width);
}

int64_t depth_of(const Weight& w, Right right) { return right == Right::Rows ? w.cols : w.rows; }
int64_t width_of(const Weight& w, Right right) { return right == Right::Rows ? w.rows : w.cols; }

// c [T, n] = or += x [T, k] · w, k and n being the weight's columns and rows, or the other way round.
void product(const Run& run, const Operand& x, const Weight& w, Right right, const OperandOut& c, int64_t T, bool add) {
  Moment moment(run);
  const int64_t k = depth_of(w, right), n = width_of(w, right);
  if (run.compute == Compute::BF16) {
    const Halves left = operand_halves(run, x, T, k, moment);
    if (run.decoding && right == Right::Rows && suits_few(w)) return product_few(run, left, w, c.floats, T, add);
    return product_halves(run, left, weight_halves(run, w, moment), right, c, T, n, k, add);
  }
  const float* weight = weight_floats(run, w, moment);
  if (!run.decoding && cublaslt().multiply(run, {false, x.floats, k, weight, w.cols, right, c, T, n, k, add})) return;
  const FloatMatrix b = right == Right::Rows ? FloatMatrix{weight, k, 1} : FloatMatrix{weight, 1, n};
  const FloatProduct one = {{x.floats, k, 1}, b, c.floats, T, n, k, n, 1, add};
  products_f32(run, std::span(&one, 1));
}

// Whether pairs can ride: each has rows of its own, in their order.
bool can_ride(const Run& run, std::span<const LoraRows> pairs, int64_t k) {
  if (run.compute != Compute::BF16 || run.decoding || k % kHalvesStep != 0 || pairs.empty()) return false;
  int64_t end = 0;
  for (const LoraRows& rows : pairs) {
    if (rows.begin < end) return false;
    end = rows.end;
  }
  return true;
}

// product() with what pairs add in their rows: scale · hidden Bᵀ for Right::Rows, scale · hidden_gradient A for Right::Columns.
void product_with_pairs(const Run& run, const Operand& x, const Weight& w, Right right, std::span<const LoraRows> pairs, const OperandOut& c, int64_t T,
                        bool add) {
  Moment moment(run);
  const bool forward = right == Right::Rows;
  const int64_t k = depth_of(w, right), n = width_of(w, right);
  int64_t room = 0;
  for (const LoraRows& rows : pairs) room = std::max(room, halves_stride(rows.pair.rank));
  const Halves left = operand_halves(run, x, T, k, moment, room);
  const HalvesOut weight = take_halves(w, moment, forward ? Room{.cols = room} : Room{.rows = room});
  // x is memory of this moment, or has room.
  const auto place = [](const Halves& at, int64_t row, int64_t col) { return const_cast<uint16_t*>(at.data) + row * at.stride + col; };
  // Behind the weight, where one pair lies after the other.
  const auto placed_pair = [&](const Lora& l) {
    return forward ? Placed{l.b, n, l.rank, 1, place(weight, 0, k), n, halves_stride(l.rank), weight.stride, false}
                   : Placed{l.a, l.rank, n, 1, place(weight, k, 0), halves_stride(l.rank), weight.stride, weight.stride, false};
  };
  std::vector<Placed> placed = {placed_pair(pairs.front().pair)};
  for (const auto& [l, begin, end, hidden, gradient] : pairs) {
    placed.push_back({forward ? hidden : gradient, end - begin, l.rank, l.scale, place(left, begin, k), end - begin, halves_stride(l.rank), left.stride, false});
  }
  dequantize_halves(run, w, weight, placed);
  const auto multiply_rows = [&](int64_t begin, int64_t end, int64_t rank) {
    if (begin == end) return;
    product_halves(run, {place(left, begin, 0), left.stride}, weight, right, c.at(begin, n), end - begin, n, {k, halves_stride(rank)}, add);
  };
  int64_t done = 0;
  for (const LoraRows& rows : pairs) {
    multiply_rows(done, rows.begin, 0);
    if (&rows != &pairs.front()) {
      const Placed pair = placed_pair(rows.pair);
      place_halves(run, std::span(&pair, 1));
    }
    multiply_rows(rows.begin, rows.end, rows.pair.rank);
    done = rows.end;
  }
  multiply_rows(done, T, 0);
}

// Where sums [T, n] are taken that are not those of one product: in floats, of which a y in bfloat16 is made afterwards.
template <typename TakeSums>
void in_floats(const Run& run, const OperandOut& y, int64_t T, int64_t n, const TakeSums& take_sums) {
  if (y.halves == nullptr) return take_sums(y.floats);
  Moment moment(run);
  auto* sums = moment.take<float>(T * n);
  take_sums(sums);
  column_affine(run, sums, nullptr, nullptr, nullptr, y, T, n);
}

}  // namespace

void product_halves(const Run& run, const Halves& a, const Halves& b, Right right, OperandOut c, int64_t m, int64_t n, Depth k, bool add) {
  if (!run.decoding && cublaslt().multiply(run, {true, a.data, a.stride, b.data, b.stride, right, c, m, n, k, add})) return;
  product_bf16(run, a, b, right, c, m, n, k.all(), add);
}

void linear_forward(const Run& run, Operand x, const Weight& w, const float* bias, std::span<const LoraRows> pairs, OperandOut y, int64_t T) {
  const bool ride = can_ride(run, pairs, w.cols);
  if (bias == nullptr && pairs.empty()) return product(run, x, w, Right::Rows, y, T, false);
  if (bias == nullptr && ride) return product_with_pairs(run, x, w, Right::Rows, pairs, y, T, false);
  in_floats(run, y, T, w.rows, [&](float* sums) {
    write_rows_of(run, bias, sums, T, w.rows);
    if (ride) return product_with_pairs(run, x, w, Right::Rows, pairs, sums, T, true);
    lora_outputs(run, pairs, w.rows, sums);
    product(run, x, w, Right::Rows, sums, T, true);
  });
}

void linear_backward(const Run& run, Operand dy, const Weight& w, std::span<const LoraRows> pairs, OperandOut dx, int64_t T, bool accumulate) {
  if (pairs.empty()) return product(run, dy, w, Right::Columns, dx, T, accumulate);
  if (can_ride(run, pairs, w.rows)) return product_with_pairs(run, dy, w, Right::Columns, pairs, dx, T, accumulate);
  in_floats(run, dx, T, w.cols, [&](float* sums) {
    product(run, dy, w, Right::Columns, sums, T, accumulate);
    lora_input_gradients(run, pairs, w.cols, sums);
  });
}

}  // namespace lr::cuda
