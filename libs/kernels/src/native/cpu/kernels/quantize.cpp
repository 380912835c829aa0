#include "kernels.h"
#include "weights.h"

namespace lr::LR_ISA {
namespace {

constexpr int64_t kShare = 1 << 16;  // values of a task: a quarter of a megabyte in
constexpr int64_t kBlocksPerTask = kShare / quant::kBlock;

void quantize_blocks(const Run& run, Storage storage, const float* values, int64_t n, const QuantizedParts& out) {
  const quant::FourBit& type = quant::four_bit(storage);
  const int64_t blocks = ceil_div(n, quant::kBlock);
  const size_t mark = run.scratch->mark();
  auto* absmax = out.absmax != nullptr ? out.absmax : static_cast<float*>(run.scratch->take(blocks * sizeof(float)));
  parallel(run, ceil_div(blocks, kBlocksPerTask), [&](int task, int) {
    for (int64_t block = task * kBlocksPerTask; block < least((task + 1) * kBlocksPerTask, blocks); ++block) {
      const int64_t begin = block * quant::kBlock, count = least(quant::kBlock, n - begin);
      absmax[block] = quant::block_absmax(values + begin, count);
      quant::quantize_block(type, values + begin, count, absmax[block], static_cast<uint8_t*>(out.data) + begin / 2);
    }
  });
  if (out.absmax == nullptr) quant::quantize_scales(absmax, blocks, out.absmax_codes, out.nested_absmax, out.offset);
  run.scratch->release(mark);
}

}  // namespace

void quantize(const Run& run, Storage storage, const float* values, int64_t rows, int64_t cols, const QuantizedParts& out) {
  if (storage != Storage::INT8) return quantize_blocks(run, storage, values, rows * cols, out);
  const int64_t share = most(1, kShare / cols);
  parallel(run, ceil_div(rows, share), [&](int task, int) {
    for (int64_t row = task * share; row < least((task + 1) * share, rows); ++row)
      out.absmax[row] = quant::quantize_row(values + row * cols, cols, static_cast<int8_t*>(out.data) + row * cols);
  });
}

void dequantize(const Run& run, const Weight& w, float* out) {
  const WeightReader reader(w);
  const int64_t share = most(1, kShare / w.cols);
  parallel(run, ceil_div(w.rows, share), [&](int task, int) {
    for (int64_t row = task * share; row < least((task + 1) * share, w.rows); ++row) reader.read(row, 0, w.cols, out + row * w.cols);
  });
}

}  // namespace lr::LR_ISA
