// The table of cases: an operation is written once as a function from a table to its outputs, and checked three ways.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/memory.h"
#include "ops.h"
#include "pool.h"
#include "scratch.h"

namespace lr::test {

using Floats = std::vector<float>;

// The tables that are checked against the reference: a test program brings its own (test/ops/tables.cpp, test/cuda/tables.cpp).
std::vector<const Ops*> fast_tables();
// False where tables are slow: then of cases that are alike only some are run.
bool every_case();
// Puts into a run what these tables need beside threads and scratch.
void prepare(Run& run);
// The reference before them.
std::vector<const Ops*> all_tables();

// What an operation runs on: a pool, counted scratch, an operand type.
struct Machine {
  explicit Machine(int threads, Compute compute = Compute::F32);
  MemoryCounter counter;
  BlockScratch scratch;
  std::unique_ptr<Pool> pool;
  Run run;
};

// n numbers of a fixed stream, uniform in [-scale, scale).
Floats numbers(int64_t n, uint64_t seed, float scale = 1);

// A frozen weight of the given storage with its memory.
struct FrozenWeight {
  FrozenWeight(Storage storage, int64_t rows, int64_t cols, uint64_t seed, bool double_quant = false);
  Weight weight;
  Floats values;  // what the storage holds, as floats

 private:
  std::vector<uint16_t> halves_;
  std::vector<uint8_t> quantized_;
};

// Values that bfloat16 has.
Floats rounded(Floats values);

// Such values [.., width] as an operand of a table in a run: floats, or bfloat16 with so much room behind rows where the table takes that.
class OperandValues {
 public:
  OperandValues(const Ops& ops, const Run& run, const Floats& values, int64_t width, int64_t room = 0);
  operator OperandOut() { return halves_.empty() ? OperandOut(floats_.data()) : OperandOut(halves_.data(), stride_); }
  operator Operand() { return OperandOut(*this); }
  // What it holds now, rounded.
  Floats values() const;

 private:
  Floats floats_;
  std::vector<uint16_t> halves_;
  int64_t width_, stride_;
};

// Runs one operation of a table from fixed inputs and returns its outputs.
using Operation = std::function<std::vector<Floats>(const Ops&, const Run&)>;

// Every fast table of this machine against the reference within `tolerance` of the output's size, the same bytes on 1, 2 and
// 3 threads, and all scratch given back. Both operand types when the operation has big products.
void check_operation(const std::string& name, const Operation& operation, double tolerance = 1e-4, bool products = false,
                     double bf16_tolerance = 1e-2);

// For bfloat16 where a pair's hidden values, the sums of one product, are rounded to be operands of the next.
constexpr double kPairTolerance = 1.5e-2;

// Of tables with operands in bfloat16: the same bytes as of operands in floats.
void check_operands(const std::string& name, const Operation& operation);

// Slope of f at x along random directions by central differences, against gradient · direction.
void check_gradient(const std::string& name, const std::function<double(const Floats&)>& f, const Floats& x,
                    const Floats& gradient);

// One check with a name; counts it and says what failed.
void expect(bool passed, const std::string& what);

// Prints the closing line; the exit code.
int finish();

double dot(const Floats& a, const Floats& b);

}  // namespace lr::test
