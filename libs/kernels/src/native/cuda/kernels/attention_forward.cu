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
  float *o, *lse;  // lse may be null
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
    if (i < D) f.o[out * D + i] = own[c] / total;
  }
  if (lane == 0 && f.lse != nullptr) f.lse[out] = largest + logf(total);
}

constexpr int kKeys = 64;  // of a tile on tensor cores

// The same on tensor cores: 64 queries a block, 16 a warp.
template <int kWidth>
LR_KERNEL(kAttentionThreads) attend_bf16(Forward f) {
  using Shape = Bf16Shape<kWidth>;
  const AttentionTile tile = f.tiles[block_x()];
  const int64_t D = f.a.D, head = block_y(), key_head = head / (f.a.Hq / f.a.Hkv);
  const int64_t queries = 0, keys = Shape::tile_bytes(kOwnRows), values = keys + Shape::tile_bytes(kKeys);  // in shared memory
  const int first_row = warp_index() * kWarpRows;
  const int64_t first_position = int64_t{tile.past} + tile.first, last = first_position + tile.count - 1;
  const auto query_row = [&](int i) { return (int64_t{tile.begin} + tile.first + i) * f.a.Hq + head; };
  load_bf16_tile<kWidth, kOwnRows>(queries, f.q, D, tile.count, query_row);

  float own[kWidth / 8][4] = {};
  float largest[2] = {-INFINITY, -INFINITY}, total[2] = {};  // of the two rows that a lane has elements of
  for (int64_t key = first_key(f.a, first_position) / kKeys * kKeys; key <= last; key += kKeys) {
    const int count = static_cast<int>(last + 1 - key < kKeys ? last + 1 - key : kKeys);
    const auto key_row = [&](int i) { return f.keys.row(tile, key + i) * f.a.Hkv + key_head; };
    load_bf16_tile<kWidth, kKeys>(keys, f.keys.k, D, count, key_row);
    load_bf16_tile<kWidth, kKeys>(values, f.keys.v, D, count, key_row);
    barrier();
    float scores[kKeys / 8][4] = {};
    multiply_rows<kWidth>(scores, queries, first_row, keys);
    float best[2] = {-INFINITY, -INFINITY};
    LR_UNROLL
    for (int block = 0; block < kKeys / 8; ++block) {
      LR_UNROLL
      for (int part = 0; part < 4; ++part) {
        const int row = first_row + fragment_row(part);
        const int64_t position = first_position + row, at = key + fragment_column(block, part);
        float slope;
        const bool seen = row < tile.count && at <= position && at >= first_key(f.a, position);
        scores[block][part] = seen ? capped(f.a, scores[block][part], slope) : -INFINITY;
        best[part / 2] = Max::join(best[part / 2], scores[block][part]);
      }
    }
    float rescale[2];
    LR_UNROLL
    for (int half = 0; half < 2; ++half) {
      const float next = Max::join(largest[half], row_reduce<Max, 4>(best[half]));
      rescale[half] = largest[half] == -INFINITY ? 0.0f : expf(largest[half] - next);
      largest[half] = next;
      total[half] *= rescale[half];
    }
    LR_UNROLL
    for (int block = 0; block < kKeys / 8; ++block) {
      LR_UNROLL
      for (int part = 0; part < 4; ++part) {
        const float score = scores[block][part];
        scores[block][part] = score == -INFINITY ? 0.0f : expf(score - largest[part / 2]);
        total[part / 2] += scores[block][part];
      }
    }
    LR_UNROLL
    for (int block = 0; block < kWidth / 8; ++block) {
      LR_UNROLL
      for (int part = 0; part < 4; ++part) own[block][part] *= rescale[part / 2];
    }
    multiply_columns<kWidth>(own, scores, values);
    barrier();  // all are done with the tile
  }
  LR_UNROLL
  for (int half = 0; half < 2; ++half) {
    total[half] = row_reduce<Sum, 4>(total[half]);
    const int row = first_row + fragment_row(2 * half);
    if (row < tile.count && lane_index() % 4 == 0 && f.lse != nullptr) f.lse[query_row(row)] = largest[half] + logf(total[half]);
  }
  LR_UNROLL
  for (int block = 0; block < kWidth / 8; ++block) {
    LR_UNROLL
    for (int part = 0; part < 4; ++part) own[block][part] /= total[part / 2];
  }
  store_fragments<kWidth>(f.o, own, D, first_row, tile.count, query_row);
}

// Sets the tiles of so many rows on the device, and for a cache the tables of pages; returns how many tiles there are.
int64_t place_tiles(const Run& run, Forward& f, Moment& moment, int rows, const int32_t* starts, int64_t n_sequences,
                    const PagedSequence* sequences) {
  std::vector<AttentionTile> tiles = attention_tiles(starts, n_sequences, rows);
  if (sequences != nullptr) {
    std::vector<int32_t> pages;
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
  f.tiles = moment.upload(run, tiles.data(), static_cast<int64_t>(tiles.size()));
  return static_cast<int64_t>(tiles.size());
}

template <int kWidth>
void launch_bf16(const Run& run, const Forward& f, int64_t tiles) {
  using Shape = Bf16Shape<kWidth>;
  launch(run, attend_bf16<kWidth>, {tiles, f.a.Hq}, kAttentionThreads, Shape::tile_bytes(kOwnRows) + 2 * Shape::tile_bytes(kKeys), f);
}

void attend_all(const Run& run, Forward f, const int32_t* starts, int64_t n_sequences, const PagedSequence* sequences) {
  Moment moment(run);
  if (uses_bf16_attention(run, f.a)) {
    const int64_t tiles = place_tiles(run, f, moment, kOwnRows, starts, n_sequences, sequences);
    return f.a.D <= 64 ? launch_bf16<64>(run, f, tiles) : launch_bf16<128>(run, f, tiles);
  }
  with_attention_shape(f.a.D, [&]<typename Shape>(Shape) {
    const int64_t tiles = place_tiles(run, f, moment, Shape::kTile, starts, n_sequences, sequences);
    const int64_t shared = (2 * Shape::tile_floats(f.a.D) + Shape::kScoreFloats) * static_cast<int64_t>(sizeof(float));
    launch(run, attend<Shape>, {tiles, f.a.Hq}, kAttentionThreads, shared, f);
  });
}

}  // namespace

void attention_forward(const Run& run, const Attention& a, const float* q, const float* k, const float* v, const int32_t* starts,
                       int64_t n_sequences, float* o, float* lse) {
  attend_all(run, {a, q, {k, v, nullptr, 0}, nullptr, o, lse}, starts, n_sequences, nullptr);
}

void attention_cached(const Run& run, const Attention& a, const float* q, const PagedKeys& cache, const PagedSequence* sequences,
                      const int32_t* starts, int64_t n_sequences, float* o) {
  if (run.decoding && suits_decode(a)) return attention_decode(run, a, q, cache, sequences, n_sequences, o);
  attend_all(run, {a, q, {cache.k, cache.v, nullptr, cache.page_tokens}, nullptr, o, nullptr}, starts, n_sequences, sequences);
}

}  // namespace lr::cuda
