#include <algorithm>

#include "reference.h"

namespace lr::reference {
namespace {

void quantize_blocks(const Run& run, Storage storage, const float* values, int64_t n, const QuantizedParts& out) {
  const quant::FourBit& type = quant::four_bit(storage);
  const int64_t blocks = (n + quant::kBlock - 1) / quant::kBlock;
  const size_t mark = run.scratch->mark();
  auto* absmax = out.absmax != nullptr ? out.absmax : static_cast<float*>(run.scratch->take(blocks * sizeof(float)));  // [blocks]
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t begin = block * quant::kBlock, count = std::min(quant::kBlock, n - begin);
    absmax[block] = quant::block_absmax(values + begin, count);
    quant::quantize_block(type, values + begin, count, absmax[block], static_cast<uint8_t*>(out.data) + begin / 2);
  }
  if (out.absmax == nullptr) quant::quantize_scales(absmax, blocks, out.absmax_codes, out.nested_absmax, out.offset);
  run.scratch->release(mark);
}

}  // namespace

void quantize(const Run& run, Storage storage, const float* values, int64_t rows, int64_t cols, const QuantizedParts& out) {
  if (storage != Storage::INT8) return quantize_blocks(run, storage, values, rows * cols, out);
  for (int64_t row = 0; row < rows; ++row)
    out.absmax[row] = quant::quantize_row(values + row * cols, cols, static_cast<int8_t*>(out.data) + row * cols);
}

void dequantize(const Run&, const Weight& w, float* out) {
  for (int64_t row = 0; row < w.rows; ++row)
    for (int64_t col = 0; col < w.cols; ++col) out[row * w.cols + col] = element(w, row, col);
}

}  // namespace lr::reference
