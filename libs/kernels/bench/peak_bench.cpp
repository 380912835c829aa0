// Prints what the machine's vector units can do, in GFLOP/s, and how fast memory is read, in GB/s: {"f32": …, "bf16": …, "read": …}.
//   peak_bench [threads, default 2] [lr_isa level, default the best of this machine]
#include <cstdio>
#include <cstdlib>

#include "measure.h"
#include "pool.h"

int main(int argc, char** argv) {
  using namespace lr;
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  const int isa = argc > 2 ? std::atoi(argv[2]) : best_isa();
  if (threads < 1 || isa < 1 || isa > best_isa()) {
    std::fprintf(stderr, "usage: peak_bench [threads ≥ 1] [level 1 … %d]\n", best_isa());
    return 1;
  }
  by_processor_time(threads == 1);
  const std::unique_ptr<Pool> pool = make_pool(threads);
  const auto of = [&](Compute compute) { return peak({pool.get(), nullptr, compute}, isa); };
  const double read = read_rate({pool.get(), nullptr, Compute::F32});
  std::printf("{\"f32\": %.1f, \"bf16\": %.1f, \"read\": %.1f}\n", of(Compute::F32), of(Compute::BF16), read);
  return 0;
}
