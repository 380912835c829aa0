#include "measure.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lr {
namespace {

bool processor_time = false;

double now() {
  if (processor_time) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

#if defined(__x86_64__)
constexpr int kSums = 16;  // independent sums: more than a multiply-add takes cycles, times two a cycle
constexpr int64_t kRounds = 200'000;

#define LR_PEAK(name, isa, type, zero, step)                     \
  __attribute__((target(isa))) float name() {                    \
    type sums[kSums];                                            \
    for (type& sum : sums) sum = zero;                           \
    for (int64_t round = 0; round < kRounds; ++round) {          \
      _Pragma("GCC unroll 16") for (type& sum : sums) step;      \
    }                                                            \
    for (int i = 1; i < kSums; ++i) sums[0] = sums[0] + sums[i]; \
    return sums[0][0];                                           \
  }
LR_PEAK(multiply_avx2, "avx2,fma", __m256, _mm256_setzero_ps(), sum = _mm256_fmadd_ps(sum, sum, sum))
LR_PEAK(multiply_avx512, "avx512f", __m512, _mm512_setzero_ps(), sum = _mm512_fmadd_ps(sum, sum, sum))
LR_PEAK(multiply_bf16, "avx512f,avx512bf16", __m512, _mm512_setzero_ps(),
        sum = _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(sum), reinterpret_cast<__m512bh>(sum)))
#endif

}  // namespace

void by_processor_time(bool on) { processor_time = on; }

double seconds(const std::function<void()>& work) {
  double best = 1e9, spent = 0;
  for (int runs = 0; runs < 5 || (spent < 0.3 && runs < 1000); ++runs) {
    const double start = now();
    work();
    const double time = now() - start;
    best = std::min(best, time);
    spent += time;
  }
  return best;
}

double peak([[maybe_unused]] const Run& run, [[maybe_unused]] int isa) {
#if defined(__x86_64__)
  if (isa < 2) return 0;
  const bool bf16 = isa == 4 && run.compute == Compute::BF16;
  float (*const loop)() = isa == 2 ? multiply_avx2 : bf16 ? multiply_bf16 : multiply_avx512;
  const double flop = 2.0 * kSums * kRounds * (isa == 2 ? 8 : 16) * (bf16 ? 2 : 1) * run.pool->threads();
  volatile float keep = 0;
  return flop / seconds([&] { parallel(run, run.pool->threads(), [&](int, int) { keep = loop(); }); }) * 1e-9;
#else
  return 0;
#endif
}

}  // namespace lr
