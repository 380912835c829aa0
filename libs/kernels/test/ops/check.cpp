#include "check.h"

#include <cmath>
#include <cstdio>
#include <cstring>

#include "bf16.h"
#include "model/storage.h"

namespace lr::test {
namespace {

int passed = 0, failed = 0;

// Largest difference in units of the wanted output's root mean square plus the element itself.
double distance(const Floats& got, const Floats& want) {
  double squares = 0, largest = 0;
  for (const float value : want) squares += double{value} * value;
  const double size = std::sqrt(squares / static_cast<double>(std::max<size_t>(want.size(), 1))) + 1e-12;
  for (size_t i = 0; i < want.size(); ++i) {
    if (!std::isfinite(got[i])) return INFINITY;
    largest = std::max(largest, std::fabs(double{got[i]} - want[i]) / (size + std::fabs(want[i])));
  }
  return largest;
}

bool same_bytes(const std::vector<Floats>& a, const std::vector<Floats>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i].size() != b[i].size() || std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) != 0) return false;
  return true;
}

}  // namespace

std::vector<const Ops*> all_tables() {
  std::vector<const Ops*> tables = fast_tables();
  tables.insert(tables.begin(), &reference_ops());
  return tables;
}

Machine::Machine(int threads, Compute compute)
    : scratch(counter), pool(make_pool(threads)), run{pool.get(), &scratch, compute} {
  prepare(run);
}

Floats numbers(int64_t n, uint64_t seed, float scale) {
  Floats values(n);
  for (int64_t i = 0; i < n; ++i) values[i] = (2 * philox_uniform(seed, i) - 1) * scale;
  return values;
}

FrozenWeight::FrozenWeight(Storage storage, int64_t rows, int64_t cols, uint64_t seed, bool double_quant)
    : weight{storage, rows, cols, nullptr, {}}, values(numbers(rows * cols, seed, 0.1f)) {
  if (storage == Storage::F32) {
    weight.data = values.data();
  } else if (storage == Storage::BF16) {
    for (float& value : values) {
      halves_.push_back(float_to_bf16(value));
      value = round_to_bf16(value);
    }
    weight.data = halves_.data();
  } else {
    const Machine machine(1);
    const WeightLayout layout(storage, double_quant, rows, cols);
    quantized_.resize(layout.bytes);
    reference_ops().quantize(machine.run, storage, values.data(), rows, cols, parts_at(quantized_.data(), layout));
    weight = weight_at(quantized_.data(), storage, double_quant, rows, cols);
    reference_ops().dequantize(machine.run, weight, values.data());
  }
}

Floats rounded(Floats values) {
  for (float& value : values) value = round_to_bf16(value);
  return values;
}

OperandValues::OperandValues(const Ops& ops, const Run& run, const Floats& values, int64_t width, int64_t room)
    : width_(width), stride_(width + room) {
  if (!ops.bf16_operands || run.compute != Compute::BF16) {
    floats_ = values;
    return;
  }
  constexpr uint16_t kNotANumber = 0x7FC0;
  halves_.assign(values.size() / static_cast<size_t>(width) * static_cast<size_t>(stride_), kNotANumber);
  for (size_t i = 0; i < values.size(); ++i) halves_[i / width * stride_ + i % width] = float_to_bf16(values[i]);
}

Floats OperandValues::values() const {
  if (halves_.empty()) return rounded(floats_);
  Floats values(halves_.size() / static_cast<size_t>(stride_) * static_cast<size_t>(width_));
  for (size_t i = 0; i < values.size(); ++i) values[i] = bf16_to_float(halves_[i / width_ * stride_ + i % width_]);
  return values;
}

void check_operands(const std::string& name, const Operation& operation) {
  for (const Ops* ops : fast_tables()) {
    if (!ops->bf16_operands) continue;
    Ops in_floats = *ops;
    in_floats.bf16_operands = false;
    const Machine machine(2, Compute::BF16);
    expect(same_bytes(operation(*ops, machine.run), operation(in_floats, machine.run)), name + " " + ops->name + ": the bytes of operands in floats");
  }
}

void check_operation(const std::string& name, const Operation& operation, double tolerance, bool products, double bf16_tolerance) {
  for (const Compute compute : {Compute::F32, Compute::BF16}) {
    if (compute == Compute::BF16 && !products) continue;
    // bf16 keeps 8 bits: 2^-9 a rounding. Sums average it out, but which value a tie or a small model rounds to differs.
    const double allowed = compute == Compute::BF16 ? bf16_tolerance : tolerance;
    const Machine one(1, compute), two(2, compute), three(3, compute);
    const std::vector<Floats> want = operation(reference_ops(), one.run);
    for (const Ops* ops : fast_tables()) {
      const std::string label = name + " " + ops->name + (compute == Compute::BF16 ? " bf16" : "");
      const std::vector<Floats> got = operation(*ops, one.run);
      double worst = 0;
      for (size_t i = 0; i < want.size(); ++i) worst = std::max(worst, distance(got[i], want[i]));
      expect(worst <= allowed, label + ": differs from the reference by " + std::to_string(worst));
      expect(same_bytes(got, operation(*ops, two.run)) && same_bytes(got, operation(*ops, three.run)),
             label + ": bytes depend on the number of threads");
    }
    expect(one.scratch.mark() == 0 && two.scratch.mark() == 0, name + ": scratch not given back");
  }
}

void check_gradient(const std::string& name, const std::function<double(const Floats&)>& f, const Floats& x,
                    const Floats& gradient) {
  // Outputs are floats: a step of 1e-2 leaves 5 digits of the difference, and its square is the error of the formula.
  constexpr float kStep = 1e-2f;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const Floats direction = numbers(static_cast<int64_t>(x.size()), 9000 + seed);
    Floats ahead = x, behind = x;
    for (size_t i = 0; i < x.size(); ++i) {
      ahead[i] += kStep * direction[i];
      behind[i] -= kStep * direction[i];
    }
    const double slope = (f(ahead) - f(behind)) / (2 * kStep), want = dot(gradient, direction);
    const double size = std::sqrt(dot(gradient, gradient) / 3);  // what the product of a random direction comes to
    expect(std::fabs(slope - want) <= 3e-3 * size + 1e-6,
           name + ": slope " + std::to_string(slope) + ", gradient says " + std::to_string(want));
  }
}

void expect(bool holds, const std::string& what) {
  ++(holds ? passed : failed);
  if (!holds) std::printf("FAILED %s\n", what.c_str());
}

int finish() {
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

double dot(const Floats& a, const Floats& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

}  // namespace lr::test
