#include <vector>

#include "reference.h"

namespace lr::reference {
namespace {

// The weight [rows, cols] as operands of the product. The reference may allocate: it is there to be read.
std::vector<double> operands(const Run& run, const Weight& w) {
  std::vector<double> values(w.rows * w.cols);
  for (int64_t row = 0; row < w.rows; ++row)
    for (int64_t col = 0; col < w.cols; ++col) values[row * w.cols + col] = operand(run, element(w, row, col));
  return values;
}

}  // namespace

void linear_forward(const Run& run, const float* x, const Weight& w, const float* bias, std::span<const LoraRows> pairs, float* y,
                    int64_t T) {
  const std::vector<double> weight = operands(run, w);
  for (int64_t t = 0; t < T; ++t)
    for (int64_t o = 0; o < w.rows; ++o) {
      double sum = bias == nullptr ? 0 : bias[o];
      for (int64_t i = 0; i < w.cols; ++i) sum += operand(run, x[t * w.cols + i]) * weight[o * w.cols + i];
      y[t * w.rows + o] = static_cast<float>(sum);
    }
  for (const LoraRows& rows : pairs)
    lora_output(run, rows.hidden, rows.pair, w.rows, y + rows.begin * w.rows, rows.end - rows.begin);
}

void linear_backward(const Run& run, const float* dy, const Weight& w, std::span<const LoraRows> pairs, float* dx, int64_t T,
                     bool accumulate) {
  const std::vector<double> weight = operands(run, w);
  std::vector<double> sums(w.cols);
  for (int64_t t = 0; t < T; ++t) {
    float* row = dx + t * w.cols;
    for (int64_t i = 0; i < w.cols; ++i) sums[i] = accumulate ? row[i] : 0;
    for (int64_t o = 0; o < w.rows; ++o) {
      const double gradient = operand(run, dy[t * w.rows + o]);
      for (int64_t i = 0; i < w.cols; ++i) sums[i] += gradient * weight[o * w.cols + i];
    }
    for (int64_t i = 0; i < w.cols; ++i) row[i] = static_cast<float>(sums[i]);
  }
  for (const LoraRows& rows : pairs)
    lora_input_gradient(run, rows.hidden_gradient, rows.pair, w.cols, dx + rows.begin * w.cols, rows.end - rows.begin);
}

}  // namespace lr::reference
