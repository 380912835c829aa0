#include "measure.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <vector>

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
constexpr int kIntegerSums = 12;
constexpr int64_t kRounds = 200'000;
constexpr int64_t kAmxRounds = 100'000, kAmxFlop = 4 * 2 * 16 * 16 * 32;  // of a round

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

// As many independent sums as a tile of AVX2 has, each of products of neighbours among 16-bit integers.
#define LR_INTEGER_PEAK(name, isa, type, broadcast, zero, add)                                             \
  __attribute__((target(isa))) float name() {                                                              \
    type sums[kIntegerSums], factor = broadcast(3);                                                        \
    for (int i = 0; i < kIntegerSums; ++i) sums[i] = zero();                                               \
    for (int64_t round = 0; round < kRounds; ++round) {                                                    \
      _Pragma("GCC unroll 12") for (int i = 0; i < kIntegerSums; ++i) {                                    \
        type sum = add;                                                                                    \
        asm("" : "+x"(factor), "+x"(sum)); /* or one product would do for all, and sums be added to each other */ \
        sums[i] = sum;                                                                                     \
      }                                                                                                    \
    }                                                                                                      \
    for (int i = 1; i < kIntegerSums; ++i) sums[0] = sums[0] + sums[i];                                    \
    return static_cast<float>(sums[0][0]);                                                                 \
  }
LR_INTEGER_PEAK(integers_avx2, "avx2", __m256i, _mm256_set1_epi16, _mm256_setzero_si256,
                _mm256_add_epi32(sums[i], _mm256_madd_epi16(factor, factor)))
LR_INTEGER_PEAK(integers_avx512, "avx512f,avx512bw,avx512vnni", __m512i, _mm512_set1_epi16, _mm512_setzero_si512,
                _mm512_dpwssd_epi32(sums[i], factor, factor))

// Two products of tiles in turn on four sums each, as the products of training have them.
__attribute__((target("amx-tile,amx-bf16"))) float multiply_amx() {
  alignas(64) uint8_t config[64] = {1};
  for (int i = 0; i < 8; ++i) {
    config[16 + 2 * i] = 64;
    config[48 + i] = 16;
  }
  asm volatile("" : : "r"(config) : "memory");  // GCC 12 takes the next line to read 8 bytes
  _tile_loadconfig(config);
  for (int64_t round = 0; round < kAmxRounds; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 0;
}
#endif

// As the products of next tokens ask for weights, two pages ahead.
uint64_t read_all(const uint64_t* values, size_t count) {
  constexpr size_t kLine = 8, kAhead = 1024;
  uint64_t sums[kLine] = {};
  for (size_t i = 0; i < count; i += kLine) {
    __builtin_prefetch(values + i + kAhead);
    for (size_t j = 0; j < kLine; ++j) sums[j] += values[i + j];
  }
  for (size_t j = 1; j < kLine; ++j) sums[0] += sums[j];
  return sums[0];
}

}  // namespace

void by_processor_time(bool on) { processor_time = on; }

double seconds(const std::function<void()>& work) { return seconds_in_turn({work}).front(); }

std::vector<double> seconds_in_turn(const std::vector<std::function<void()>>& works) {
  std::vector<double> best(works.size(), 1e9);
  double spent = 0;
  for (int runs = 0; runs < 5 || (spent < 0.3 * static_cast<double>(works.size()) && runs < 1000); ++runs)
    for (size_t i = 0; i < works.size(); ++i) {
      const double start = now();
      works[i]();
      const double time = now() - start;
      best[i] = std::min(best[i], time);
      spent += time;
    }
  return best;
}

double peak([[maybe_unused]] const Run& run, [[maybe_unused]] int isa) {
#if defined(__x86_64__)
  if (isa < 2) return 0;
  // A loop and the floating-point operations of one round of it.
  struct Loop {
    float (*run)();
    int64_t rounds, flop;
  };
  const auto loop = [&]() -> Loop {
    if (run.compute == Compute::BF16) {
      constexpr int64_t kIntegerFlop = kIntegerSums * 2 * 32;
      if (isa == 2) return {integers_avx2, kRounds, kIntegerFlop / 2};
      if (isa == 3) return {integers_avx512, kRounds, kIntegerFlop};
      if (isa == 4) return {multiply_bf16, kRounds, kSums * 2 * 32};
      if (isa == 5) return {multiply_amx, kAmxRounds, kAmxFlop};
    }
    return isa == 2 ? Loop{multiply_avx2, kRounds, kSums * 2 * 8} : Loop{multiply_avx512, kRounds, kSums * 2 * 16};
  }();
  const double flop = static_cast<double>(loop.rounds * loop.flop * run.pool->threads());
  volatile float keep = 0;
  return flop / seconds([&] { parallel(run, run.pool->threads(), [&](int, int) { keep = loop.run(); }); }) * 1e-9;
#else
  return 0;
#endif
}

double read_rate(const Run& run) {
  constexpr size_t kOwn = size_t{1} << 25;  // 256 MiB a thread
  const auto threads = static_cast<size_t>(run.pool->threads());
  const std::vector<uint64_t> values(threads * kOwn, 1);
  volatile uint64_t keep = 0;
  const double time = seconds([&] { parallel(run, run.pool->threads(), [&](int task, int) { keep = read_all(values.data() + static_cast<size_t>(task) * kOwn, kOwn); }); });
  return static_cast<double>(values.size() * sizeof(uint64_t)) / time * 1e-9;
}

}  // namespace lr
