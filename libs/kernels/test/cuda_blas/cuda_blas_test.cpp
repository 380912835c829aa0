// Products by cublasLt, with a library made for the test in its place: what is asked of it, what is taken of what it offers, and that
// the own kernels compute where it is missing, of another version, or refuses.
#include <cmath>
#include <cstdlib>

#include "../ops/check.h"
#include "../support/run_checks.h"
#include "../support/stand_in.h"
#include "cuda/cublaslt.h"
#include "model/error.h"

namespace lr::cuda {
extern const Ops kOps;
}

namespace lr::test {

std::vector<const Ops*> fast_tables() { return {&cuda::kOps}; }
bool every_case() { return false; }
void prepare(Run&) {}

namespace {

double distance(const Floats& a, const Floats& b) {
  double most = 0, size = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::fabs(static_cast<double>(a[i]) - b[i]));
    size = std::max(size, std::fabs(static_cast<double>(b[i])));
  }
  return std::isnan(most) ? INFINITY : most / size;
}

struct Product {
  cuda::Right right;
  int64_t m, n, k;
  bool add;
  Floats a, b, c, want;

  Product(cuda::Right side, int64_t rows, int64_t cols, int64_t depth, bool adds)
      : right(side), m(rows), n(cols), k(depth), add(adds), a(numbers(m * k, 1)), b(numbers(n * k, 2)), c(numbers(m * n, 3)), want(c) {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = add ? static_cast<double>(want[i * n + j]) : 0;
        for (int64_t l = 0; l < k; ++l) sum += static_cast<double>(a[i * k + l]) * b[right == cuda::Right::Rows ? j * k + l : l * n + j];
        want[i * n + j] = static_cast<float>(sum);
      }
  }
  // With memory that begins at multiples of 16, as the library wants it.
  bool by(cuda::CublasLt& library, const Run& run) {
    return library.multiply(run, {false, a.data(), k, b.data(), right == cuda::Right::Rows ? k : n, right, c.data(), m, n, k, add});
  }
};

void products() {
  Machine machine(2);
  cuda::CublasLt library(library_path.c_str());
  expect(library.state() == "cublasLt 13.0.2", "its version: " + library.state());
  for (const cuda::Right right : {cuda::Right::Rows, cuda::Right::Columns})
    for (const bool add : {false, true})
      for (const int64_t m : {1, 5, 40}) {
        Product product(right, m, 12, 24, add);
        const bool done = product.by(library, machine.run);
        expect(done && distance(product.c, product.want) < 1e-6, "a product of " + std::to_string(m) + " rows");
      }
  expect(setting<int>("fake_products") == 12, "the library computed each of them");
  expect(setting<int>("fake_heuristics") == 4, "an algorithm is chosen once, whatever the number of rows");
  expect(setting<uint64_t>("fake_algorithm") == 7, "none that splits a sum, none that takes more workspace than there is");
  Product odd(cuda::Right::Rows, 4, 13, 24, false);
  expect(!odd.by(library, machine.run), "rows that do not begin at multiples of 16 bytes are left to the own kernels");
  const int live = setting<int>("fake_live");
  expect(live == 1, "descriptions are given back: " + std::to_string(live - 1) + " are left");
}

void refusals() {
  Machine machine(2);
  setting<uint64_t>("fake_fewest_rows") = 2;
  cuda::CublasLt large_only(library_path.c_str());
  Product product(cuda::Right::Rows, 40, 12, 24, false);
  expect(!product.by(large_only, machine.run), "an algorithm that does not serve every number of rows is not taken");
  setting<uint64_t>("fake_fewest_rows") = 0;

  cuda::CublasLt library(library_path.c_str());
  setting<int>("fake_multiply_status") = 15;
  expect(!product.by(library, machine.run), "a product that is not supported is left to the own kernels");
  setting<int>("fake_multiply_status") = 13;
  lr_status status = LR_OK;
  try {
    product.by(library, machine.run);
  } catch (const Error& error) {
    status = error.status();
  }
  expect(status == LR_DEVICE_FAILED, "a product that fails is a failure of the device");
  setting<int>("fake_multiply_status") = 0;
  setting<int>("fake_offered") = 0;
  cuda::CublasLt offers_none(library_path.c_str());
  expect(!product.by(offers_none, machine.run), "no algorithm, no product");
  setting<int>("fake_offered") = 3;

  const auto unused = [&](const char* what, const char* path) {
    cuda::CublasLt none(path);
    expect(none.state().starts_with("no cublasLt: ") && !product.by(none, machine.run), what + (": " + none.state()));
  };
  setting<int>("fake_version") = 110903;
  unused("a library of CUDA 11", library_path.c_str());
  setting<int>("fake_version") = 140000;
  unused("one of a version to come", library_path.c_str());
  setting<int>("fake_version") = 130002;
  setting<int>("fake_create_status") = 1;
  unused("one that cannot begin", library_path.c_str());
  setting<int>("fake_create_status") = 0;
  unused("none", "off");
}

// The operations with the library in their place: the same numbers as by the own kernels.
void operations() {
  const int64_t T = 20, out = 96, in = 128;
  const FrozenWeight weight(Storage::NF4, out, in, 1, true);
  const Floats x = numbers(T * in, 2), dy = numbers(T * out, 3), bias = numbers(out, 4);
  const int before = setting<int>("fake_products");
  check_operation(
      "linear by cublasLt",
      [&](const Ops& ops, const Run& run) {
        std::vector<Floats> outputs = {Floats(T * out, NAN), Floats(T * in, NAN)};
        ops.linear_forward(run, x.data(), weight.weight, bias.data(), {}, outputs[0].data(), T);
        ops.linear_backward(run, dy.data(), weight.weight, {}, outputs[1].data(), T, false);
        return outputs;
      },
      1e-4, true);
  check_operation(
      "an output in bfloat16 by cublasLt",
      [&](const Ops& ops, const Run& run) {
        OperandValues x_rows(ops, run, x, in, 8), y(ops, run, Floats(T * out, NAN), out, 8);
        ops.linear_forward(run, x_rows, weight.weight, nullptr, {}, y, T);
        return std::vector<Floats>{y.values()};
      },
      1e-2, true);
  expect(setting<int>("fake_products") == before + 2 * 3 * 3, "operations use it, in either type and each of three runs");
}

}  // namespace
}  // namespace lr::test

int main(int, char** argv) {
  using namespace lr::test;
  stand_in(argv[0], "LOWRANK_CUBLASLT");
  return run_checks([] {
    products();
    refusals();
    operations();
  });
}
