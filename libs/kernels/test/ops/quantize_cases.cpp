#include <cmath>

#include "cases.h"
#include "check.h"
#include "model/storage.h"
#include "quantization.h"

namespace lr::test {
namespace {

struct Format {
  Storage storage;
  bool double_quant;
  double half_gap;  // how far a value of a block or row whose largest is 1 can come back from where it was
};

// The widest gap between levels, plus what an 8-bit scale is off. FP4's is between 2/3 and 1, INT8's half of 1/127.
constexpr Format kFormats[] = {{Storage::NF4, true, 0.18},  {Storage::NF4, false, 0.153}, {Storage::FP4, true, 0.195},
                               {Storage::FP4, false, 0.167}, {Storage::INT8, false, 0.0045}};

// Quantizes and dequantizes; outputs are the bytes of every part, and the values.
std::vector<Floats> round_trip(const Ops& ops, const Run& run, const Format& format, const Floats& values, int64_t rows) {
  const int64_t cols = static_cast<int64_t>(values.size()) / rows;
  const WeightLayout layout(format.storage, format.double_quant, rows, cols);
  std::vector<uint8_t> bytes(layout.bytes);
  Floats out(values.size());
  ops.quantize(run, format.storage, values.data(), rows, cols, parts_at(bytes.data(), layout));
  ops.dequantize(run, weight_at(bytes.data(), format.storage, format.double_quant, rows, cols), out.data());
  return {{bytes.begin(), bytes.end()}, out};
}

void round_trips(const Format& format) {
  struct Shape {
    int64_t rows, cols;
  };
  const Shape shapes[] = {{1, 1},   {1, 2},     {1, 63},      {1, 64},  {5, 13},       {1, 127},
                          {64, 64}, {129, 127}, {7, 100003}, {3, 64 * 256}, {100003, 3}, {7, 1544}, {20000, 24}};
  for (const auto& [rows, cols] : shapes) {
    const int64_t n = rows * cols;
    Floats values = numbers(n, 100 + n);
    for (int64_t i = 128; i < std::min<int64_t>(n, 192); ++i) values[i] = 0;  // a block of zeros
    const std::string name = std::string(storage_name(format.storage)) + (format.double_quant ? " double" : "") + " [" +
                             std::to_string(rows) + ", " + std::to_string(cols) + "]";
    // Codes are a format: not close but the same.
    check_operation(name, [&](const Ops& ops, const Run& run) { return round_trip(ops, run, format, values, rows); }, 0);
    const Machine machine(1);
    const Floats back = round_trip(reference_ops(), machine.run, format, values, rows)[1];
    double worst = 0;
    for (int64_t i = 0; i < n; ++i) worst = std::max(worst, std::fabs(double{back[i]} - values[i]));
    expect(worst < format.half_gap, name + ": values come back within half a gap, " + std::to_string(worst));
  }
}

void half_precision() {
  // Rows of INT8 pass through half precision: ties to even, subnormals, and what it cannot hold.
  const auto quantized = [](const Floats& row, std::vector<int8_t>& codes) {
    codes.resize(row.size());
    return quant::quantize_row(row.data(), static_cast<int64_t>(row.size()), codes.data());
  };
  std::vector<int8_t> codes;
  expect(quantized({2049, -2051}, codes) == 2052 && codes[1] == -127, "int8: 2049 becomes 2048 and 2051 becomes 2052 in half precision");
  expect(quantized({0x1.8p-24f, 0x1p-25f}, codes) == 0x1p-23f && codes[0] == 127 && codes[1] == 0, "int8: subnormal halves");
  expect(quantized({65519, 1}, codes) == 65504, "int8: the largest half");
  expect(std::isnan(quantized({65520, 1}, codes)) && codes[0] == 0, "int8: a value beyond half precision shows");
  expect(std::isnan(quantized({1, NAN}, codes)), "int8: NaN shows");
  expect(quantized({0, -0.0f}, codes) == 0 && codes[0] == 0, "int8: a row of zeros");
}

// What is not finite has codes all the same, on every machine the same ones.
void not_finite() {
  Floats values = numbers(300, 9);
  for (const float value : {INFINITY, -INFINITY, NAN, 3e38f}) {
    values[70] = values[140] = value;
    for (const Format& format : kFormats) {
      check_operation(std::string(storage_name(format.storage)) + " of " + std::to_string(value), [&](const Ops& ops, const Run& run) {
        return std::vector<Floats>{round_trip(ops, run, format, values, 3)[0]};
      }, 0);
    }
  }
}

}  // namespace

void quantize_cases() {
  for (const Format& format : kFormats) round_trips(format);
  not_finite();
  half_precision();
  const std::array<float, 256>& levels = quant::dynamic_levels();
  bool ascending = true;
  for (int i = 0; i < 255; ++i) ascending &= levels[i] < levels[i + 1];
  expect(ascending && levels[127] == 0 && levels[255] == 1, "the dynamic type ascends through 0 to 1");
  for (const Storage storage : {Storage::NF4, Storage::FP4}) {
    const quant::FourBit& type = quant::four_bit(storage);
    bool sorted = true;
    for (int i = 0; i < 15; ++i) sorted &= type.levels[type.order[i]] <= type.levels[type.order[i + 1]];
    expect(sorted, std::string(storage_name(storage)) + ": levels ascend in their order");
  }
}

}  // namespace lr::test
