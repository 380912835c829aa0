#include <bit>

#include "attention_bf16.h"
#include "attention_decode.h"

namespace lr::cuda {
namespace {

struct Forward {
  Attention a;
  const float* q;
  KeyMemory keys;
  const AttentionTile* tiles;
  OperandOut o;
  float* lse;  // may be null
};

// A tile of queries of one head, over all tiles of keys that one of them sees, with a running maximum and sum.
template <typename Shape>
LR_KERNEL(kAttentionThreads) attend(Forward f) {
  const AttentionTile tile = f.tiles[block_x()];
  const int64_t D = f.a.D, head = block_y(), key_head = head / (f.a.Hq / f.a.Hkv);
  auto* queries = shared_at<float>(0);
  auto* others = queries + Shape::tile_floats(D);  // keys, then values
  const int row = thread_index() / Shape::kLanes, lane = thread_index() % Shape::kLanes;
  auto* weights = others + Shape::tile_floats(D) + row * Shape::kScoreStride;
  const int64_t position = int64_t{tile.past} + tile.first + row, last = position - row + tile.count - 1;
  const int64_t first_seen = first_key(f.a, position);
  load_attention_tile<Shape::kTile>(queries, f.q, D, tile.count, [&](int i) { return (int64_t{tile.begin} + tile.first + i) * f.a.Hq + head; });

  float own[Shape::kOwn] = {};
  float largest = -INFINITY, total = 0;
  for (int64_t key = first_key(f.a, position - row) / Shape::kTile * Shape::kTile; key <= last; key += Shape::kTile) {
    const int keys = static_cast<int>(last + 1 - key < Shape::kTile ? last + 1 - key : Shape::kTile);
    const auto key_row = [&](int i) { return f.keys.row(tile, key + i) * f.a.Hkv + key_head; };
    load_attention_tile<Shape::kTile>(others, f.keys.k, D, keys, key_row);
    barrier();
    float scores[Shape::kScores] = {};
    tile_products<Shape>(queries + row * (D + 1), others, lane, D, scores);
    float best = -INFINITY;
    LR_UNROLL
    for (int j = 0; j < Shape::kScores; ++j) {
      const int64_t at = key + lane + Shape::kLanes * j;
      float slope;
      scores[j] = at >= first_seen && at <= position && row < tile.count ? capped(f.a, scores[j], slope) : -INFINITY;
      best = Max::join(best, scores[j]);
    }
    const float next = Max::join(largest, row_reduce<Max, Shape::kLanes>(best));
    // A row that has seen no key yet has nothing to rescale.
    const float rescale = largest == -INFINITY ? 0.0f : expf(largest - next);
    largest = next;
    float sum = 0;
    LR_UNROLL
    for (int j = 0; j < Shape::kScores; ++j) {
      const float weight = scores[j] == -INFINITY ? 0.0f : expf(scores[j] - next);
      weights[lane + Shape::kLanes * j] = weight;
      sum += weight;
    }
    total = total * rescale + sum;
    LR_UNROLL
    for (int c = 0; c < Shape::kOwn; ++c) own[c] *= rescale;
    barrier();  // all are done with the keys
    load_attention_tile<Shape::kTile>(others, f.keys.v, D, keys, key_row);
    barrier();
    add_weighted<Shape>(weights, others, lane, D, own);
    barrier();  // and with the values
  }
  total = row_reduce<Sum, Shape::kLanes>(total);
  if (row >= tile.count) return;
  const int64_t out = (int64_t{tile.begin} + tile.first + row) * f.a.Hq + head;
  LR_UNROLL
  for (int c = 0; c < Shape::kOwn; ++c) {
    const int i = lane + Shape::kLanes * c;
    if (i >= D) continue;
    if (f.o.halves != nullptr) {
      f.o.halves[out / f.a.Hq * f.o.stride + head * D + i] = bf16_bits(own[c] / total);
    } else {
      f.o.floats[out * D + i] = own[c] / total;
    }
  }
  if (lane == 0 && f.lse != nullptr) f.lse[out] = largest + logf(total);
}

constexpr int kKeys = 64;  // of a tile on tensor cores

// As they are given.
struct AttentionInputs {
  Operand q, k, v;
};

struct RoundedForward {
  Attention a;
  const uint16_t *q, *k, *v;  // attention_halves
  int64_t page_tokens;        // of a cache; 0 where keys lie as queries do
  const AttentionTile* tiles;
  OperandOut o;
  float* lse;                 // may be null
};

// The running maximum of products and sum of powers of two of the rows that a lane has elements of.
struct RunningRows {
  float largest[kRowBlocks][2], total[kRowBlocks][2];
};

// Scores become weights, and sums so far are rescaled to the new maximum. Powers are taken of `factor` times a score.
template <int kWidth>
LR_DEVICE void take_weights(WarpWeights<kKeys>& weights, WarpSums<kKeys>& scores, WarpSums<kWidth>& own, RunningRows& rows, float factor) {
  LR_UNROLL
  for (int i = 0; i < kRowBlocks; ++i) {
    LR_UNROLL
    for (int half = 0; half < 2; ++half) {
      float next = rows.largest[i][half];
      float best = -INFINITY, sum = 0;
      LR_UNROLL
      for (int block = 0; block < kKeys / 8; ++block) best = Max::join(best, Max::join(scores[i][block][2 * half], scores[i][block][2 * half + 1]));
      next = Max::join(next, row_reduce<Max, 4>(best));
      // A row that has seen no key yet has nothing to rescale.
      const float base = next == -INFINITY ? 0.0f : next * factor;
      // Where the maximum stays the product is the same, so the power is 1: tiles that a row sees nothing of change nothing.
      const float rescale = power_of_two(rows.largest[i][half] * factor - base);
      rows.largest[i][half] = next;
      LR_UNROLL
      for (int block = 0; block < kKeys / 8; ++block) {
        LR_UNROLL
        for (int part = 2 * half; part < 2 * half + 2; ++part) {
          scores[i][block][part] = power_of_two(fused(scores[i][block][part], factor, -base));
          sum += scores[i][block][part];
        }
      }
      rows.total[i][half] = fused(rows.total[i][half], rescale, sum);
      LR_UNROLL
      for (int block = 0; block < kWidth / 8; ++block) {
        own[i][block][2 * half] *= rescale;
        own[i][block][2 * half + 1] *= rescale;
      }
    }
  }
  for_each_weight<kKeys>(weights, [&](uint32_t& weight, int i, int block, int half) {
    weight = bf16_pair(scores[i][block][2 * half], scores[i][block][2 * half + 1]);
  });
}

// The same on tensor cores. Keys of the next tile come while this one's values are used, values while its scores are taken.
template <int kWidth>
LR_KERNEL_SHARING(kAttentionThreads, 2) attend_bf16(RoundedForward f) {
  using Shape = Bf16Shape<kWidth>;
  constexpr int queries = 0, keys = Shape::tile_bytes(kOwnRows), values = keys + Shape::tile_bytes(kKeys);  // in shared memory
  const int heads = static_cast<int>(f.a.Hq), key_heads = static_cast<int>(f.a.Hkv);
  const AttentionTile tile = f.tiles[block_x() / heads];
  const int head = static_cast<int>(block_x() % heads), key_head = head / (heads / key_heads);
  const int query_row = (tile.begin + tile.first) * heads + head;
  const int first_key_row = (f.page_tokens > 0 ? tile.pages * static_cast<int>(f.page_tokens) : tile.begin) * key_heads + key_head;
  const int window = window_of(f.a), first_position = tile.past + tile.first, end = first_position + tile.count;
  const int first_row = warp_index() * kWarpRows, low = first_position + first_row, high = low + kWarpRows - 1;
  const float factor = score_factor(f.a) * kLog2E;

  int key = first_position >= window ? (first_position + 1 - window) / kKeys * kKeys : 0;
  const auto load_keys = [&](int at, const uint16_t* from, int first) {
    load_tile<kWidth, kKeys>(at, from + int64_t{first_key_row + first * key_heads} * kWidth, key_heads * kWidth, end - first);
    copy_commit();
  };
  load_tile<kWidth, kOwnRows>(queries, f.q + int64_t{query_row} * kWidth, heads * kWidth, tile.count);
  load_keys(keys, f.k, key);

  WarpSums<kWidth> own = {};
  RunningRows rows = {};
  LR_UNROLL
  for (int i = 0; i < kRowBlocks; ++i) rows.largest[i][0] = rows.largest[i][1] = -INFINITY;
  for (; key < end; key += kKeys) {
    const bool sees = first_row < tile.count && key <= high && key + kKeys > low + 1 - window;
    const bool sees_all = key + kKeys - 1 <= low && key > high - window;
    WarpWeights<kKeys> weights;
    copy_wait<0>();
    barrier();  // the keys are there, and all are done with the values before
    load_keys(values, f.v, key);
    if (sees) {
      WarpSums<kKeys> scores = {};
      multiply_rows<kWidth, kKeys>(scores, queries, first_row, keys);
      cap_products(scores, f.a);
      if (!sees_all) {
        const int first = key - low + lane_offset();
        hide_unseen(scores, window, [&](int i, int block, int part) { return first + element_offset(i, block, part); });
      }
      take_weights<kWidth>(weights, scores, own, rows, factor);
    }
    copy_wait<0>();
    barrier();  // the values are there, and all are done with the keys
    if (key + kKeys < end) load_keys(keys, f.k, key + kKeys);
    if (sees) multiply_columns<kWidth, kKeys>(own, weights, values);
  }

  float factors[kRowBlocks][2];
  LR_UNROLL
  for (int i = 0; i < kRowBlocks; ++i) {
    LR_UNROLL
    for (int half = 0; half < 2; ++half) {
      const float total = row_reduce<Sum, 4>(rows.total[i][half]);
      factors[i][half] = 1 / total;
      const int row = first_row + fragment_row(i, 2 * half);
      if (f.lse == nullptr || row >= tile.count || lane_index() % 4 != 0) continue;
      f.lse[query_row + row * heads] = rows.largest[i][half] * score_factor(f.a) + logf(total);
    }
  }
  if (f.o.halves != nullptr) {
    uint16_t* to = f.o.halves + (tile.begin + tile.first) * f.o.stride + head * f.a.D;
    store_rows<kWidth>(to, f.o.stride, own, f.a.D, first_row, tile.count, factors);
  } else {
    store_rows<kWidth>(f.o.floats + query_row * f.a.D, f.a.Hq * f.a.D, own, f.a.D, first_row, tile.count, factors);
  }
}

// Sets the tiles of so many rows on the device, and for a cache the tables of pages.
struct Placed {
  int64_t tiles, pages;
};
Placed place_tiles(const Run& run, Forward& f, Moment& moment, int rows, const int32_t* starts, int64_t n_sequences,
                   const PagedSequence* sequences) {
  std::vector<AttentionTile> tiles = attention_tiles(starts, n_sequences, rows);
  std::vector<int32_t> pages;
  if (sequences != nullptr) {
    size_t tile = 0;
    for (int64_t s = 0; s < n_sequences; ++s) {
      const int64_t length = starts[s + 1] - starts[s], total = sequences[s].past + length;
      const auto table = static_cast<int32_t>(pages.size());
      pages.insert(pages.end(), sequences[s].pages, sequences[s].pages + ceil_div(total, f.keys.page_tokens));
      for (; tile < tiles.size() && tiles[tile].begin == starts[s]; ++tile) {
        tiles[tile].past = static_cast<int32_t>(sequences[s].past);
        tiles[tile].pages = table;
      }
    }
    // While sequences grow by a token each, what is started stays the same for as long as their tables fit.
    if (run.decoding) pages.resize(std::bit_ceil(pages.size()));
    f.keys.pages = moment.upload(run, pages.data(), static_cast<int64_t>(pages.size()));
  }
  heaviest_first(tiles, [](const AttentionTile& tile) { return tile.past + tile.first + tile.count; });
  f.tiles = moment.upload(run, tiles.data(), static_cast<int64_t>(tiles.size()));
  return {static_cast<int64_t>(tiles.size()), static_cast<int64_t>(pages.size())};
}

// Keys of a cache are gathered from their pages as they are rounded: for a tile all keys of a sequence lie in one piece.
void attend_rounded(const Run& run, Forward f, const AttentionInputs& inputs, Moment& moment, const int32_t* starts, int64_t n_sequences,
                    const PagedSequence* sequences) {
  const Placed placed = place_tiles(run, f, moment, kOwnRows, starts, n_sequences, sequences);
  const int64_t T = starts[n_sequences], page_tokens = sequences == nullptr ? 0 : f.keys.page_tokens;
  const int64_t key_rows = (sequences == nullptr ? T : placed.pages * page_tokens) * f.a.Hkv;
  const PageTable pages = {f.keys.pages, page_tokens * f.a.Hkv};
  const auto halves = [&](const Operand& from, int64_t rows, int64_t heads, const PageTable& table) {
    return attention_halves(run, moment, f.a, from, rows, heads, table);
  };
  const RoundedForward rounded = {f.a, halves(inputs.q, T * f.a.Hq, f.a.Hq, {}), halves(inputs.k, key_rows, f.a.Hkv, pages),
                                  halves(inputs.v, key_rows, f.a.Hkv, pages), page_tokens, f.tiles, f.o, f.lse};
  const int64_t shared = int64_t{kOwnRows + 2 * kKeys} * bf16_width(f.a) * 2;
  launch(run, f.a.D <= 64 ? attend_bf16<64> : attend_bf16<128>, {placed.tiles * f.a.Hq}, kAttentionThreads, shared, rounded);
}

void attend_all(const Run& run, const Attention& a, const AttentionInputs& inputs, int64_t page_tokens, const int32_t* starts, int64_t n_sequences,
                const PagedSequence* sequences, OperandOut o, float* lse) {
  Moment moment(run);
  Forward f = {a, inputs.q.floats, {inputs.k.floats, inputs.v.floats, nullptr, page_tokens}, nullptr, o, lse};
  if (uses_bf16_attention(run, a)) return attend_rounded(run, f, inputs, moment, starts, n_sequences, sequences);
  with_attention_shape(f.a.D, [&]<typename Shape>(Shape) {
    const int64_t tiles = place_tiles(run, f, moment, Shape::kTile, starts, n_sequences, sequences).tiles;
    const int64_t shared = (2 * Shape::tile_floats(f.a.D) + Shape::kScoreFloats) * static_cast<int64_t>(sizeof(float));
    launch(run, attend<Shape>, {tiles, f.a.Hq}, kAttentionThreads, shared, f);
  });
}

}  // namespace

void attention_forward(const Run& run, const Attention& a, Operand q, Operand k, Operand v, const int32_t* starts, int64_t n_sequences, OperandOut o,
                       float* lse) {
  attend_all(run, a, {q, k, v}, 0, starts, n_sequences, nullptr, o, lse);
}

void attention_cached(const Run& run, const Attention& a, const float* q, const PagedKeys& cache, const PagedSequence* sequences,
                      const int32_t* starts, int64_t n_sequences, OperandOut o) {
  if (run.decoding && suits_decode(a)) return attention_decode(run, a, q, cache, sequences, n_sequences, o.floats);
  attend_all(run, a, {q, cache.k, cache.v}, cache.page_tokens, starts, n_sequences, sequences, o, nullptr);
}

}  // namespace lr::cuda
