// Products of the tokens of decoding with a weight as it is stored, in bfloat16 on tensor cores (mma.m16n8k16). Codes of four bits are looked up two
// at a time and go into products as levels; the scale of a block of 64 multiplies what its products come to.
//
// Columns are parted into eight ranges of whole blocks. An element is summed over the blocks of a range, over four ranges, over these halves, in their
// order: with few tokens, where reading the weight sets the pace, each range is a warp's; with more of them a warp takes the four of a half one after
// the other for rows of its own, and all warps of a half read tokens from shared memory. So its bytes are the same for any number of tokens.
#include "../../bf16.h"
#include "products.h"

namespace lr::cuda {
namespace {

constexpr int kRows = 16;                // of a warp
constexpr int kTokens = 8;               // of a tile
constexpr int kRanges = 8, kHalf = kRanges / 2;
constexpr int kColumns = quant::kBlock;  // of a block
constexpr int kOwn = kColumns / 4;       // of them a lane has, one after the other: which ones a product sums is free
constexpr int kPairs = kOwn / 2;         // words of two bfloat16
constexpr int kBytes = 256;              // values of a byte of two codes

// What the codes of four bits and of scales stand for, in memory of the device.
struct FewTables {
  uint32_t pairs[kBytes];  // two levels in bfloat16: of the high half of a byte, then of the low one
  float dynamic[kBytes];
};

const FewTables& few_tables(Storage storage) {
  static const auto make = [](Storage of) {
    const Levels levels = levels_of(of);
    FewTables tables;
    for (uint32_t byte = 0; byte < kBytes; ++byte)
      tables.pairs[byte] = static_cast<uint32_t>(float_to_bf16(levels.four_bit[byte >> 4])) | static_cast<uint32_t>(float_to_bf16(levels.four_bit[byte & 15])) << 16;
    std::copy_n(levels.dynamic, kBytes, tables.dynamic);
    return tables;
  };
  static const FewTables nf4 = make(Storage::NF4), fp4 = make(Storage::FP4);
  return storage == Storage::FP4 ? fp4 : nf4;
}

struct Operands {
  Weight w;
  Halves x;
  float* c;
  int64_t T;
  bool add;
  const FewTables* tables;  // of weights in four bits
};

// How the storages lie in memory. NF4 stands for both 4-bit ones.
template <Storage storage>
struct Stored {
  static constexpr int kWords = storage == Storage::NF4 ? 2 : storage == Storage::INT8 ? 4 : storage == Storage::BF16 ? 8 : 16;  // of a lane's columns
  static constexpr int kAhead = storage == Storage::F32 ? 1 : 2;  // blocks that a warp has under way
  static constexpr bool kScaled = storage == Storage::NF4 || storage == Storage::INT8;
};

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

// The two rows of a weight that a lane has columns of.
struct LaneRows {
  const unsigned char* data[2];  // its columns of their first block
  int32_t block[2];              // number of that block in the whole matrix; of INT8: of the row
};

template <Storage storage>
constexpr int kLaneBytes = Stored<storage>::kWords * 4;  // of a lane's columns

// Rows behind the last one repeat it: their sums are not stored.
template <Storage storage>
LR_DEVICE LaneRows lane_rows(const Weight& w, int64_t first) {
  LaneRows rows;
  LR_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int64_t wanted = first + lane_index() / 4 + half * kRows / 2, row = wanted < w.rows ? wanted : w.rows - 1, blocks = w.cols / kColumns;
    rows.data[half] = static_cast<const unsigned char*>(w.data) + (row * blocks * 4 + lane_index() % 4) * kLaneBytes<storage>;
    rows.block[half] = static_cast<int32_t>(storage == Storage::INT8 ? row : row * blocks);
  }
  return rows;
}

// A lane's columns of one block of its rows, as they are stored, and the codes of their scales, or the scales.
template <Storage storage>
struct Codes {
  uint32_t words[2][Stored<storage>::kWords];
  uint32_t scales[2];
};

template <Storage storage>
LR_DEVICE void load_codes(const Weight& w, const LaneRows& rows, int block, Codes<storage>& codes) {
  LR_UNROLL
  for (int half = 0; half < 2; ++half) {
    const unsigned char* from = rows.data[half] + int64_t{block} * (4 * kLaneBytes<storage>);
    if constexpr (storage == Storage::NF4) {
      load_words<TwoWords>(from, codes.words[half]);
      const int32_t at = rows.block[half] + block;
      codes.scales[half] = w.scales.absmax != nullptr ? bits_of_float(w.scales.absmax[at]) : w.scales.absmax_codes[at];
    } else {
      load_words<FourWords>(from, codes.words[half]);
      if constexpr (storage == Storage::INT8) codes.scales[half] = bits_of_float(w.scales.absmax[rows.block[half]] * (1.0f / 127));
    }
  }
}

// Scales in the place of their codes, of some blocks one after the other that lie before `end`; rounded as block_scale does.
template <Storage storage, int kCount>
LR_DEVICE void find_scales(const Operands& o, const LaneRows& rows, int block, int end, Codes<storage> (&codes)[kCount]) {
  if (storage != Storage::NF4 || o.w.scales.absmax != nullptr) return;
  LR_UNROLL
  for (int i = 0; i < kCount; ++i) {
    LR_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int32_t at = rows.block[half] + (block + i < end ? block + i : block);
      const float product = o.tables->dynamic[codes[i].scales[half]] * o.w.scales.nested_absmax[at / quant::kNestedBlock];
      codes[i].scales[half] = bits_of_float(product + o.w.scales.offset);
    }
  }
}

// Pairs of levels for all bytes, once for each lane of a warp: lanes never wait for each other's.
constexpr int64_t kPairsBytes = int64_t{kBytes} * 32 * 4;
template <Storage storage>
constexpr int64_t kSharedAt = storage == Storage::NF4 ? kPairsBytes : 0;  // of what else is in shared memory

LR_DEVICE void share_pairs(const FewTables& tables) {
  for (int byte = thread_index(); byte < kBytes; byte += block_threads()) {
    const uint32_t pair = tables.pairs[byte];
    LR_UNROLL
    for (int i = 0; i < 8; ++i) shared_at<FourWords>(0)[byte * 8 + (i + byte) % 8] = {{pair, pair, pair, pair}};
  }
  barrier();
}

template <Storage storage>
LR_DEVICE void pairs_of(const uint32_t (&words)[Stored<storage>::kWords], uint32_t (&pairs)[kPairs]) {
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
LR_DEVICE void open_block(const Codes<storage>& codes, Block& open) {
  LR_UNROLL
  for (int half = 0; half < 2; ++half) {
    pairs_of<storage>(codes.words[half], open.pairs[half]);
    open.scales[half] = Stored<storage>::kScaled ? float_of_bits(codes.scales[half]) : 1;
  }
}

// sums[16, 8] += the block's products with eight tokens.
template <Storage storage>
LR_DEVICE void add_block(float (&sums)[4], const Block& block, const uint32_t (&x)[kPairs]) {
  constexpr bool kScaled = Stored<storage>::kScaled;
  float own[4] = {};
  LR_UNROLL
  for (int i = 0; i < kPairs; i += 2) {
    const uint32_t a[4] = {block.pairs[0][i], block.pairs[1][i], block.pairs[0][i + 1], block.pairs[1][i + 1]};
    multiply(kScaled ? own : sums, a, x[i], x[i + 1]);
  }
  if constexpr (kScaled) {
    LR_UNROLL
    for (int i = 0; i < 4; ++i) sums[i] = fused(block.scales[i / 2], own[i], sums[i]);
  }
}

LR_DEVICE void store_sum(const Operands& o, int64_t token, int64_t row, float sum) {
  if (token >= o.T || row >= o.w.rows) return;
  float* c = o.c + token * o.w.rows + row;
  *c = o.add ? *c + sum : sum;
}

constexpr int kFewThreads = kRanges * 32;

// Loads are left out without a jump, so that those of several blocks are under way at once: what is not there is zero, and adds nothing.
template <Storage storage, int tiles>
LR_KERNEL_SHARING(kFewThreads, 2) multiply_few(Operands o) {
  constexpr int kAhead = Stored<storage>::kAhead;
  const int group = lane_index() / 4, part = lane_index() % 4;
  const int64_t first_row = block_x() * kRows;
  const int blocks = static_cast<int>(o.w.cols / kColumns), begin = warp_index() * blocks / kRanges, end = (warp_index() + 1) * blocks / kRanges;
  const LaneRows rows = lane_rows<storage>(o.w, first_row);
  Codes<storage> next[kAhead] = {};
  LR_UNROLL
  for (int i = 0; i < kAhead; ++i)
    if (begin + i < end) load_codes<storage>(o.w, rows, begin + i, next[i]);
  if constexpr (storage == Storage::NF4) share_pairs(*o.tables);
  float sums[tiles][4] = {};
  for (int first = begin; first < end; first += kAhead) {
    Codes<storage> codes[kAhead];
    LR_UNROLL
    for (int i = 0; i < kAhead; ++i) {
      codes[i] = next[i];
      next[i] = {};
      if (first + kAhead + i < end) load_codes<storage>(o.w, rows, first + kAhead + i, next[i]);
    }
    find_scales<storage>(o, rows, first, end, codes);
    LR_UNROLL
    for (int i = 0; i < kAhead; ++i) {
      const bool valid = first + i < end;
      uint32_t x[tiles][kPairs] = {};
      LR_UNROLL
      for (int tile = 0; tile < tiles; ++tile) {
        const int64_t token = tile * kTokens + group;
        if (valid && token < o.T) load_words<FourWords>(o.x.data + token * o.x.stride + int64_t{first + i} * kColumns + part * kOwn, x[tile]);
      }
      Block block;
      open_block<storage>(codes[i], block);
      LR_UNROLL
      for (int tile = 0; tile < tiles; ++tile) add_block<storage>(sums[tile], block, x[tile]);
    }
  }
  auto* parts = shared_at<float>(kSharedAt<storage>);  // [ranges, tiles · 8 tokens, 16 rows]
  constexpr int kSums = tiles * kTokens * kRows;
  LR_UNROLL
  for (int tile = 0; tile < tiles; ++tile) {
    LR_UNROLL
    for (int i = 0; i < 4; ++i)
      parts[warp_index() * kSums + (tile * kTokens + part * 2 + i % 2) * kRows + group + i / 2 * 8] = sums[tile][i];
  }
  barrier();
  for (int i = thread_index(); i < kSums; i += kFewThreads) {
    float halves[2] = {};
    LR_UNROLL
    for (int range = 0; range < kRanges; ++range) halves[range / kHalf] += parts[range * kSums + i];
    store_sum(o, i / kRows, first_row + i % kRows, halves[0] + halves[1]);
  }
}

constexpr int kManyWarps = 4;                        // of a half
constexpr int kHalfThreads = kManyWarps * 32, kManyThreads = 2 * kHalfThreads;
constexpr int kChunks = kColumns * 2 / 16;           // of 16 bytes in a token's block
template <int tiles>
constexpr int kStages = tiles <= 8 ? 3 : 2;          // blocks of tokens of a half in shared memory
template <int tiles>
constexpr int64_t kStageBytes = int64_t{tiles} * kTokens * kColumns * 2;

// Where a chunk lies: turned, so that the eight lanes of two tokens read from different banks.
LR_DEVICE FourWords* token_chunk(int64_t stage, int token, int chunk) {
  return shared_at<FourWords>(stage + (token * kChunks + (chunk ^ (token & 1))) * 16);
}

template <Storage storage, int tiles>
LR_KERNEL(kManyThreads) multiply_many(Operands o) {
  constexpr int kMost = tiles * kTokens, kDepth = Stored<storage>::kAhead, kSteps = kStages<tiles>;
  const int group = lane_index() / 4, part = lane_index() % 4, half = warp_index() / kManyWarps;
  const int64_t first_row = (block_x() * kManyWarps + warp_index() % kManyWarps) * kRows, first_token = block_y() * kMost;
  const int blocks = static_cast<int>(o.w.cols / kColumns), begin = half * blocks / 2, end = (half + 1) * blocks / 2;
  const auto stage_at = [&](int step) { return kSharedAt<storage> + int64_t{half * kSteps + step % kSteps} * kStageBytes<tiles>; };
  // Tokens of the block begin + step.
  const auto fetch = [&](int step) {
    for (int i = thread_index() % kHalfThreads; i < kMost * kChunks; i += kHalfThreads) {
      const int token = i / kChunks, chunk = i % kChunks;
      const bool valid = begin + step < end && first_token + token < o.T;
      copy_async16(token_chunk(stage_at(step), token, chunk),
                   valid ? o.x.data + (first_token + token) * o.x.stride + int64_t{begin + step} * kColumns + chunk * 8 : o.x.data, valid);
    }
    copy_commit();
  };
  const LaneRows rows = lane_rows<storage>(o.w, first_row);
  Codes<storage> next[kDepth];
  LR_UNROLL
  for (int i = 0; i < kDepth; ++i)
    if (begin + i < end) load_codes<storage>(o.w, rows, begin + i, next[i]);
  for (int step = 0; step < kSteps - 1; ++step) fetch(step);
  if constexpr (storage == Storage::NF4) share_pairs(*o.tables);
  float totals[tiles][4] = {}, sums[tiles][4] = {};
  int range = half * kHalf;
  for (int step = 0; step < blocks - blocks / 2; ++step) {  // the upper half has no fewer blocks than the lower one
    copy_wait<kSteps - 2>();
    barrier();  // the tokens of this block are there, and all are done with those of the one before
    fetch(step + kSteps - 1);
    const int at = begin + step;
    if (at >= end) continue;  // all warps of the half alike
    Codes<storage> codes[1] = {next[0]};
    LR_UNROLL
    for (int i = 0; i + 1 < kDepth; ++i) next[i] = next[i + 1];
    if (at + kDepth < end) load_codes<storage>(o.w, rows, at + kDepth, next[kDepth - 1]);
    find_scales<storage>(o, rows, at, end, codes);
    Block block;
    open_block<storage>(codes[0], block);
    LR_UNROLL
    for (int tile = 0; tile < tiles; ++tile) {
      if (first_token + tile * kTokens >= o.T) continue;
      uint32_t x[kPairs];
      LR_UNROLL
      for (int i = 0; i < 2; ++i) {
        const FourWords words = *token_chunk(stage_at(step), tile * kTokens + group, part * 2 + i);
        LR_UNROLL
        for (int j = 0; j < 4; ++j) x[i * 4 + j] = words.word[j];
      }
      add_block<storage>(sums[tile], block, x);
    }
    while ((range + 1) * blocks / kRanges <= at) ++range;  // ranges without blocks
    if (at + 1 != (range + 1) * blocks / kRanges) continue;
    LR_UNROLL
    for (int tile = 0; tile < tiles; ++tile) {
      LR_UNROLL
      for (int i = 0; i < 4; ++i) {
        totals[tile][i] += sums[tile][i];
        sums[tile][i] = 0;
      }
    }
  }
  copy_wait<0>();
  barrier();
  auto* upper = shared_at<float>(0) + thread_index() % kHalfThreads;  // [tiles, 4, threads of a half], where all are done with what was there
  LR_UNROLL
  for (int tile = 0; tile < tiles; ++tile) {
    LR_UNROLL
    for (int i = 0; i < 4; ++i)
      if (half == 1) upper[(tile * 4 + i) * kHalfThreads] = totals[tile][i];
  }
  barrier();
  if (half == 1) return;
  LR_UNROLL
  for (int tile = 0; tile < tiles; ++tile) {
    LR_UNROLL
    for (int i = 0; i < 4; ++i)
      store_sum(o, first_token + tile * kTokens + part * 2 + i % 2, first_row + group + i / 2 * 8,
                totals[tile][i] + upper[(tile * 4 + i) * kHalfThreads]);
  }
}

template <Storage storage, int tiles>
void launch_few(const Run& run, const Operands& o) {
  constexpr int64_t kShared = kSharedAt<storage> + int64_t{kRanges} * tiles * kTokens * kRows * static_cast<int64_t>(sizeof(float));
  launch(run, multiply_few<storage, tiles>, {ceil_div(o.w.rows, kRows)}, kFewThreads, kShared, o);
}

template <Storage storage, int tiles>
void launch_many(const Run& run, const Operands& o) {
  constexpr int64_t kShared = kSharedAt<storage> + 2 * kStages<tiles> * kStageBytes<tiles>;
  launch(run, multiply_many<storage, tiles>, {ceil_div(o.w.rows, kManyWarps * kRows), ceil_div(o.T, tiles * kTokens)}, kManyThreads, kShared, o);
}

template <Storage storage>
void launch_product(const Run& run, const Operands& o) {
  // As many as registers have room for.
  constexpr bool kTwo = storage == Storage::NF4 || storage == Storage::BF16;
  constexpr int kMostTiles = storage == Storage::F32 ? 8 : 16;
  if (o.T <= kTokens) return launch_few<storage, 1>(run, o);
  if constexpr (kTwo)
    if (o.T <= 2 * kTokens) return launch_few<storage, 2>(run, o);
  if (o.T <= 8 * kTokens) return launch_many<storage, 8>(run, o);
  launch_many<storage, kMostTiles>(run, o);
}

}  // namespace

bool suits_few(const Weight& w) { return w.cols % kColumns == 0; }

void product_few(const Run& run, const Halves& x, const Weight& w, float* c, int64_t T, bool add) {
  Moment moment(run);
  Operands operands = {w, x, c, T, add, nullptr};
  switch (w.storage) {
    case Storage::F32: return launch_product<Storage::F32>(run, operands);
    case Storage::BF16: return launch_product<Storage::BF16>(run, operands);
    case Storage::INT8: return launch_product<Storage::INT8>(run, operands);
    default:
      operands.tables = moment.upload(run, &few_tables(w.storage), 1);
      return launch_product<Storage::NF4>(run, operands);
  }
}

}  // namespace lr::cuda
