// Products of the few tokens of decoding with a weight as it is stored, in bfloat16 on tensor cores (mma.m16n8k16): reading the weight sets the
// pace, so each code is read once for up to 64 tokens and becomes an operand in registers. A block makes 16 of the weight's rows; its eight warps
// share the columns, and their sums are added in the end. An element is summed in one order whatever the number of tokens.
#include "products.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32, kRows = 16, kTokens = 8;
constexpr int kColumns = quant::kBlock;  // that a warp takes at a time: a block of 4-bit codes
constexpr int kOwn = kColumns / 4;       // of them a lane has, one after the other: which ones a product sums is free
constexpr int kPairs = kOwn / 2;         // words of two bfloat16
constexpr int kManyTiles = 8;            // of eight tokens, where there are more than eight
constexpr int64_t kSumsAt = (kLevelsBytes + 127) / 128 * 128;

struct Operands {
  Weight w;
  Halves x;
  float* c;
  int64_t T;
  bool add;
};

LR_DEVICE void load_halves(const uint16_t* from, uint32_t (&pairs)[kPairs]) {
  LR_UNROLL
  for (int i = 0; i < kPairs / 4; ++i) {
    const FourWords words = reinterpret_cast<const FourWords*>(from)[i];
    LR_UNROLL
    for (int j = 0; j < 4; ++j) pairs[i * 4 + j] = words.word[j];
  }
}

// Columns first … first + 15 of a row, rounded as dequantize_words does. NF4 stands for both 4-bit storages.
template <Storage storage>
LR_DEVICE void load_weights(const Weight& w, int64_t row, int64_t first, const Levels* levels, uint32_t (&pairs)[kPairs]) {
  const int64_t at = row * w.cols + first;
  if constexpr (storage == Storage::BF16) {
    load_halves(static_cast<const uint16_t*>(w.data) + at, pairs);
  } else if constexpr (storage == Storage::F32) {
    const auto* from = static_cast<const float*>(w.data) + at;
    LR_UNROLL
    for (int i = 0; i < kPairs; ++i) pairs[i] = bf16_pair(from[2 * i], from[2 * i + 1]);
  } else if constexpr (storage == Storage::INT8) {
    const FourWords words = *reinterpret_cast<const FourWords*>(static_cast<const int8_t*>(w.data) + at);
    const float scale = w.scales.absmax[row] * (1.0f / 127);
    const auto value = [&](int i) { return static_cast<float>(static_cast<int8_t>(words.word[i / 4] >> (i % 4 * 8) & 0xFF)) * scale; };
    LR_UNROLL
    for (int i = 0; i < kPairs; ++i) pairs[i] = bf16_pair(value(2 * i), value(2 * i + 1));
  } else {
    const auto* words = reinterpret_cast<const uint32_t*>(static_cast<const uint8_t*>(w.data) + at / 2);
    const float scale = block_scale(w.scales, at / quant::kBlock, levels);
    LR_UNROLL
    for (int i = 0; i < kPairs; ++i) {
      const uint32_t byte = words[i / 4] >> (i % 4 * 8) & 0xFF;
      pairs[i] = bf16_pair(levels->four_bit[byte >> 4] * scale, levels->four_bit[byte & 15] * scale);
    }
  }
}

template <Storage storage, int tiles>
LR_KERNEL(kThreads) multiply_few(Operands o, Levels levels) {
  const Levels* shared = storage == Storage::NF4 ? share_levels(levels, 0) : nullptr;
  const int group = lane_index() / 4, part = lane_index() % 4;
  const int64_t n = o.w.rows, first_row = block_x() * kRows, first_token = block_y() * tiles * kTokens;
  // Rows behind the last one repeat it: their sums are not stored.
  const int64_t upper_row = first_row + group < n ? first_row + group : n - 1;
  const int64_t lower_row = first_row + group + 8 < n ? first_row + group + 8 : n - 1;
  float sums[tiles][4] = {};
  for (int64_t column = int64_t{warp_index()} * kColumns; column < o.w.cols; column += kWarps * kColumns) {
    uint32_t upper[kPairs], lower[kPairs];
    load_weights<storage>(o.w, upper_row, column + part * kOwn, shared, upper);
    load_weights<storage>(o.w, lower_row, column + part * kOwn, shared, lower);
    LR_UNROLL
    for (int tile = 0; tile < tiles; ++tile) {
      if (first_token + tile * kTokens >= o.T) continue;
      const int64_t token = first_token + tile * kTokens + group;
      uint32_t x[kPairs] = {};
      if (token < o.T) load_halves(o.x.data + token * o.x.stride + column + part * kOwn, x);
      LR_UNROLL
      for (int i = 0; i < kPairs; i += 2) {
        const uint32_t a[4] = {upper[i], lower[i], upper[i + 1], lower[i + 1]};
        multiply(sums[tile], a, x[i], x[i + 1]);
      }
    }
  }
  auto* parts = shared_at<float>(kSumsAt);  // [warps, tiles · 8 tokens, 16 rows]
  LR_UNROLL
  for (int tile = 0; tile < tiles; ++tile) {
    LR_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int row = group + i / 2 * 8, token = tile * kTokens + part * 2 + i % 2;
      parts[(warp_index() * tiles * kTokens + token) * kRows + row] = sums[tile][i];
    }
  }
  barrier();
  for (int i = thread_index(); i < tiles * kTokens * kRows; i += kThreads) {
    const int64_t token = first_token + i / kRows, row = first_row + i % kRows;
    if (token >= o.T || row >= n) continue;
    float sum = parts[i];
    for (int warp = 1; warp < kWarps; ++warp) sum += parts[warp * tiles * kTokens * kRows + i];
    float* c = o.c + token * n + row;
    *c = o.add ? *c + sum : sum;
  }
}

template <Storage storage, int tiles>
void launch_few(const Run& run, const Operands& o) {
  constexpr int64_t kShared = kSumsAt + int64_t{kWarps} * tiles * kTokens * kRows * static_cast<int64_t>(sizeof(float));
  launch(run, multiply_few<storage, tiles>, {ceil_div(o.w.rows, kRows), ceil_div(o.T, tiles * kTokens)}, kThreads, kShared, o,
         levels_of(o.w.storage));
}

template <Storage storage>
void launch_few(const Run& run, const Operands& o) {
  if (o.T <= kTokens) {
    launch_few<storage, 1>(run, o);
  } else {
    launch_few<storage, kManyTiles>(run, o);
  }
}

}  // namespace

bool suits_few(const Weight& w) { return w.cols % kColumns == 0; }

void product_few(const Run& run, const Halves& x, const Weight& w, float* c, int64_t T, bool add) {
  const Operands operands = {w, x, c, T, add};
  switch (w.storage) {
    case Storage::F32: return launch_few<Storage::F32>(run, operands);
    case Storage::BF16: return launch_few<Storage::BF16>(run, operands);
    case Storage::INT8: return launch_few<Storage::INT8>(run, operands);
    default: return launch_few<Storage::NF4>(run, operands);
  }
}

}  // namespace lr::cuda
