// Products of up to sixteen tokens with a weight as it is stored, in bfloat16 on tensor cores; more of them go to product_many.cu. Reading the weight
// sets the pace: a block has sixteen rows, each warp a range of their columns, and as many blocks of it under way as registers have room for.
#include "product_few.h"

namespace lr::cuda {
namespace few {
namespace {

const Tables& tables_of(Storage storage) {
  static const auto make = [](Storage of) {
    const Levels levels = levels_of(of);
    Tables tables;
    for (uint32_t byte = 0; byte < kBytes; ++byte)
      tables.pairs[byte] = static_cast<uint32_t>(float_to_bf16(levels.four_bit[byte >> 4])) | static_cast<uint32_t>(float_to_bf16(levels.four_bit[byte & 15])) << 16;
    std::copy_n(levels.dynamic, kBytes, tables.dynamic);
    return tables;
  };
  static const Tables nf4 = make(Storage::NF4), fp4 = make(Storage::FP4);
  return storage == Storage::FP4 ? fp4 : nf4;
}

// Blocks that a warp has under way: as many as two blocks of threads on a multiprocessor have registers for.
template <Storage storage, int tiles>
constexpr int kAhead = storage != Storage::NF4 ? 2 : tiles == 1 ? 8 : 4;
// Tiles of tokens that a warp has room for.
template <Storage storage>
constexpr int kMostTiles = storage == Storage::F32 ? 1 : 2;

template <Storage storage, int tiles>
LR_KERNEL_SHARING(kThreads, 2) multiply_few(Operands o) {
  constexpr int kDepth = kAhead<storage, tiles>, kScales = kDepth < 4 ? kDepth : 4;  // fewer scales are under way: neighbours come together
  const int group = lane_index() / 4, part = lane_index() % 4;
  const int begin = warp_index() * o.blocks / kRanges, end = (warp_index() + 1) * o.blocks / kRanges;
  const LaneRows rows = lane_rows<storage>(o, static_cast<int>(block_x()) * kRows);
  const uint16_t* tokens[tiles];  // the last one again behind it: its sums are not stored
  LR_UNROLL
  for (int tile = 0; tile < tiles; ++tile) {
    const int wanted = tile * kTokens + group, last = static_cast<int>(o.T) - 1;
    tokens[tile] = o.x.data + int64_t{wanted < last ? wanted : last} * o.x.stride + part * kOwn;
  }
  const auto ask = [&](int block, Codes<storage>& to) {
    if (block < end) load_codes<storage>(rows, block, to);
  };
  const auto ask_tokens = [&](int block, uint32_t (&to)[tiles][kPairs]) {
    LR_UNROLL
    for (int tile = 0; tile < tiles; ++tile) {
      if (block < end) load_words<FourWords>(tokens[tile] + int64_t{block} * kColumns, to[tile]);
    }
  };
  Codes<storage> codes[kDepth];
  uint32_t scales[kScales][2];    // or their codes
  uint32_t x[2][tiles][kPairs];   // of a block and of the next one
  LR_UNROLL
  for (int i = 0; i < kDepth; ++i) ask(begin + i, codes[i]);
  LR_UNROLL
  for (int i = 0; i < kScales; ++i)
    if (begin + i < end) load_scales<storage>(o, rows, begin + i, scales[i]);
  ask_tokens(begin, x[0]);
  share_tables<storage>(o);
  barrier();
  float sums[tiles][4] = {};
  for (int first = begin; first < end; first += kDepth) {
    LR_UNROLL
    for (int i = 0; i < kDepth; ++i) {
      const int at = first + i;
      if (at >= end) break;
      ask_tokens(at + 1, x[(i + 1) % 2]);
      Block block;
      open_pairs<storage>(codes[i], block);
      open_scales<storage>(o, rows, at, scales[i % kScales], block);
      ask(at + kDepth, codes[i]);
      if (at + kScales < end) load_scales<storage>(o, rows, at + kScales, scales[i % kScales]);
      LR_UNROLL
      for (int tile = 0; tile < tiles; ++tile) {
        float own[4] = {};
        LR_UNROLL
        for (int j = 0; j < kPairs / 2; ++j) add_product(kScaled<storage> ? own : sums[tile], block, j, x[i % 2][tile][2 * j], x[i % 2][tile][2 * j + 1]);
        if constexpr (kScaled<storage>) add_scaled(sums[tile], block, own);
      }
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
  for (int i = thread_index(); i < kSums; i += kThreads) {
    float halves[2] = {};
    LR_UNROLL
    for (int range = 0; range < kRanges; ++range) halves[range / kHalf] += parts[range * kSums + i];
    store_sum(o, i / kRows, block_x() * kRows + i % kRows, halves[0] + halves[1]);
  }
}

template <Storage storage, int tiles>
void launch_few(const Run& run, const Operands& o) {
  static_assert(kWarps == kRanges);
  constexpr int64_t kShared = kSharedAt<storage> + int64_t{kRanges} * tiles * kTokens * kRows * static_cast<int64_t>(sizeof(float));
  launch(run, multiply_few<storage, tiles>, {ceil_div(o.w.rows, kRows)}, kThreads, kShared, o);
}

}  // namespace
}  // namespace few

bool suits_few(const Weight& w) { return w.cols % few::kColumns == 0; }

void product_few(const Run& run, const Halves& x, const Weight& w, float* c, int64_t T, bool add) {
  Moment moment(run);
  few::Operands operands = {w, x, c, T, add, static_cast<int32_t>(w.rows), static_cast<int32_t>(w.cols / few::kColumns), nullptr};
  if (w.storage == Storage::NF4 || w.storage == Storage::FP4) operands.tables = moment.upload(run, &few::tables_of(w.storage), 1);
  few::with_storage(w.storage, [&]<Storage storage>() {
    if (T <= few::kTokens) return few::launch_few<storage, 1>(run, operands);
    if constexpr (few::kMostTiles<storage> == 2)
      if (T <= 2 * few::kTokens) return few::launch_few<storage, 2>(run, operands);
    few::product_many(run, operands);
  });
}

}  // namespace lr::cuda
