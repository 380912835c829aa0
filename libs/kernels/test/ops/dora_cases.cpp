#include <cmath>

#include "cases.h"
#include "check.h"

namespace lr::test {
namespace {

void norms(Storage storage, int64_t out, int64_t in, int32_t rank) {
  const FrozenWeight w(storage, out, in, 1);
  const Floats a = numbers(rank * in, 2), b = numbers(out * rank, 3, 0.1f);
  const Lora l{rank, 0.5f, 0, 0, a.data(), b.data(), nullptr, nullptr};
  check_operation("row_norms " + std::to_string(out) + "x" + std::to_string(in) + " rank=" + std::to_string(rank),
                  [&](const Ops& ops, const Run& run) {
                    std::vector<Floats> outputs = {Floats(out, NAN)};
                    ops.row_norms(run, w.weight, l, outputs[0].data());
                    return outputs;
                  }, 1e-5);
}

void columns(int64_t T, int64_t n) {
  const Floats x = numbers(T * n, 1), y = numbers(T * n, 2), before = numbers(n, 3), factor = numbers(n, 4), after = numbers(n, 5);
  const Floats start = numbers(n, 6);
  const Lora l{1, 1, 0.3f, 99, nullptr, nullptr, nullptr, nullptr};
  check_operation("columns " + std::to_string(T) + "x" + std::to_string(n), [&](const Ops& ops, const Run& run) {
    std::vector<Floats> outputs = {x, Floats(T * n, NAN), start, start, Floats(T * n, NAN)};
    ops.column_affine(run, outputs[0].data(), before.data(), factor.data(), after.data(), outputs[0].data(), T, n);
    ops.column_affine(run, x.data(), nullptr, factor.data(), nullptr, outputs[1].data(), T, n);
    ops.column_sums(run, x.data(), y.data(), factor.data(), outputs[2].data(), T, n);
    ops.column_sums(run, x.data(), nullptr, nullptr, outputs[3].data(), T, n);
    ops.dropout(run, x.data(), l, n, outputs[4].data(), T);
    return outputs;
  });
}

}  // namespace

void dora_cases() {
  for (const Storage storage : {Storage::F32, Storage::BF16, Storage::NF4}) {
    norms(storage, 64, 64, 8);
    norms(storage, 19, 37, 3);
    norms(storage, 9, 1100, 1);
  }
  norms(Storage::NF4, 40, 576, 70);
  norms(Storage::NF4, 40, 576, 0);
  columns(1, 1);
  columns(7, 37);
  columns(65, 300);
}

}  // namespace lr::test
