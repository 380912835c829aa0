// Products of more than sixteen tokens with a weight as it is stored (product_few.h). A warp has two tiles of rows and up to 64 tokens, so that what it
// reads of the tokens from shared memory is used twice and what it looks up of the weight eight times: that is what sets the pace beside tensor cores.
//
// A block's warps lie in groups, one a part of the columns. A group has tokens of its own in shared memory and meets at a barrier of its own: so
// groups drift apart, and one looks codes up while another multiplies. What the parts come to is added at the end, in the order of the ranges.
#include "product_few.h"

namespace lr::cuda::few {
namespace {

constexpr int kChunks = kColumns * 2 / 16;  // of 16 bytes in a token's block
constexpr int kTall = 2;                    // tiles of rows of a warp

// `tiles` of tokens, groups of kMembers warps.
template <Storage storage, int tiles, int kMembers>
struct Shape {
  static constexpr int kGroups = kWarps / kMembers, kGroupThreads = kMembers * 32;
  static constexpr int kMost = tiles * kTokens;
  static constexpr int kTileRows = kMembers * kTall * kRows;             // of a block
  static constexpr int kPartRanges = kRanges / kGroups;                  // of a group
  static constexpr int kDepth = storage == Storage::NF4 ? 2 : 1;         // blocks of the weight under way
  static constexpr int64_t kStageBytes = int64_t{kMost} * kColumns * 2;  // tokens of a block of columns
  static constexpr int kStages = kGroups * kStageBytes > 16 << 10 ? 2 : 4;
  static constexpr int64_t kBytes = kSharedAt<storage> + kGroups * kStages * kStageBytes;
  static constexpr int kSums = kTall * tiles * 4;  // of a thread
  static_assert(kGroups == 2 || kGroups == 4);
  static_assert(kBytes <= 99 << 10 && kThreads * kSums * static_cast<int64_t>(sizeof(float)) <= kGroups * kStages * kStageBytes);
};

// Where a chunk lies: turned, so that the eight lanes of two tokens read from different banks.
LR_DEVICE FourWords* token_chunk(int64_t stage, int token, int chunk) {
  return shared_at<FourWords>(stage + (token * kChunks + (chunk ^ (token & 1))) * 16);
}

// Asks for the tokens of one block of columns; those that are not there are zeros.
template <typename S>
LR_DEVICE void fetch_tokens(const Operands& o, int64_t stage, int first_token, int block, bool valid) {
  const int own = opaque(thread_index() % S::kGroupThreads), chunk = own % kChunks;  // addresses take no registers from one block to the next
  constexpr int kTurn = S::kGroupThreads / kChunks;  // tokens at once
  LR_UNROLL
  for (int i = 0; i < S::kMost / kTurn; ++i) {
    const int token = own / kChunks + i * kTurn;
    const bool there = valid && first_token + token < o.T;
    copy_async16(token_chunk(stage, token, chunk), there ? o.x.data + int64_t{first_token + token} * o.x.stride + int64_t{block} * kColumns + chunk * 8 : o.x.data,
                 there);
  }
  copy_commit();
}

// Two tiles of tokens at a time: with two of rows four sums, whose products do not wait for each other. Half of the tiles are left out where there are
// no tokens for them.
template <Storage storage, int tiles>
LR_DEVICE void add_tokens(float (&sums)[kTall][tiles][4], const Block (&blocks)[kTall], int64_t stage, int tokens) {
  LR_UNROLL
  for (int first = 0; first < tiles; first += 2) {
    if (first == 4 && tokens <= first * kTokens) return;
    float own[kTall][2][4] = {};
    LR_UNROLL
    for (int half = 0; half < 2; ++half) {
      FourWords x[2];
      LR_UNROLL
      for (int i = 0; i < 2; ++i) x[i] = *token_chunk(stage, (first + i) * kTokens + lane_index() / 4, lane_index() % 4 * 2 + half);
      LR_UNROLL
      for (int j = 0; j < 2; ++j) {
        LR_UNROLL
        for (int i = 0; i < 2; ++i) {
          LR_UNROLL
          for (int tall = 0; tall < kTall; ++tall)
            add_product(kScaled<storage> ? own[tall][i] : sums[tall][first + i], blocks[tall], half * 2 + j, x[i].word[2 * j], x[i].word[2 * j + 1]);
        }
      }
    }
    LR_UNROLL
    for (int i = 0; i < 2; ++i) {
      LR_UNROLL
      for (int tall = 0; tall < kTall; ++tall)
        if constexpr (kScaled<storage>) add_scaled(sums[tall][first + i], blocks[tall], own[tall][i]);
    }
  }
}

template <Storage storage, int tiles, int kMembers>
LR_KERNEL(kThreads) multiply_many(Operands o) {
  using S = Shape<storage, tiles, kMembers>;
  const int group = warp_index() / kMembers;
  const int first_token = static_cast<int>(block_x()) * S::kMost, tokens = static_cast<int>(o.T) - first_token;
  const int first_row = static_cast<int>(block_y()) * S::kTileRows + warp_index() % kMembers * kTall * kRows;
  const int blocks = o.blocks, begin = group * blocks / S::kGroups, end = (group + 1) * blocks / S::kGroups;
  const auto stage_of = [&](int block) { return kSharedAt<storage> + (group * S::kStages + block % S::kStages) * S::kStageBytes; };
  LaneRows rows[kTall];
  LR_UNROLL
  for (int tall = 0; tall < kTall; ++tall) rows[tall] = lane_rows<storage>(o, first_row + tall * kRows);
  Codes<storage> next[S::kDepth][kTall] = {};
  uint32_t scales[S::kDepth][kTall][2] = {};  // of those, or their codes
  const auto ask = [&](int block, int place) {
    LR_UNROLL
    for (int tall = 0; tall < kTall; ++tall) {
      if (block >= end) continue;
      load_codes<storage>(rows[tall], block, next[place][tall]);
      load_scales<storage>(o, rows[tall], block, scales[place][tall]);
    }
  };
  LR_UNROLL
  for (int i = 0; i < S::kDepth; ++i) ask(begin + i, i);
  LR_UNROLL
  for (int i = 0; i < S::kStages - 1; ++i) fetch_tokens<S>(o, stage_of(begin + i), first_token, begin + i, begin + i < end);
  share_tables<storage>(o);
  barrier();
  // Sums of the ranges before are needed once a range: a place that the compiler does not know keeps them out of registers.
  float totals[S::kSums] = {}, sums[kTall][tiles][4] = {};
  const int place = opaque(0), ranges = opaque(S::kPartRanges);
  const auto each_sum = [&](const auto& call) {
    LR_UNROLL
    for (int i = 0; i < S::kSums; ++i) call(i, totals[place + i], (&sums[0][0][0])[i]);
  };
  for (int range = 0, at = begin; range < ranges; ++range) {
    if (range > 0) each_sum([&](int, float& total, float& sum) {
      total += sum;
      sum = 0;
    });
    for (const int stop = (group * S::kPartRanges + range + 1) * blocks / kRanges; at < stop; ++at) {
      // The group's threads have the tokens of this block, each its own copies, and are done with those of the block before, in whose place the next
      // ones go. The count of copies under way is that of blocks, also where there are no more.
      copy_wait<S::kStages - 2>();
      group_barrier(S::kGroupThreads);
      fetch_tokens<S>(o, stage_of(at + S::kStages - 1), first_token, at + S::kStages - 1, at + S::kStages - 1 < end);
      Block open[kTall];
      LR_UNROLL
      for (int tall = 0; tall < kTall; ++tall) {
        open_pairs<storage>(next[0][tall], open[tall]);
        open_scales<storage>(o, rows[tall], at, scales[0][tall], open[tall]);
        LR_UNROLL
        for (int i = 0; i + 1 < S::kDepth; ++i) {
          next[i][tall] = next[i + 1][tall];
          LR_UNROLL
          for (int half = 0; half < 2; ++half) scales[i][tall][half] = scales[i + 1][tall][half];
        }
      }
      ask(at + S::kDepth, S::kDepth - 1);
      add_tokens<storage, tiles>(sums, open, stage_of(at), tokens);
    }
  }
  copy_wait<0>();
  barrier();  // shared memory is free

  // A group has the sum of its last range in `sums`, and those of the ranges before in `totals`. Every other one of four gives both to the one before.
  const auto exchanged = [&](int giver, int i) { return shared_at<float>(0) + (giver * S::kSums + i) * S::kGroupThreads + thread_index() % S::kGroupThreads; };
  if constexpr (S::kGroups == 4) {
    if (group % 2 == 1) each_sum([&](int i, float& total, float& sum) {
      *exchanged(group - 1, i) = total;
      *exchanged(group, i) = sum;
    });
    barrier();
    if (group % 2 == 0) each_sum([&](int i, float& total, float& sum) { sum = ((total + sum) + *exchanged(group, i)) + *exchanged(group + 1, i); });
    barrier();
  } else {
    each_sum([&](int, float& total, float& sum) { sum = total + sum; });
  }
  if (group == S::kGroups / 2) each_sum([&](int i, float&, float& sum) { *exchanged(0, i) = sum; });
  barrier();
  if (group > 0) return;
  LR_UNROLL
  for (int tall = 0; tall < kTall; ++tall) {
    LR_UNROLL
    for (int tile = 0; tile < tiles; ++tile) {
      LR_UNROLL
      for (int i = 0; i < 4; ++i)
        store_sum(o, int64_t{first_token} + tile * kTokens + lane_index() % 4 * 2 + i % 2, first_row + tall * kRows + lane_index() / 4 + i / 2 * 8,
                  sums[tall][tile][i] + *exchanged(0, (tall * tiles + tile) * 4 + i));
    }
  }
}

template <Storage storage, int tiles, int kMembers>
void launch_many(const Run& run, const Operands& o) {
  using S = Shape<storage, tiles, kMembers>;
  // Tokens first: blocks with the same rows of the weight run at the same time, and only one of them waits for memory.
  launch(run, multiply_many<storage, tiles, kMembers>, {ceil_div(o.T, S::kMost), ceil_div(o.w.rows, S::kTileRows)}, kThreads, S::kBytes, o);
}

template <Storage storage, int tiles>
void launch_tiles(const Run& run, const Operands& o) {
  constexpr int64_t kEnough = 96;  // blocks for the multiprocessors of a large GPU: larger ones read less
  using Large = Shape<storage, tiles, 4>;
  if (ceil_div(o.T, Large::kMost) * ceil_div(o.w.rows, Large::kTileRows) >= kEnough) return launch_many<storage, tiles, 4>(run, o);
  launch_many<storage, tiles, 2>(run, o);
}

}  // namespace

void product_many(const Run& run, const Operands& o) {
  with_storage(o.w.storage, [&]<Storage storage>() {
    if (o.T <= 4 * kTokens) return launch_tiles<storage, 4>(run, o);
    launch_tiles<storage, 8>(run, o);
  });
}

}  // namespace lr::cuda::few
