#include "../quantization.h"
#include "handles.h"

using namespace lr;

namespace {

// A boundary that no matrix reaches and within which no count of bytes overflows.
constexpr uint64_t kMaxValues = uint64_t{1} << 60;

struct Matrix {
  Storage storage;
  int64_t rows, cols;
  QuantizedParts parts;  // those that the format has not are null
};

Matrix checked(const lr_quantization* quantization, const lr_quantized* parts, uint64_t rows, uint64_t cols) {
  const Quantization wanted = parse_quantization(quantization);
  if (!quant::is_quantized(wanted.storage)) fail(LR_INVALID_ARGUMENT, "a matrix can be quantized to NF4, FP4 and INT8");
  if (rows == 0 || cols == 0 || rows > kMaxValues / cols) fail(LR_INVALID_ARGUMENT, "rows · cols has to be between 1 and 2^60");
  require(parts, "the quantized matrix");
  require(parts->codes, "codes");
  Matrix matrix = {wanted.storage, static_cast<int64_t>(rows), static_cast<int64_t>(cols), {}};
  matrix.parts.data = parts->codes;
  if (wanted.double_quant) {
    require(parts->absmax_codes, "absmax_codes");
    require(parts->nested_absmax, "nested_absmax");
    require(parts->offset, "offset");
    matrix.parts.absmax_codes = parts->absmax_codes;
    matrix.parts.nested_absmax = parts->nested_absmax;
    matrix.parts.offset = parts->offset;
  } else {
    require(parts->absmax, "absmax");
    matrix.parts.absmax = parts->absmax;
  }
  return matrix;
}

}  // namespace

Quantization lr::parse_quantization(const lr_quantization* quantization) {
  if (quantization == nullptr) return {};
  static constexpr Storage kStorages[] = {Storage::NF4, Storage::FP4, Storage::INT8, Storage::BF16, Storage::F32};
  if (quantization->format > LR_F32) fail(LR_INVALID_ARGUMENT, "unknown format %u of a quantization", quantization->format);
  if (quantization->double_quant > 1) fail(LR_INVALID_ARGUMENT, "double_quant is %u; it is 0 or 1", quantization->double_quant);
  const Storage storage = kStorages[quantization->format];
  return {storage, quant::is_four_bit(storage) && quantization->double_quant == 1};
}

extern "C" {

lr_status lr_quantize(lr_context* ctx, const lr_quantization* quantization, const float* values, uint64_t rows, uint64_t cols,
                      const lr_quantized* out) {
  return guarded_turn(ctx, [&](Runtime& runtime) {
    require(values, "values");
    const Matrix matrix = checked(quantization, out, rows, cols);
    Runtime& machine = runtime.host();  // the matrices are in its memory
    machine.ops.quantize(machine.run, matrix.storage, values, matrix.rows, matrix.cols, matrix.parts);
  });
}

lr_status lr_dequantize(lr_context* ctx, const lr_quantization* quantization, const lr_quantized* in, uint64_t rows, uint64_t cols,
                        float* out) {
  return guarded_turn(ctx, [&](Runtime& runtime) {
    require(out, "out");
    const Matrix matrix = checked(quantization, in, rows, cols);
    const QuantizedParts& parts = matrix.parts;
    const Scales scales = {parts.absmax, parts.absmax_codes, parts.nested_absmax, parts.offset == nullptr ? 0 : *parts.offset};
    Runtime& machine = runtime.host();
    machine.ops.dequantize(machine.run, {matrix.storage, matrix.rows, matrix.cols, parts.data, scales}, out);
  });
}

}  // extern "C"
