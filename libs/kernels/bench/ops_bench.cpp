// Times the operations: milliseconds, GFLOP/s (or GB/s for those bound by memory) and share of the measured peak.
//   ops_bench [threads, default 2] [lr_isa level, default the best of this machine]
// The peak is measured in the same run, with as many threads, by multiply-adds that never leave the registers.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "measure.h"
#include "model/memory.h"
#include "model/storage.h"
#include "ops.h"
#include "pool.h"
#include "quantization.h"
#include "scratch.h"

namespace {

using namespace lr;
using Floats = std::vector<float>;

Floats numbers(int64_t n) {
  Floats values(n);
  for (int64_t i = 0; i < n; ++i) values[i] = philox_uniform(1, i) - 0.5f;
  return values;
}

struct Bench {
  const Ops& ops;
  Run run;
  double peak;

  // bytes: what has to be read and written at the least, each operand once. flop 0: bound by memory alone.
  void line(const std::string& name, double flop, double bytes, const std::function<void()>& work) const {
    const double time = seconds(work);
    std::printf("%-52s %10.3f ms", name.c_str(), time * 1e3);
    if (flop > 0) {
      std::printf(" %8.1f GFLOP/s %5.1f %% of peak", flop / time * 1e-9, peak > 0 ? flop / time * 1e-7 / peak : 0);
    } else {
      std::printf(" %33s", "");
    }
    std::printf(" %9.2f MB %7.1f GB/s\n", bytes * 1e-6, bytes / time * 1e-9);
  }

  void linear(Storage storage, int64_t T, int64_t out, int64_t in) const {
    const Floats values = numbers(out * in), x = numbers(T * in);
    Floats y(T * out), dx(T * in);
    const bool double_quant = quant::is_four_bit(storage);
    const WeightLayout layout(storage, double_quant, out, in);
    std::vector<uint8_t> bytes(layout.bytes, 0x3c);  // 0.01 or so where it is not quantized
    if (quant::is_quantized(storage)) ops.quantize(run, storage, values.data(), out, in, parts_at(bytes.data(), layout));
    const Weight w = weight_at(bytes.data(), storage, double_quant, out, in);
    const std::string name = storage_name(storage);
    const std::string shape = " T=" + std::to_string(T) + " out=" + std::to_string(out) + " in=" + std::to_string(in);
    const double moved = 4.0 * T * (in + out) + static_cast<double>(layout.bytes);
    line("linear_forward " + name + shape, 2.0 * T * out * in, moved,
         [&] { ops.linear_forward(run, x.data(), w, nullptr, {}, y.data(), T); });
    Run next = run;
    next.decoding = true;
    line("  decoding " + name + shape, 2.0 * T * out * in, moved,
         [&] { ops.linear_forward(next, x.data(), w, nullptr, {}, y.data(), T); });
    line("linear_backward " + name + shape, 2.0 * T * out * in, moved,
         [&] { ops.linear_backward(run, y.data(), w, {}, dx.data(), T, false); });
  }

  void lora(int64_t T, int64_t in, int64_t out, int32_t rank, float dropout) const {
    const Floats a = numbers(rank * in), b = numbers(out * rank), x = numbers(T * in), dy = numbers(T * out);
    Floats grad_a(a.size()), grad_b(b.size()), h(T * rank), dh(T * rank), y(T * out), dx(T * in);
    const Lora l{rank, 1, dropout, 1, a.data(), b.data(), grad_a.data(), grad_b.data()};
    const std::string shape = " T=" + std::to_string(T) + " in=" + std::to_string(in) + " out=" + std::to_string(out) +
                              " r=" + std::to_string(rank) + (dropout > 0 ? " dropout" : "");
    const LoraRows pair{l, 0, T, h.data(), dh.data()};
    const std::span<const LoraRows> pairs(&pair, 1);
    line("lora_hidden" + shape, 2.0 * T * rank * in, 4.0 * rank * in + 4.0 * T * (in + rank),
         [&] { ops.lora_hidden(run, x.data(), pairs, in); });
    line("lora_gradients" + shape, 2.0 * T * rank * (in + 2 * out), 4.0 * rank * (in + 2 * out) + 4.0 * T * (in + out + 2 * rank),
         [&] { ops.lora_gradients(run, dy.data(), x.data(), pairs, in, out); });
    line("lora_input_gradient" + shape, 2.0 * T * rank * in, 4.0 * rank * in + 4.0 * T * (2 * in + rank),
         [&] { ops.lora_input_gradient(run, dh.data(), l, in, dx.data(), T); });
    const std::vector<uint8_t> zeros(4 * in * out);
    const Weight w = weight_at(zeros.data(), Storage::F32, false, out, in);
    line("linear_forward f32 with a pair" + shape, 2.0 * T * out * (in + rank), 4.0 * (T * (in + out) + in * out),
         [&] { ops.linear_forward(run, x.data(), w, nullptr, pairs, y.data(), T); });
  }

  void attention(int64_t T, int64_t Hq, int64_t Hkv, int64_t D) const {
    const Floats q = numbers(T * Hq * D), k = numbers(T * Hkv * D), v = numbers(T * Hkv * D), dout = numbers(T * Hq * D);
    Floats o(q.size()), lse(T * Hq), dq(q.size()), dk(k.size()), dv(v.size());
    const std::vector<int32_t> starts = {0, static_cast<int32_t>(T)};
    const Attention a = {Hq, Hkv, D, 1 / std::sqrt(static_cast<float>(D))};
    const std::string shape =
        " T=" + std::to_string(T) + " Hq=" + std::to_string(Hq) + " Hkv=" + std::to_string(Hkv) + " D=" + std::to_string(D);
    const double product = 1.0 * T * T * Hq * D;  // one product under the causal mask: half of 2·T²·Hq·D
    const double queries = 4.0 * T * Hq * D, cache = 8.0 * T * Hkv * D;  // bytes
    line("attention_forward" + shape, 2 * product, 2 * queries + cache, [&] {
      ops.attention_forward(run, a, q.data(), k.data(), v.data(), starts.data(), 1, o.data(), lse.data());
    });
    line("attention_backward" + shape, 5 * product, 4 * queries + 2 * cache, [&] {
      ops.attention_backward(run, a, dout.data(), q.data(), k.data(), v.data(), o.data(), lse.data(), starts.data(), 1, dq.data(),
                             dk.data(), dv.data());
    });
    Run next = run;
    next.decoding = true;
    const int32_t page = 0, one[] = {0, 1};
    const PagedSequence sequence = {T - 1, &page};
    line("attention_cached, the next token, past=" + std::to_string(T - 1), 0, cache,
         [&] { ops.attention_cached(next, a, q.data(), {k.data(), v.data(), T}, &sequence, one, 1, o.data()); });
  }

  void head(int64_t T, int64_t d, int64_t vocab, int64_t chunk) const {
    std::vector<uint16_t> table(vocab * d, 0x3c23);  // 0.01 in bfloat16
    const Weight w{Storage::BF16, vocab, d, table.data(), {}};
    const Floats hidden = numbers(T * d), grad_scale(T, 1);
    Floats loss(T), dhidden(T * d);
    std::vector<int32_t> targets(T, 3);
    std::vector<uint8_t> correct(T);
    line("head_loss T=" + std::to_string(T) + " d=" + std::to_string(d) + " vocab=" + std::to_string(vocab), 4.0 * T * d * vocab,
         2.0 * d * vocab + 8.0 * T * d, [&] {
           ops.head_loss(run, hidden.data(), w, targets.data(), grad_scale.data(), nullptr, chunk, 0, loss.data(), correct.data(),
                         dhidden.data(), T);
         });
  }

  void flat(int64_t T, int64_t d) const {
    const Floats a = numbers(T * d), b = numbers(T * d), w = numbers(d);
    Floats out(T * d), rstd(T), m(T * d), v(T * d);
    const double bytes = 4.0 * T * d;
    line("rmsnorm_forward", 0, 2 * bytes, [&] { ops.rmsnorm_forward(run, a.data(), w.data(), 1e-5f, out.data(), rstd.data(), T, d); });
    line("rmsnorm_backward", 0, 4 * bytes,
         [&] { ops.rmsnorm_backward(run, b.data(), a.data(), w.data(), rstd.data(), out.data(), T, d); });
    line("gated_forward", 0, 3 * bytes, [&] { ops.gated_forward(run, Activation::Silu, a.data(), b.data(), out.data(), T, d); });
    line("gated_backward", 0, 5 * bytes,
         [&] { ops.gated_backward(run, Activation::Silu, a.data(), a.data(), b.data(), out.data(), m.data(), T, d); });
    line("add", 0, 3 * bytes, [&] { ops.add(run, a.data(), b.data(), out.data(), T * d); });
    line("adamw", 0, 7 * bytes, [&] {
      const AdamwTensor tensor = {out.data(), a.data(), m.data(), v.data(), T * d, {1, 1e-4f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.1f, 0.001f}};
      ops.adamw(run, std::span(&tensor, 1));
    });
  }
};

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2, isa = argc > 2 ? std::atoi(argv[2]) : best_isa();
  const Ops* ops = cpu_ops(isa);
  if (ops == nullptr || threads < 1) {
    std::fprintf(stderr, "usage: ops_bench [threads ≥ 1] [lr_isa level 1 … %d]\n", best_isa());
    return 1;
  }
  by_processor_time(threads == 1);
  MemoryCounter counter;
  BlockScratch scratch(counter);
  const std::unique_ptr<Pool> pool = make_pool(threads);
  for (const Compute compute : {Compute::F32, Compute::BF16}) {
    Bench bench{*ops, {pool.get(), &scratch, compute}, 0};
    bench.peak = peak(bench.run, isa);
    std::printf("\n%s, %d threads, %s operands, peak %.1f GFLOP/s\n", ops->name, threads,
                compute == Compute::BF16 ? "bf16" : "f32", bench.peak);
    for (const int64_t T : {1, 8, 64, 512, 2048}) bench.linear(Storage::NF4, T, 2048, 2048);
    for (const Storage storage : {Storage::FP4, Storage::INT8, Storage::BF16, Storage::F32})
      for (const int64_t T : {1, 512}) bench.linear(storage, T, 2048, 2048);
    bench.linear(Storage::NF4, 512, 576, 576);
    bench.linear(Storage::NF4, 512, 1536, 576);
    bench.linear(Storage::NF4, 512, 576, 1536);
    bench.linear(Storage::NF4, 512, 192, 576);
    bench.linear(Storage::NF4, 512, 4096, 4096);
    bench.head(256, 576, 49152, 128);
    bench.attention(512, 9, 3, 64);
    bench.attention(2048, 16, 8, 128);
    if (compute == Compute::BF16) continue;  // the rest is the same for both
    bench.lora(512, 576, 1536, 16, 0);
    bench.lora(512, 576, 1536, 16, 0.05f);
    bench.lora(512, 2048, 2048, 16, 0.05f);
    bench.flat(512, 2048);
  }
  return 0;
}
