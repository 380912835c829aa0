// Times what a decode step spends on one linear layer: the bare product, with one LoRA pair for all tokens, and with a pair for each token, in
// floats and in bfloat16. Pairs of many layers take turns, as in a model, so that they come from memory and not from a cache.
//   decode_bench [threads, default 1] [lr_isa level, default the best of this machine] [width, default 768] [rank, default 16]
// One thread is timed by the processor time that it was given.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "bf16.h"
#include "measure.h"
#include "model/memory.h"
#include "model/storage.h"
#include "ops.h"
#include "pool.h"
#include "quantization.h"
#include "scratch.h"

namespace {

using namespace lr;

// Bytes of pairs that take turns.
constexpr int64_t kPairBytes = 256 << 20;

struct Bench {
  const Ops& ops;
  Run run;
  double peak;
  MemoryCounter& counter;

  void layer(Storage storage, int64_t T, int64_t out, int64_t in, int32_t rank) const {
    std::vector<float> values(out * in), x(T * in), y(T * out), hidden(T * rank);
    for (size_t i = 0; i < values.size(); ++i) values[i] = philox_uniform(1, i) - 0.5f;
    for (size_t i = 0; i < x.size(); ++i) x[i] = philox_uniform(2, i) - 0.5f;
    const WeightLayout layout(storage, true, out, in);
    std::vector<uint8_t> bytes(layout.bytes, 0x3c);
    if (quant::is_quantized(storage)) ops.quantize(run, storage, values.data(), out, in, parts_at(bytes.data(), layout));
    const Weight w = weight_at(bytes.data(), storage, true, out, in);
    const int64_t floats = rank * (in + out), layers = std::max<int64_t>(1, kPairBytes / (T * floats * 4));
    Buffer<float> pairs(counter, static_cast<size_t>(layers * T * floats));
    Buffer<uint16_t> halves(counter, pairs.size());
    for (size_t i = 0; i < pairs.size(); ++i) {
      halves[i] = float_to_bf16(0.01f * static_cast<float>(i % 7));
      pairs[i] = bf16_to_float(halves[i]);
    }

    int64_t turn = 0;
    const auto step = [&](int64_t groups, bool bf16) {
      std::vector<LoraRows> rows;
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t at = (turn % layers * T + g) * floats, begin = g * T / groups, end = (g + 1) * T / groups;
        const float* a = pairs.data() + at;
        const uint16_t* a_bf16 = halves.data() + at;
        const Lora pair = bf16 ? Lora{rank, 2, 0, 0, nullptr, nullptr, nullptr, nullptr, a_bf16, a_bf16 + rank * in}
                               : Lora{rank, 2, 0, 0, a, a + rank * in, nullptr, nullptr};
        rows.push_back({pair, begin, end, hidden.data() + begin * rank, nullptr});
      }
      ++turn;
      if (groups > 0) ops.lora_hidden(run, x.data(), rows, in);
      ops.linear_forward(run, x.data(), w, nullptr, rows, y.data(), T);
    };
    const std::vector<double> times = seconds_in_turn({[&] { step(0, false); }, [&] { step(1, false); }, [&] { step(1, true); },
                                                       [&] { step(T, false); }, [&] { step(T, true); }});
    const double bare = times[0], flop = 2.0 * T * out * in;
    std::printf("%-5s T=%-4lld out=%-6lld in=%-5lld %9.3f ms %6.1f %% of peak %6.1f GB/s |", storage_name(storage), static_cast<long long>(T),
                static_cast<long long>(out), static_cast<long long>(in), bare * 1e3, peak > 0 ? flop / bare * 1e-7 / peak : 0,
                static_cast<double>(layout.bytes) / bare * 1e-9);
    for (const bool bf16 : {false, true}) {
      const double one = times[bf16 ? 2 : 1], each = times[bf16 ? 4 : 3];
      std::printf(" %s one pair %9.3f ms %5.2fx, a pair each %9.3f ms %5.2fx, %5.1f GB/s of pairs%s", bf16 ? "bf16" : "f32", one * 1e3, bare / one,
                  each * 1e3, one / each, static_cast<double>(T * floats * (bf16 ? 2 : 4)) / std::max(each - bare, 1e-9) * 1e-9, bf16 ? "\n" : " |");
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, int otherwise) { return argc > i ? std::atoi(argv[i]) : otherwise; };
  const int threads = argument(1, 1), isa = argument(2, best_isa()), width = argument(3, 768), rank = argument(4, 16);
  const Ops* ops = cpu_ops(isa);
  if (ops == nullptr || threads < 1 || width < 1 || rank < 1) {
    std::fprintf(stderr, "usage: decode_bench [threads] [lr_isa level 1 … %d] [width] [rank]\n", best_isa());
    return 1;
  }
  by_processor_time(threads == 1);
  MemoryCounter counter;
  BlockScratch scratch(counter);
  const std::unique_ptr<Pool> pool = make_pool(threads);
  Bench bench{*ops, {pool.get(), &scratch, Compute::F32, true}, 0, counter};
  bench.peak = peak(bench.run, isa);
  std::printf("%s, %d threads, peak %.1f GFLOP/s\n", ops->name, threads, bench.peak);
  for (const int64_t T : {1, 8, 32, 256}) {
    bench.layer(Storage::NF4, T, width, width, rank);
    bench.layer(Storage::NF4, T, 8 * width / 3, width, rank);
    bench.layer(Storage::NF4, T, width, 8 * width / 3, rank);
  }
  bench.layer(Storage::BF16, 1, 32000, width, rank);
  return 0;
}
