// Products of next tokens with 4-bit weights in whole blocks. Weights and tokens become integers of 14 bits and a sign, a scale for each block
// of 64: products of a block are then summed exactly, 32 bits wide, twice as many at a time as floats, and codes are looked up by two shuffles
// of bytes instead of four. The rounding is some 30 times finer than bfloat16's. Each output is one vector of sums over blocks, whose lanes are
// added in the end, so that a token gets the same bytes in any batch.
#pragma once
#include <cmath>
#include <limits>
#include <type_traits>

#include "gemm.h"
#include "weights.h"

namespace lr::LR_ISA {
namespace {

// Largest integer: a lane sums 8 products in a block at most, 8 · 16383² < 2³¹.
constexpr int kLargest = 16383;
static_assert(quant::kBlock / W <= 8);

// The levels of a 4-bit storage times kLargest.
IntLevels int_levels(const float* levels) {
  uint8_t low[16], high[16];
  for (int i = 0; i < 16; ++i) {
    const auto level = static_cast<int16_t>(std::lrint(levels[i] * kLargest));
    low[i] = static_cast<uint8_t>(level & 255);
    high[i] = static_cast<uint8_t>((level >> 8) & 255);
  }
  return {low, high};
}

// A block of floats as integers; returns its scale, NaN where a value is not finite.
inline float round_block(const float* x, int16_t* out) {
  V greatest = zero(), not_finite = zero();
  for (int64_t i = 0; i < quant::kBlock; i += W) {
    const V values = load(x + i);
    greatest = max(greatest, max(values, zero() - values));
    not_finite = not_finite + (values - values);
  }
  const float absmax = largest(greatest);
  if (sum(not_finite) != 0) return std::numeric_limits<float>::quiet_NaN();
  // Values that are too small for their factor to be a float count as 0.
  const bool none = absmax < kLargest * std::numeric_limits<float>::min();
  const float factor = none ? 0 : kLargest / absmax;
  for (int i = 0; i < 4; ++i) store_rounded(x + 16 * i, factor, i, out);
  return none ? 0 : absmax * (1.0f / kLargest);
}

// A weight's blocks straight from its codes: block(b, out) gives the integers of one and returns their scale.
struct CodedRow {
  const WeightReader& reader;
  const IntLevels& levels;
  int64_t first;  // flat index of the row's first block
  float block(int64_t b, I* out) const {
    look_up_block(static_cast<const uint8_t*>(reader.w.data) + (first + b) * (quant::kBlock / 2), levels, out);
    return quant::block_scale(reader.w.scales, first + b, reader.dynamic) * (1.0f / kLargest);
  }
};

// Blocks of a weight that have been written out.
struct WrittenRow {
  const int16_t* values;
  const float* scales;
  float block(int64_t b, I* out) const {
    for (int i = 0; i < kBlockVectors; ++i) out[i] = load_ints(values + b * quant::kBlock + i * 2 * W);
    return scales[b];
  }
};

// Tokens as integers: values [tokens][blocks · 64], scales [tokens][blocks].
struct IntTokens {
  int16_t* values;
  float* scales;
  int64_t blocks;
};

// sums[m], vectors, += a row of a weight times M tokens from `first` on.
template <int M, class Row>
inline void add_row(const Row& row, const IntTokens& tokens, int64_t first, V* sums) {
  const int16_t* x = tokens.values + first * tokens.blocks * quant::kBlock;
  const float* scales = tokens.scales + first * tokens.blocks;
  V held[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) held[m] = sums[m];
  for (int64_t b = 0; b < tokens.blocks; ++b) {
    I weights[kBlockVectors];
    const float scale = row.block(b, weights);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const int16_t* block = x + (m * tokens.blocks + b) * quant::kBlock;
      I products = multiply_pairs(weights[0], load_ints(block));
#pragma GCC unroll 4
      for (int i = 1; i < kBlockVectors; ++i) products = add_int(products, multiply_pairs(weights[i], load_ints(block + i * 2 * W)));
      held[m] = fma(to_float(products), set(scale * scales[m * tokens.blocks + b]), held[m]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) sums[m] = held[m];
}

// The same for any number of tokens.
template <class Row>
inline void add_row(const Row& row, const IntTokens& tokens, int64_t first, int64_t count, V* sums) {
  int64_t t = 0;
  const auto add = [&](auto size) {
    constexpr int M = decltype(size)::value;
    for (; t + M <= count; t += M) add_row<M>(row, tokens, first + t, sums + t);
  };
  add(std::integral_constant<int, 8>());
  add(std::integral_constant<int, 4>());
  add(std::integral_constant<int, 2>());
  add(std::integral_constant<int, 1>());
}

// Below this many multiply-adds a product of next tokens ends before other threads have taken part: less than elsewhere (kWorthThreads), for
// operations follow each other so closely here that the other threads have not fallen asleep.
constexpr int64_t kWorthThreadsDecoding = 1 << 18;

// Up to so many tokens codes are looked up in registers; more of them share weights that are written out.
constexpr int64_t kFewTokens = 8;
// Weights that are written out for many tokens, rows and blocks: they fill half of the first cache.
constexpr int64_t kWrittenRows = 8, kWrittenBlocks = 16;
// Blocks of tokens that meet all weight rows before the next tokens do: they stay in the second cache.
constexpr int64_t kTokenBlocks = 1 << 11;

bool in_whole_blocks(const Weight& w) { return quant::is_four_bit(w.storage) && w.cols % quant::kBlock == 0; }

// Scratch memory of a product.
class FourBitProduct {
 public:
  FourBitProduct(const Run& run, const Weight& w, const float* bias, float* y, int64_t T)
      : run_(run), w_(w), reader_(w), levels_(int_levels(reader_.levels)), bias_(bias), y_(y), T_(T), blocks_(w.cols / quant::kBlock),
        alone_(T * w.rows * w.cols < kWorthThreadsDecoding), threads_(alone_ ? 1 : run.pool->threads()), mark_(run.scratch->mark()) {}
  ~FourBitProduct() { run_.scratch->release(mark_); }
  FourBitProduct(const FourBitProduct&) = delete;
  FourBitProduct& operator=(const FourBitProduct&) = delete;

  void run(const float* x) {
    if (T_ <= kFewTokens) return few(x);
    many(x);
  }

 private:
  template <class T>
  T* take(int64_t count) const { return static_cast<T*>(run_.scratch->take(count * static_cast<int64_t>(sizeof(T)))); }

  // Token t as integers, from its floats x on.
  void round_token(const float* x, const IntTokens& tokens, int64_t t) const {
    for (int64_t b = 0; b < tokens.blocks; ++b) {
      float rounded[quant::kBlock];
      const float* block = x + b * quant::kBlock;
      if (run_.compute == Compute::BF16) {
        for (int64_t i = 0; i < quant::kBlock; i += W) store(rounded + i, round_bf16(load(block + i)));
        block = rounded;
      }
      const int64_t to = t * tokens.blocks + b;
      tokens.scales[to] = round_block(block, tokens.values + to * quant::kBlock);
    }
  }

  // The output of token t for a weight row, from its vector of sums.
  void finish(V sums, int64_t row, int64_t t) const { y_[t * w_.rows + row] = sum(sums) + (bias_ == nullptr ? 0 : bias_[row]); }

  void few(const float* x) {
    const IntTokens tokens{take<int16_t>(T_ * w_.cols), take<float>(T_ * blocks_), blocks_};
    for (int64_t t = 0; t < T_; ++t) round_token(x + t * w_.cols, tokens, t);
    // Four shares a thread, so that one that is held up elsewhere does not hold up the rest.
    const int64_t tasks = threads_ == 1 ? 1 : least(4 * threads_, w_.rows), share = ceil_div(w_.rows, tasks);
    parallel(run_, tasks, [&](int index, int) {
      for (int64_t row = index * share; row < least((index + 1) * share, w_.rows); ++row) {
        V sums[kFewTokens];
        for (V& s : sums) s = zero();
        add_row(CodedRow{reader_, levels_, row * blocks_}, tokens, 0, T_, sums);
        for (int64_t t = 0; t < T_; ++t) finish(sums[t], row, t);
      }
    }, threads_ == 1);
  }

  void many(const float* x) {
    const int64_t segments = ceil_div(blocks_, kWrittenBlocks);
    const int64_t kept = least(T_, most(kTokenBlocks / blocks_ / 8, 4) * 8);  // tokens at a time: whole tiles
    const auto width = [&](int64_t segment) { return least(kWrittenBlocks, blocks_ - segment * kWrittenBlocks); };
    // [segment][T][blocks of it]: as x lies, rows may be a power of two apart and share cache sets.
    auto* values = take<int16_t>(segments * T_ * kWrittenBlocks * quant::kBlock);
    auto* scales = take<float>(segments * T_ * kWrittenBlocks);
    auto* weights = take<int16_t>(threads_ * kWrittenRows * kWrittenBlocks * quant::kBlock);
    auto* weight_scales = take<float>(threads_ * kWrittenRows * kWrittenBlocks);
    auto* sums = take<V>(threads_ * kWrittenRows * kept);
    const auto tokens = [&](int64_t segment) {
      const int64_t first = segment * T_ * kWrittenBlocks;
      return IntTokens{values + first * quant::kBlock, scales + first, width(segment)};
    };
    parallel(run_, segments, [&](int segment, int) {
      const IntTokens to = tokens(segment);
      for (int64_t t = 0; t < T_; ++t)
        round_token(x + t * w_.cols + segment * kWrittenBlocks * quant::kBlock, to, t);
    }, alone_);
    const int64_t groups = ceil_div(w_.rows, kWrittenRows);
    parallel(run_, ceil_div(T_, kept) * groups, [&](int index, int thread) {
      int16_t* written = weights + thread * kWrittenRows * kWrittenBlocks * quant::kBlock;
      float* written_scales = weight_scales + thread * kWrittenRows * kWrittenBlocks;
      V* own = sums + thread * kWrittenRows * kept;
      const int64_t row = index % groups * kWrittenRows, rows = least(kWrittenRows, w_.rows - row);
      const int64_t first = index / groups * kept, count = least(kept, T_ - first);
      for (int64_t i = 0; i < rows * kept; ++i) own[i] = zero();
      for (int64_t segment = 0; segment < segments; ++segment) {
        const int64_t blocks = width(segment);
        for (int64_t r = 0; r < rows; ++r) {
          const CodedRow coded{reader_, levels_, (row + r) * blocks_ + segment * kWrittenBlocks};
          for (int64_t b = 0; b < blocks; ++b) {
            I block[kBlockVectors];
            written_scales[r * blocks + b] = coded.block(b, block);
            for (int i = 0; i < kBlockVectors; ++i) store_ints(written + (r * blocks + b) * quant::kBlock + i * 2 * W, block[i]);
          }
        }
        // A tile's tokens meet all these rows before the next ones do.
        for (int64_t t = 0; t < count; t += 8)
          for (int64_t r = 0; r < rows; ++r)
            add_row(WrittenRow{written + r * blocks * quant::kBlock, written_scales + r * blocks}, tokens(segment), first + t,
                    least(8, count - t), own + r * kept + t);
      }
      for (int64_t t = 0; t < count; ++t)
        for (int64_t r = 0; r < rows; ++r) finish(own[r * kept + t], row + r, first + t);
    }, alone_);
  }

  const Run& run_;
  const Weight& w_;
  const WeightReader reader_;
  const IntLevels levels_;
  const float* bias_;
  float* y_;
  const int64_t T_, blocks_;
  const bool alone_;
  const int64_t threads_;
  const size_t mark_;
};

}  // namespace
}  // namespace lr::LR_ISA
