// How products of the tokens of decoding read a weight as it is stored, for tensor cores (mma.m16n8k16): codes of four bits are looked up two at a
// time and go into products as levels in bfloat16; the scale of a block of 64 multiplies what its products come to.
//
// Columns are parted into eight ranges of whole blocks. An element is summed over the blocks of a range, over the four ranges of a half, over the
// halves, in their order. So its bytes are the same for any number of tokens, whichever kernel has them.
#pragma once
#include "../../bf16.h"
#include "products.h"

namespace lr::cuda::few {

constexpr int kRows = 16;                // of a tile
constexpr int kTokens = 8;               // of a tile
constexpr int kRanges = 8, kHalf = kRanges / 2;
constexpr int kColumns = quant::kBlock;  // of a block
constexpr int kOwn = kColumns / 4;       // of them a lane has, one after the other: which ones a product sums is free
constexpr int kPairs = kOwn / 2;         // words of two bfloat16
constexpr int kBytes = 256;              // values of a byte of two codes
constexpr int kWarps = 8, kThreads = kWarps * 32;

// What the codes of four bits and of scales stand for, in memory of the device.
struct Tables {
  uint32_t pairs[kBytes];  // two levels in bfloat16: of the high half of a byte, then of the low one
  float dynamic[kBytes];
};

struct Operands {
  Weight w;
  Halves x;
  float* c;
  int64_t T;
  bool add;
  int32_t rows, blocks;  // of the weight; blocks of a row
  const Tables* tables;  // of weights in four bits
};

// More tokens than a warp has at once (product_many.cu).
void product_many(const Run& run, const Operands& o);

// Calls call.operator()<storage>(): NF4 stands for both storages of four bits.
template <typename Call>
void with_storage(Storage storage, const Call& call) {
  switch (storage) {
    case Storage::F32: return call.template operator()<Storage::F32>();
    case Storage::BF16: return call.template operator()<Storage::BF16>();
    case Storage::INT8: return call.template operator()<Storage::INT8>();
    default: return call.template operator()<Storage::NF4>();
  }
}

template <Storage storage>
constexpr int kWords = storage == Storage::NF4 ? 2 : storage == Storage::INT8 ? 4 : storage == Storage::BF16 ? 8 : 16;  // of a lane's columns
template <Storage storage>
constexpr int kLaneBytes = kWords<storage> * 4;
template <Storage storage>
constexpr bool kScaled = storage == Storage::NF4 || storage == Storage::INT8;

struct alignas(8) TwoWords {
  uint32_t word[2];
};

template <typename Words, int kCount>
LR_DEVICE void load_words(const void* from, uint32_t (&to)[kCount]) {
  constexpr int kEach = sizeof(Words) / sizeof(uint32_t);
  LR_UNROLL
  for (int i = 0; i < kCount / kEach; ++i) {
    const Words words = static_cast<const Words*>(from)[i];
    LR_UNROLL
    for (int j = 0; j < kEach; ++j) to[i * kEach + j] = words.word[j];
  }
}

// The two rows of a tile that a lane has columns of. Rows behind the last one repeat it: their sums are not stored.
struct LaneRows {
  const unsigned char* data[2];    // its columns of their first block
  const unsigned char* scales[2];  // of NF4: the scale of that block, or its code; of INT8: of the row
  uint32_t block[2];               // of NF4: number of that block in the whole matrix
};

template <Storage storage>
LR_DEVICE LaneRows lane_rows(const Operands& o, int32_t first) {
  LaneRows rows = {};
  LR_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int32_t wanted = first + lane_index() / 4 + half * kRows / 2, row = wanted < o.rows ? wanted : o.rows - 1, block = row * o.blocks;
    rows.data[half] = static_cast<const unsigned char*>(o.w.data) + (int64_t{block} * 4 + lane_index() % 4) * kLaneBytes<storage>;
    if constexpr (kScaled<storage>) {
      const int32_t at = storage == Storage::INT8 ? row : block;
      rows.scales[half] = o.w.scales.absmax != nullptr ? reinterpret_cast<const unsigned char*>(o.w.scales.absmax + at) : o.w.scales.absmax_codes + at;
      rows.block[half] = static_cast<uint32_t>(block);
    }
  }
  return rows;
}

// A lane's columns of one block of its rows, as they are stored.
template <Storage storage>
struct Codes {
  uint32_t words[2][kWords<storage>];
};

template <Storage storage>
LR_DEVICE void load_codes(const LaneRows& rows, int block, Codes<storage>& codes) {
  LR_UNROLL
  for (int half = 0; half < 2; ++half)
    load_words<std::conditional_t<storage == Storage::NF4, TwoWords, FourWords>>(rows.data[half] + int64_t{block} * (4 * kLaneBytes<storage>),
                                                                                 codes.words[half]);
}

template <Storage storage>
LR_DEVICE void load_scales(const Operands& o, const LaneRows& rows, int block, uint32_t (&scales)[2]) {
  if constexpr (!kScaled<storage>) return;
  const int64_t at = storage == Storage::INT8 ? 0 : block;
  LR_UNROLL
  for (int half = 0; half < 2; ++half)
    scales[half] = o.w.scales.absmax != nullptr ? reinterpret_cast<const uint32_t*>(rows.scales[half])[at] : rows.scales[half][at];
}

// In shared memory: pairs of levels for all bytes, once for each lane of a warp, so that lanes never wait for each other's; and levels of scales.
constexpr int64_t kDynamicAt = int64_t{kBytes} * 32 * 4, kTablesBytes = kDynamicAt + kBytes * 4;
template <Storage storage>
constexpr int64_t kSharedAt = storage == Storage::NF4 ? kTablesBytes : 0;  // of what else is in shared memory

// Reading them takes a barrier.
template <Storage storage>
LR_DEVICE void share_tables(const Operands& o) {
  if constexpr (storage == Storage::NF4) {
    const int byte = thread_index();
    static_assert(kThreads == kBytes);
    const uint32_t pair = o.tables->pairs[byte];
    shared_at<float>(kDynamicAt)[byte] = o.tables->dynamic[byte];
    LR_UNROLL
    for (int i = 0; i < 8; ++i) shared_at<FourWords>(0)[byte * 8 + (i + byte) % 8] = {{pair, pair, pair, pair}};
  }
}

template <Storage storage>
LR_DEVICE void pairs_of(const uint32_t (&words)[kWords<storage>], uint32_t (&pairs)[kPairs]) {
  LR_UNROLL
  for (int i = 0; i < kPairs; ++i) {
    if constexpr (storage == Storage::NF4) {
      constexpr int kEach = 128;  // bytes of a pair, once for each lane
      const uint32_t word = words[i / 4], turned = i % 4 == 0 ? word * kEach : word >> (i % 4 * 8 - 7);
      pairs[i] = *shared_at<uint32_t>((turned & 0xFF * kEach) | static_cast<uint32_t>(lane_index() * 4));
    } else if constexpr (storage == Storage::INT8) {
      const auto value = [&](int code) { return static_cast<float>(static_cast<int8_t>(words[code / 4] >> (code % 4 * 8) & 0xFF)); };
      pairs[i] = bf16_pair(value(2 * i), value(2 * i + 1));
    } else if constexpr (storage == Storage::F32) {
      pairs[i] = bf16_pair(float_of_bits(words[2 * i]), float_of_bits(words[2 * i + 1]));
    } else {
      pairs[i] = words[i];
    }
  }
}

// One block of 16 rows, ready for products.
struct Block {
  uint32_t pairs[2][kPairs];
  float scales[2];
};

template <Storage storage>
LR_DEVICE void open_pairs(const Codes<storage>& codes, Block& open) {
  LR_UNROLL
  for (int half = 0; half < 2; ++half) pairs_of<storage>(codes.words[half], open.pairs[half]);
}

// Rounded as block_scale does.
template <Storage storage>
LR_DEVICE void open_scales(const Operands& o, const LaneRows& rows, int block, const uint32_t (&codes)[2], Block& open) {
  const Scales& scales = o.w.scales;
  LR_UNROLL
  for (int half = 0; half < 2; ++half) {
    if constexpr (storage == Storage::INT8) {
      open.scales[half] = float_of_bits(codes[half]) * (1.0f / 127);
    } else if constexpr (storage == Storage::NF4) {
      open.scales[half] = float_of_bits(codes[half]);
      if (scales.absmax != nullptr) continue;
      const float nested = scales.nested_absmax[(rows.block[half] + static_cast<uint32_t>(block)) / uint32_t{quant::kNestedBlock}];
      const float product = shared_at<float>(kDynamicAt)[codes[half]] * nested;
      open.scales[half] = product + scales.offset;
    }
  }
}

// sums[16, 8] += product i of a block's four with eight tokens, of which x are the words.
LR_DEVICE void add_product(float (&sums)[4], const Block& block, int i, uint32_t x0, uint32_t x1) {
  const uint32_t a[4] = {block.pairs[0][2 * i], block.pairs[1][2 * i], block.pairs[0][2 * i + 1], block.pairs[1][2 * i + 1]};
  multiply(sums, a, x0, x1);
}

// sums[16, 8] += what the products of a block with scales came to.
LR_DEVICE void add_scaled(float (&sums)[4], const Block& block, const float (&own)[4]) {
  LR_UNROLL
  for (int i = 0; i < 4; ++i) sums[i] = fused(block.scales[i / 2], own[i], sums[i]);
}

LR_DEVICE void store_sum(const Operands& o, int64_t token, int64_t row, float sum) {
  if (token >= o.T || row >= o.w.rows) return;
  float* c = o.c + token * o.w.rows + row;
  *c = o.add ? *c + sum : sum;
}

}  // namespace lr::cuda::few
