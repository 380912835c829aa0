// Products with frozen weights. Bias and pairs of an output are written first, as floats, and the big product is added to them: it
// reads what it would otherwise only write.
#include "../cublaslt.h"
#include "kernels.h"

namespace lr::cuda {
namespace {

LR_KERNEL(kFlatThreads) write_rows(const float* bias, float* y, int64_t n, int64_t width) {
  for (int64_t i = flat_begin(); i < n; i += flat_step()) y[i] = bias == nullptr ? 0.0f : bias[i % width];
}

// c [T, n] = or += x [T, k] · w, k and n being the weight's columns and rows, or the other way round.
void product(const Run& run, const float* x, const Weight& w, Right right, float* c, int64_t T, bool add) {
  Moment moment(run);
  const int64_t k = right == Right::Rows ? w.cols : w.rows, n = right == Right::Rows ? w.rows : w.cols;
  if (run.compute == Compute::BF16) {
    const Halves left = float_halves(run, x, T, k, moment);
    if (run.decoding && right == Right::Rows && suits_few(w)) return product_few(run, left, w, c, T, add);
    const Halves weight = weight_halves(run, w, moment);
    if (!run.decoding && cublaslt().multiply(run, {true, left.data, left.stride, weight.data, weight.stride, right, c, T, n, k, add})) return;
    return product_bf16(run, left, weight, right, c, T, n, k, add);
  }
  const float* weight = weight_floats(run, w, moment);
  if (!run.decoding && cublaslt().multiply(run, {false, x, k, weight, w.cols, right, c, T, n, k, add})) return;
  const FloatMatrix b = right == Right::Rows ? FloatMatrix{weight, k, 1} : FloatMatrix{weight, 1, n};
  const FloatProduct one = {{x, k, 1}, b, c, T, n, k, n, 1, add};
  products_f32(run, std::span(&one, 1));
}

}  // namespace

void linear_forward(const Run& run, const float* x, const Weight& w, const float* bias, std::span<const LoraRows> pairs, float* y,
                    int64_t T) {
  const bool begun = bias != nullptr || !pairs.empty();
  if (begun) launch(run, write_rows, flat_grid(T * w.rows), kFlatThreads, 0, bias, y, T * w.rows, w.rows);
  lora_outputs(run, pairs, w.rows, y);
  product(run, x, w, Right::Rows, y, T, begun);
}

void linear_backward(const Run& run, const float* dy, const Weight& w, std::span<const LoraRows> pairs, float* dx, int64_t T,
                     bool accumulate) {
  product(run, dy, w, Right::Columns, dx, T, accumulate);
  lora_input_gradients(run, pairs, w.cols, dx);
}

}  // namespace lr::cuda
