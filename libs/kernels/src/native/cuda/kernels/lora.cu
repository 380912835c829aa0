// Products of LoRA pairs, all pairs of a layer together.
#include "kernels.h"
#include "lora_products.h"
#include "products.h"

namespace lr::cuda {
namespace {

FloatProduct with_dropout(FloatProduct product, const Lora& l, Dropped which) {
  product.dropped = which;
  product.dropout = l.dropout;
  product.dropout_key = l.dropout_key;
  return product;
}

FloatProduct output_of(const Lora& l, const float* h, int64_t out, float* y, int64_t T) {
  return {{h, l.rank, 1}, {l.b, l.rank, 1}, y, T, out, l.rank, out, l.scale, true};
}

FloatProduct input_gradient_of(const Lora& l, const float* dh, int64_t in, float* dx, int64_t T) {
  return with_dropout({{dh, l.rank, 1}, {l.a, 1, in}, dx, T, in, l.rank, in, l.scale, true}, l, Dropped::C);
}

using Multiply = void (*)(const Run&, std::span<const FloatProduct>);
Multiply output_products(const Run& run) { return run.decoding ? products_short : products_f32; }

// What each pair adds to its rows. Pairs on the same rows, as PiSSA's two, take turns.
template <typename Product>
void add_pairs(const Run& run, std::span<const LoraRows> pairs, Multiply multiply, const Product& product_of) {
  std::vector<FloatProduct> products;
  int64_t end = 0;
  for (const LoraRows& rows : pairs) {
    if (rows.begin < end) {
      multiply(run, products);
      products.clear();
    }
    products.push_back(product_of(rows));
    end = rows.end;
  }
  multiply(run, products);
}

// A matrix [rows, cols], or the other way round, for tensor cores: zeros behind its columns up to `stride`.
const uint16_t* place_matrix(std::vector<Placed>& all, Moment& moment, const float* values, int64_t rows, int64_t cols, int64_t stride, bool turned) {
  auto* to = moment.take<uint16_t>(rows * stride);
  all.push_back({values, rows, cols, 1, to, rows, stride, stride, turned});
  return to;
}

// a [rank, in] and bᵀ [rank, out] of a pair, as they were rounded with all others or placed for this product.
const uint16_t* a_of(const Lora& l, int64_t in, std::vector<Placed>& placed, Moment& moment) {
  return l.a_rounded != nullptr ? l.a_rounded : place_matrix(placed, moment, l.a, l.rank, in, in, false);
}
const uint16_t* turned_b_of(const Lora& l, int64_t out, std::vector<Placed>& placed, Moment& moment) {
  return l.b_rounded != nullptr ? l.b_rounded : place_matrix(placed, moment, l.b, l.rank, out, out, true);
}

bool uses_tensor_cores(const Run& run, const Operand& x, int64_t width) {
  return run.compute == Compute::BF16 && !run.decoding && suits_narrow(x, width);
}

// x [.., width] in floats as far as pairs have rows: as it lies there, or in memory of `moment`.
const float* operand_floats(const Run& run, const Operand& x, std::span<const LoraRows> pairs, int64_t width, Moment& moment) {
  if (x.halves == nullptr) return x.floats;
  int64_t rows = 0;
  for (const LoraRows& pair : pairs) rows = std::max(rows, pair.end);
  auto* floats = moment.take<float>(rows * width);
  column_affine(run, x, nullptr, nullptr, nullptr, floats, rows, width);
  return floats;
}

void hidden_by_tensor_cores(const Run& run, const Operand& x, std::span<const LoraRows> pairs, int64_t in) {
  Moment moment(run);
  std::vector<Placed> placed;
  std::vector<NarrowProduct> products;
  for (const auto& [l, begin, end, hidden, gradient] : pairs) {
    products.push_back({x.at(begin, in), end - begin, in, a_of(l, in, placed, moment), in, l.rank, hidden, {l.dropout, l.dropout_key}});
  }
  place_halves(run, placed);
  narrow_products(run, products);
}

void gradients_by_tensor_cores(const Run& run, const Operand& dy, const Operand& x, std::span<const LoraRows> pairs, int64_t in, int64_t out) {
  Moment moment(run);
  std::vector<Placed> before, beside;
  std::vector<NarrowProduct> products;
  std::vector<TokenSum> sums;
  for (const auto& [l, begin, end, hidden, gradient] : pairs) {
    const int64_t T = end - begin, stride = round_up(T, kTokenStep);
    products.push_back({dy.at(begin, out), T, out, turned_b_of(l, out, before, moment), out, l.rank, gradient, {}});
    if (l.grad_a == nullptr) continue;
    auto* dh = moment.take<uint16_t>(l.rank * stride);
    products.back().turned = dh;
    products.back().turned_stride = stride;
    const uint16_t* h = place_matrix(beside, moment, hidden, l.rank, T, stride, true);
    sums.push_back({x.at(begin, in), T, in, dh, stride, l.rank, l.grad_a, in, 1, l.scale, {l.dropout, l.dropout_key}});
    sums.push_back({dy.at(begin, out), T, out, h, stride, l.rank, l.grad_b, 1, l.rank, l.scale, {}});
  }
  place_halves(run, before);
  narrow_products(run, products, beside);
  token_sums(run, sums);
}

}  // namespace

void round_pairs(const Run& run, std::span<const RoundedPair> pairs) {
  std::vector<Placed> placed;
  for (const auto& [a, b, rank, in, out, a_rounded, b_rounded] : pairs) {
    placed.push_back({a, rank, in, 1, a_rounded, rank, in, in, false});
    placed.push_back({b, rank, out, 1, b_rounded, rank, out, out, true});
  }
  place_halves(run, placed);
}

void lora_hidden(const Run& run, Operand x, std::span<const LoraRows> pairs, int64_t in) {
  if (uses_tensor_cores(run, x, in)) return hidden_by_tensor_cores(run, x, pairs, in);
  std::vector<FloatProduct> products;
  for (const auto& [l, begin, end, hidden, gradient] : pairs)
    products.push_back(with_dropout({{x.floats + begin * in, in, 1}, {l.a, in, 1}, hidden, end - begin, l.rank, in, l.rank, 1, false}, l, Dropped::A));
  return run.decoding ? products_long(run, products) : products_f32(run, products);
}

void lora_outputs(const Run& run, std::span<const LoraRows> pairs, int64_t out, float* y) {
  add_pairs(run, pairs, output_products(run), [&](const LoraRows& rows) {
    return output_of(rows.pair, rows.hidden, out, y + rows.begin * out, rows.end - rows.begin);
  });
}

void lora_output(const Run& run, const float* h, const Lora& l, int64_t out, float* y, int64_t T) {
  const FloatProduct product = output_of(l, h, out, y, T);
  output_products(run)(run, std::span(&product, 1));
}

void lora_gradients(const Run& run, Operand dy, Operand x, std::span<const LoraRows> pairs, int64_t in, int64_t out) {
  if (uses_tensor_cores(run, x, in) && uses_tensor_cores(run, dy, out)) return gradients_by_tensor_cores(run, dy, x, pairs, in, out);
  Moment moment(run);
  const float *dy_floats = operand_floats(run, dy, pairs, out, moment), *x_floats = operand_floats(run, x, pairs, in, moment);
  std::vector<FloatProduct> hidden, weights;
  for (const auto& [l, begin, end, h, dh] : pairs) {
    const float *own_dy = dy_floats + begin * out, *own_x = x_floats + begin * in;
    const int64_t T = end - begin;
    hidden.push_back({{own_dy, out, 1}, {l.b, 1, l.rank}, dh, T, l.rank, out, l.rank, 1, false});
    if (l.grad_a == nullptr) continue;
    weights.push_back(with_dropout({{dh, 1, l.rank}, {own_x, 1, in}, l.grad_a, l.rank, in, T, in, l.scale, true}, l, Dropped::B));
    weights.push_back({{own_dy, 1, out}, {h, 1, l.rank}, l.grad_b, out, l.rank, T, l.rank, l.scale, true});
  }
  products_f32(run, hidden);
  products_f32(run, weights);
}

void lora_input_gradients(const Run& run, std::span<const LoraRows> pairs, int64_t in, float* dx) {
  add_pairs(run, pairs, products_f32, [&](const LoraRows& rows) {
    return input_gradient_of(rows.pair, rows.hidden_gradient, in, dx + rows.begin * in, rows.end - rows.begin);
  });
}

void lora_input_gradient(const Run& run, const float* dh, const Lora& l, int64_t in, float* dx, int64_t T) {
  const FloatProduct product = input_gradient_of(l, dh, in, dx, T);
  products_f32(run, std::span(&product, 1));
}

}  // namespace lr::cuda
