// Products of next tokens with 4-bit weights in whole blocks. Weights and tokens become integers of 14 bits and a sign, a scale for each block
// of 64: products of a block are then summed exactly, 32 bits wide, twice as many at a time as floats, and a shuffle or two look up as many codes
// as a vector has room for. The rounding is some 30 times finer than bfloat16's. Each output is one vector of sums over blocks, whose lanes are
// added in the end, so that a token gets the same bytes in any batch.
#pragma once
#include <cmath>

#include "decode_pairs.h"
#include "gemm.h"
#include "weights.h"

namespace lr::LR_ISA {
namespace {

// Largest integer: a lane sums 8 products in a block at most, 8 · 16383² < 2³¹.
constexpr int kLargest = 16383;
static_assert(quant::kBlock / W <= 8);

// The levels of a 4-bit storage times kLargest.
IntLevels int_levels(const float* levels) {
  int16_t values[16];
  for (int i = 0; i < 16; ++i) values[i] = static_cast<int16_t>(std::lrint(levels[i] * kLargest));
  return IntLevels(values);
}

// A block of floats as integers; returns its scale, NaN where a value is not finite.
inline float round_block(const float* x, int16_t* out) {
  const IntegerScale scale = scale_of<kLargest>(x, quant::kBlock);
  store_rounded(x, scale.factor, out);
  return scale.back;
}

// scales[count] of the integers of a weight's blocks from flat index `first` on: quant::block_scale of each, many at a time.
inline void int_scales(const WeightReader& reader, int64_t first, int64_t count, float* scales) {
  const Scales& from = reader.w.scales;
  const auto one = [&](int64_t i) { scales[i] = quant::block_scale(from, first + i, reader.dynamic) * (1.0f / kLargest); };
  int64_t i = 0;
  while (i < count) {
    const int64_t nested = (first + i) / quant::kNestedBlock, end = least((nested + 1) * quant::kNestedBlock - first, count);
    for (; i + W <= end && from.absmax == nullptr; i += W) {
      const V levels = look_up_bytes(reader.dynamic.data(), from.absmax_codes + first + i);
      store(scales + i, (levels * set(from.nested_absmax[nested]) + set(from.offset)) * set(1.0f / kLargest));
    }
    for (; i < end; ++i) one(i);
  }
}

// Bytes of a weight that are asked for ahead of time: two pages, for the processor foresees nothing of a page before it has been touched.
constexpr int64_t kBytesAhead = 8192;

// Blocks of a weight row straight from its codes, and such that have been written out: block(b, out) gives the integers of one.
struct CodedRow {
  const uint8_t* codes;
  const float* scales;
  const IntLevels* levels;
  void block(int64_t b, I* out) const {
    __builtin_prefetch(codes + b * (quant::kBlock / 2) + kBytesAhead);
    look_up_block(codes + b * (quant::kBlock / 2), *levels, out);
  }
};
struct WrittenRow {
  const int16_t* values;
  const float* scales;
  void block(int64_t b, I* out) const {
    for (int i = 0; i < kBlockVectors; ++i) out[i] = load_ints(values + b * quant::kBlock + i * 2 * W);
  }
};

// Tokens as integers, `side` of them side by side: blocks of 64 values and their scales, [tokens / side][blocks][side].
struct IntTokens {
  int16_t* values;
  float* scales;
  int64_t blocks, side;
  int64_t at(int64_t t, int64_t b) const { return (t / side * blocks + b) * side + t % side; }
};

// sums[m · stride + r], vectors, += R rows of a weight times M tokens from `first` on, which lie side by side.
template <int M, int R, class Row>
inline void add_rows(const Row* rows, const IntTokens& tokens, int64_t first, V* sums, int64_t stride) {
  const int16_t* x = tokens.values + tokens.at(first, 0) * quant::kBlock;
  const float* scales = tokens.scales + tokens.at(first, 0);
  V held[M][R];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r) held[m][r] = sums[m * stride + r];
  for (int64_t b = 0; b < tokens.blocks; ++b, x += tokens.side * quant::kBlock, scales += tokens.side) {
    I weights[R][kBlockVectors];
    V scale[R];
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r) {
      rows[r].block(b, weights[r]);
      scale[r] = held_back(set(rows[r].scales[b]));
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      I products[R];
#pragma GCC unroll 4
      for (int i = 0; i < kBlockVectors; ++i) {
        const I values = load_ints(x + m * quant::kBlock + i * 2 * W);
#pragma GCC unroll 2
        for (int r = 0; r < R; ++r)
          products[r] = i == 0 ? multiply_pairs(weights[r][i], values) : add_products(products[r], weights[r][i], values);
      }
      const V token_scale = set(scales[m]);
#pragma GCC unroll 2
      for (int r = 0; r < R; ++r) held[m][r] = fma(to_float(products[r]), scale[r] * token_scale, held[m][r]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r) sums[m * stride + r] = held[m][r];
}

// The same for any number of rows, row(r) each: two at a time where the registers have room for them, for both then meet what is loaded of a token.
template <int M, class RowOf>
inline void add_all_rows(int64_t count, const RowOf& row, const IntTokens& tokens, int64_t first, V* sums, int64_t stride) {
  int64_t r = 0;
  if constexpr (W == 16 || M <= 2) {
    for (; r + 2 <= count; r += 2) {
      const decltype(row(0)) pair[] = {row(r), row(r + 1)};
      add_rows<M, 2>(pair, tokens, first, sums + r, stride);
    }
  }
  for (; r < count; ++r) {
    const auto one = row(r);
    add_rows<M, 1>(&one, tokens, first, sums + r, stride);
  }
}

// Up to so many tokens codes are looked up in registers; more of them share weights that are written out, and lie side by side.
constexpr int64_t kFewTokens = 8;
// Weights that are written out for many tokens, rows and blocks: they fill half of the first cache.
constexpr int64_t kWrittenRows = 8, kWrittenBlocks = 16;
// Blocks of tokens that meet all weight rows before the next tokens do: they stay in the second cache.
constexpr int64_t kTokenBlocks = 1 << 11;

bool in_whole_blocks(const Weight& w) { return quant::is_four_bit(w.storage) && w.cols % quant::kBlock == 0; }

// A product, which takes scratch memory until it goes.
class FourBitProduct {
 public:
  FourBitProduct(const Run& run, const Weight& w, const float* bias, const DecodingPairs& pairs, float* y, int64_t T)
      : run_(run), w_(w), reader_(w), levels_(int_levels(reader_.levels)), bias_(bias), pairs_(pairs), y_(y), T_(T),
        blocks_(w.cols / quant::kBlock), alone_(T * w.rows * w.cols < kWorthThreadsDecoding), threads_(alone_ ? 1 : run.pool->threads()),
        mark_(run.scratch->mark()) {}
  ~FourBitProduct() { run_.scratch->release(mark_); }
  FourBitProduct(const FourBitProduct&) = delete;
  FourBitProduct& operator=(const FourBitProduct&) = delete;

  void run(const float* x) const {
    if (T_ > kFewTokens) return many(x);
    with_count(T_, [&](auto count) { few<decltype(count)::value>(x); });
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
      const int64_t to = tokens.at(t, 0) + b * tokens.side;
      tokens.scales[to] = round_block(block, tokens.values + to * quant::kBlock);
    }
  }

  template <int M>
  void few(const float* x) const {
    const IntTokens tokens{take<int16_t>(M * w_.cols), take<float>(M * blocks_), blocks_, M};
    for (int64_t t = 0; t < M; ++t) round_token(x + t * w_.cols, tokens, t);
    auto* scales = take<float>(threads_ * W * blocks_);
    // As many rows at a time as a vector has lanes. Four shares a thread, so that one that is held up elsewhere does not hold up the rest.
    const int64_t groups = ceil_div(w_.rows, W), tasks = threads_ == 1 ? 1 : least(4 * threads_, groups), share = ceil_div(groups, tasks) * W;
    parallel(run_, tasks, [&](int index, int thread) {
      float* own = scales + thread * W * blocks_;
      const int64_t end = least((index + 1) * share, w_.rows);
      for (int64_t row = index * share; row < end; row += W) {
        const int64_t rows = least(W, end - row);
        V sums[M * W];
        pairs_.begin<W>(row, rows, 0, M, sums);
        pairs_.ask_for(row + rows, least(W, end - row - rows), 0, M);
        int_scales(reader_, row * blocks_, rows * blocks_, own);
        const auto* codes = static_cast<const uint8_t*>(w_.data) + row * blocks_ * (quant::kBlock / 2);
        add_all_rows<M>(rows, [&](int64_t r) { return CodedRow{codes + r * blocks_ * (quant::kBlock / 2), own + r * blocks_, &levels_}; },
                        tokens, 0, sums, W);
        finish_sums(sums, W, 0, M, row, rows, bias_, y_, w_.rows);
      }
    }, threads_ == 1);
  }

  void many(const float* x) const {
    const int64_t segments = ceil_div(blocks_, kWrittenBlocks), padded = ceil_div(T_, kFewTokens) * kFewTokens;
    const int64_t kept = least(padded, most(kTokenBlocks / blocks_ / kFewTokens, 4) * kFewTokens);  // tokens at a time: whole tiles
    const auto width = [&](int64_t segment) { return least(kWrittenBlocks, blocks_ - segment * kWrittenBlocks); };
    auto* values = take<int16_t>(segments * padded * kWrittenBlocks * quant::kBlock);
    auto* scales = take<float>(segments * padded * kWrittenBlocks);
    auto* weights = take<int16_t>(threads_ * kWrittenRows * kWrittenBlocks * quant::kBlock);
    auto* weight_scales = take<float>(threads_ * kWrittenRows * kWrittenBlocks);
    auto* sums = take<V>(threads_ * kWrittenRows * kept);
    const auto tokens = [&](int64_t segment) {
      const int64_t first = segment * padded * kWrittenBlocks;
      return IntTokens{values + first * quant::kBlock, scales + first, width(segment), kFewTokens};
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
      for (int64_t segment = 0; segment < segments; ++segment) {
        const int64_t blocks = width(segment);
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t from = (row + r) * blocks_ + segment * kWrittenBlocks;
          int_scales(reader_, from, blocks, written_scales + r * blocks);
          for (int64_t b = 0; b < blocks; ++b) {
            I block[kBlockVectors];
            look_up_block(static_cast<const uint8_t*>(w_.data) + (from + b) * (quant::kBlock / 2), levels_, block);
            for (int i = 0; i < kBlockVectors; ++i) store_ints(written + (r * blocks + b) * quant::kBlock + i * 2 * W, block[i]);
          }
        }
        // A tile's tokens meet all these rows before the next ones do, whose pairs are asked for meanwhile.
        for (int64_t t = 0; t < count; t += kFewTokens) {
          const int64_t tile = least(kFewTokens, count - t);
          V* to = own + t * kWrittenRows;
          if (segment == 0) {
            pairs_.begin<kWrittenRows>(row, rows, first + t, tile, to);
            pairs_.ask_for(row, rows, first + t + tile, least(kFewTokens, count - t - tile));
          }
          with_count(tile, [&](auto size) {
            add_all_rows<decltype(size)::value>(
                rows, [&](int64_t r) { return WrittenRow{written + r * blocks * quant::kBlock, written_scales + r * blocks}; },
                tokens(segment), first + t, to, kWrittenRows);
          });
        }
      }
      finish_sums(own, kWrittenRows, first, count, row, rows, bias_, y_, w_.rows);
    }, alone_);
  }

  const Run& run_;
  const Weight& w_;
  const WeightReader reader_;
  const IntLevels levels_;
  const float* bias_;
  const DecodingPairs& pairs_;
  float* y_;
  const int64_t T_, blocks_;
  const bool alone_;
  const int64_t threads_;
  const size_t mark_;
};

}  // namespace
}  // namespace lr::LR_ISA
