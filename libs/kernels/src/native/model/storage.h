// How a weight lies in memory and in the quantized base file.
#pragma once
#include <cstdint>
#include <string>

#include "../ops.h"

namespace lr {

// The storage of linear layers that are quantized; double_quant goes with the 4-bit ones only.
struct Quantization {
  Storage storage = Storage::NF4;
  bool double_quant = true;
};

// Where the parts of a matrix [rows, cols] lie, in bytes from its beginning; each part at a multiple of 64. Codes, or the values
// of the storages that are not quantized, come first; 0 is the position of a part that is not there.
struct WeightLayout {
  WeightLayout(Storage storage, bool double_quant, int64_t rows, int64_t cols);
  uint64_t data_bytes;
  uint64_t absmax = 0, absmax_codes = 0, nested_absmax = 0, offset = 0;
  uint64_t absmax_count = 0, nested_count = 0;  // absmax_count: of absmax or of absmax_codes
  uint64_t bytes;
};

// The matrix that lies at `at`.
Weight weight_at(const uint8_t* at, Storage storage, bool double_quant, int64_t rows, int64_t cols);
// Where to write the parts of one that is to lie at `at`.
QuantizedParts parts_at(uint8_t* at, const WeightLayout& layout);

// "f32", "bf16", "nf4", "fp4", "int8"
const char* storage_name(Storage storage);
// Throws Error(LR_BAD_FORMAT).
Storage parse_storage(const std::string& name, const std::string& where);

}  // namespace lr
