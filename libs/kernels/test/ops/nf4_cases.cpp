#include <cmath>

#include "cases.h"
#include "check.h"
#include "nf4.h"

namespace lr::test {
namespace {

Floats as_floats(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

// Quantizes and dequantizes; outputs are codes, scale codes, nested scales, offset, values.
std::vector<Floats> round_trip(const Ops& ops, const Run& run, const Floats& values) {
  const auto n = static_cast<int64_t>(values.size());
  const int64_t blocks = (n + 63) / 64;
  std::vector<uint8_t> codes((n + 1) / 2), absmax_codes(blocks);
  Floats nested((blocks + 255) / 256), offset(1), out(n);
  ops.nf4_quantize(run, values.data(), n, codes.data(), absmax_codes.data(), nested.data(), offset.data());
  ops.nf4_dequantize(run, {codes.data(), absmax_codes.data(), nested.data(), offset[0]}, n, out.data());
  return {as_floats(codes), as_floats(absmax_codes), nested, offset, out};
}

}  // namespace

void nf4_cases() {
  for (const int64_t n : {1, 2, 63, 64, 65, 127, 4096, 16384 + 64, 100003, 3 * 64 * 256}) {
    Floats values = numbers(n, 100 + n);
    for (int64_t i = 128; i < std::min<int64_t>(n, 192); ++i) values[i] = 0;  // a block of zeros
    // Codes are a format: not close but the same.
    check_operation("nf4 n=" + std::to_string(n),
                    [&](const Ops& ops, const Run& run) { return round_trip(ops, run, values); }, 0);
    const Machine machine(1);
    const Floats back = round_trip(reference_ops(), machine.run, values)[4];
    double worst = 0;
    for (int64_t i = 0; i < n; ++i) worst = std::max(worst, std::fabs(double{back[i]} - values[i]));
    // The widest gap between levels is 0.304, plus what the 8-bit scale is off.
    expect(worst < 0.18, "nf4 n=" + std::to_string(n) + ": values come back within half a gap, " + std::to_string(worst));
  }
  const std::array<float, 256>& levels = nf4::dynamic_levels();
  bool ascending = true;
  for (int i = 0; i < 255; ++i) ascending &= levels[i] < levels[i + 1];
  expect(ascending && levels[127] == 0 && levels[255] == 1, "nf4: the dynamic type ascends through 0 to 1");
}

}  // namespace lr::test
