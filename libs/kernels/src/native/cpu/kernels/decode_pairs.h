// LoRA pairs while decoding: each token is the next one of a sequence of its own, and may have a pair of its own. An output is one vector of
// sums whose lanes are added in the end; its pair comes in as the first of them: scale · hidden times a row of B, as many ranks at a time as a
// vector has lanes. So B is read where it lies, no output is touched twice, and a pair costs hardly more than its bytes.
#pragma once
#include <cstdint>
#include <span>
#include <type_traits>

#include "gemm.h"

namespace lr::LR_ISA {
namespace {

// Below this many multiply-adds a product of next tokens ends before other threads have taken part: less than elsewhere (kWorthThreads), for
// operations follow each other so closely here that the other threads have not fallen asleep.
constexpr int64_t kWorthThreadsDecoding = 1 << 18;
// The same of bytes that are read for once: some 10 µs.
constexpr int64_t kWorthReading = 1 << 18;
constexpr int64_t kLineBytes = 64;

// The pairs of a product of T tokens. Takes scratch memory until it goes.
class DecodingPairs {
 public:
  DecodingPairs(const Run& run, std::span<const LoraRows> pairs, int64_t T) : scratch_(*run.scratch), mark_(scratch_.mark()) {
    if (pairs.empty()) return;
    starts_ = take<int64_t>(T + 1);
    for (int64_t t = 0; t <= T; ++t) starts_[t] = 0;
    for (const LoraRows& rows : pairs)
      for (int64_t t = rows.begin; t < rows.end; ++t) ++starts_[t + 1];
    for (int64_t t = 0; t < T; ++t) starts_[t + 1] += starts_[t];
    terms_ = take<Term>(starts_[T]);
    auto* next = take<int64_t>(T);
    for (int64_t t = 0; t < T; ++t) next[t] = starts_[t];
    for (const LoraRows& rows : pairs) {
      const int64_t rank = rows.pair.rank, padded = ceil_div(rank, W) * W;
      auto* scaled = take<float>((rows.end - rows.begin) * padded);
      for (int64_t t = rows.begin; t < rows.end; ++t, scaled += padded) {
        const float* hidden = rows.hidden + (t - rows.begin) * rank;
        for (int64_t r = 0; r < padded; ++r) scaled[r] = r < rank ? hidden[r] * rows.pair.scale : 0;
        terms_[next[t]++] = {rows.pair.b, rows.pair.b_bf16, scaled, rank};
      }
    }
  }
  ~DecodingPairs() { scratch_.release(mark_); }
  DecodingPairs(const DecodingPairs&) = delete;
  DecodingPairs& operator=(const DecodingPairs&) = delete;

  // sums[count][R], vectors, of tokens from `first` on and outputs from `row` on: what the pairs give the first `rows` of these, else 0.
  template <int R>
  void begin(int64_t row, int64_t rows, int64_t first, int64_t count, V* sums) const {
    for (int64_t t = 0; t < count; ++t) {
      V held[R];
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) held[r] = zero();
      const auto add_term = [&](const Term& term, const auto* b) {
        const auto add = [&](int64_t i, auto load_lanes) {
          const V hidden = load(term.hidden + i);
#pragma GCC unroll 16
          for (int r = 0; r < R; ++r)
            if (r < rows) held[r] = fma(hidden, load_lanes(b + (row + r) * term.rank + i), held[r]);
        };
        int64_t i = 0;
        for (; i + W <= term.rank; i += W) add(i, [](const auto* p) { return load(p); });
        if (i < term.rank) add(i, [&](const auto* p) { return load_part(p, term.rank - i); });
      };
      for_each_term(first + t, 1, [&](const Term& term) { term.b_bf16 == nullptr ? add_term(term, term.b) : add_term(term, term.b_bf16); });
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) sums[t * R + r] = held[r];
    }
  }

  // Asks for what `begin` will read: rows of each B are a stretch of memory of their own, too short for what the processor foresees.
  void ask_for(int64_t row, int64_t rows, int64_t first, int64_t count) const {
    const void* last = nullptr;
    const auto ask = [&](const auto* b, int64_t rank) {
      if (b == last) return;
      last = b;
      for (int64_t i = 0; i < rows * rank; i += kLineBytes / static_cast<int64_t>(sizeof *b)) __builtin_prefetch(b + row * rank + i);
    };
    for_each_term(first, count, [&](const Term& term) { term.b_bf16 == nullptr ? ask(term.b, term.rank) : ask(term.b_bf16, term.rank); });
  }

 private:
  // A pair of a token.
  struct Term {
    const float* b;  // or, where it is null, b_bf16
    const uint16_t* b_bf16;
    const float* hidden;  // times the scale, and 0 up to a whole vector
    int64_t rank;
  };

  template <class T>
  T* take(int64_t count) const { return static_cast<T*>(scratch_.take(static_cast<size_t>(count) * sizeof(T))); }

  // f(term) for the terms of `count` tokens from `first` on.
  template <class F>
  void for_each_term(int64_t first, int64_t count, const F& f) const {
    if (starts_ == nullptr) return;
    for (int64_t i = starts_[first]; i < starts_[first + count]; ++i) f(terms_[i]);
  }

  Scratch& scratch_;
  const size_t mark_;
  int64_t* starts_ = nullptr;  // [T + 1] in terms_; null: there are no pairs
  Term* terms_ = nullptr;
};

// y[tokens first … first+count-1, outputs row … row+rows-1] of N outputs a token, from their vectors of sums [count][R], which are overwritten.
// Up to whole W sums there has to be memory behind them.
inline void finish_sums(V* sums, int64_t R, int64_t first, int64_t count, int64_t row, int64_t rows, const float* bias, float* y, int64_t N) {
  auto* values = reinterpret_cast<float*>(sums);
  for (int64_t i = 0; i < count * R; i += W) {  // in place: the sums of W vectors where the first of them was
    V vectors[W];
    for (int64_t j = 0; j < W; ++j) vectors[j] = sums[i + j];
    store(values + i, lane_sums(vectors));
  }
  for (int64_t t = 0; t < count; ++t)
    for (int64_t r = 0; r < rows; ++r) y[(first + t) * N + row + r] = values[t * R + r] + (bias == nullptr ? 0 : bias[row + r]);
}

// Calls f(std::integral_constant<int, count>); nothing where count is not from 1 to 8.
template <class F>
void with_count(int64_t count, const F& f) {
  switch (count) {
    case 1: return f(std::integral_constant<int, 1>());
    case 2: return f(std::integral_constant<int, 2>());
    case 3: return f(std::integral_constant<int, 3>());
    case 4: return f(std::integral_constant<int, 4>());
    case 5: return f(std::integral_constant<int, 5>());
    case 6: return f(std::integral_constant<int, 6>());
    case 7: return f(std::integral_constant<int, 7>());
    case 8: return f(std::integral_constant<int, 8>());
  }
}

}  // namespace
}  // namespace lr::LR_ISA
