// With p the probabilities and delta = dout · o: dv += p · dout, ds = p · (dout · v - delta), dq += ds · k, dk += ds · q. One kernel
// owns tiles of queries, another tiles of keys: probabilities are computed twice, and nothing is added to from two places.
#include "attention_bf16.h"

namespace lr::cuda {
namespace {

struct Backward {
  Attention a;
  const float *dout, *q, *k, *v, *lse, *delta;
  const AttentionTile* tiles;
  float *dq, *dk, *dv;
};

// delta[rows] = dout · o, a warp a row.
LR_KERNEL(kAttentionThreads) row_products(const float* dout, const float* o, float* delta, int64_t rows, int64_t D) {
  const int64_t row = block_x() * (kAttentionThreads / 32) + warp_index();
  float sum = 0;
  for (int64_t i = lane_index(); i < D && row < rows; i += 32) sum = fused(dout[row * D + i], o[row * D + i], sum);
  sum = warp_reduce<Sum>(sum);
  if (lane_index() == 0 && row < rows) delta[row] = sum;
}

// The gradient of the score of one query and key before scaling, and their probability.
struct ScoreGradient {
  float p, ds;
};
LR_DEVICE ScoreGradient score_gradient(const Attention& a, float product, float dp, float lse, float delta) {
  float slope;
  const float p = expf(capped(a, product, slope) - lse);
  return {p, p * (dp - delta) * slope * a.scale};
}

// A tile of queries of one head over its keys: dq.
template <typename Shape>
LR_KERNEL(kAttentionThreads) query_gradients(Backward b) {
  const AttentionTile tile = b.tiles[block_x()];
  const int64_t D = b.a.D, head = block_y(), key_head = head / (b.a.Hq / b.a.Hkv), floats = Shape::tile_floats(D);
  auto* queries = shared_at<float>(0);
  auto *gradients = queries + floats, *keys = gradients + floats, *values = keys + floats;
  const int row = thread_index() / Shape::kLanes, lane = thread_index() % Shape::kLanes;
  auto* weights = values + floats + row * Shape::kScoreStride;
  const int64_t position = int64_t{tile.first} + row, last = int64_t{tile.first} + tile.count - 1;
  const auto query_row = [&](int i) { return (int64_t{tile.begin} + tile.first + i) * b.a.Hq + head; };
  load_attention_tile<Shape::kTile>(queries, b.q, D, tile.count, query_row);
  load_attention_tile<Shape::kTile>(gradients, b.dout, D, tile.count, query_row);
  const bool there = row < tile.count;
  const float lse = there ? b.lse[query_row(row)] : 0, delta = there ? b.delta[query_row(row)] : 0;

  float own[Shape::kOwn] = {};
  for (int64_t key = first_key(b.a, tile.first) / Shape::kTile * Shape::kTile; key <= last; key += Shape::kTile) {
    const int count = static_cast<int>(last + 1 - key < Shape::kTile ? last + 1 - key : Shape::kTile);
    const auto key_row = [&](int i) { return (tile.begin + key + i) * b.a.Hkv + key_head; };
    load_attention_tile<Shape::kTile>(keys, b.k, D, count, key_row);
    load_attention_tile<Shape::kTile>(values, b.v, D, count, key_row);
    barrier();
    float products[Shape::kScores] = {}, dp[Shape::kScores] = {};
    tile_products<Shape>(queries + row * (D + 1), keys, lane, D, products);
    tile_products<Shape>(gradients + row * (D + 1), values, lane, D, dp);
    LR_UNROLL
    for (int j = 0; j < Shape::kScores; ++j) {
      const int64_t at = key + lane + Shape::kLanes * j;
      const bool seen = there && at >= first_key(b.a, position) && at <= position;
      weights[lane + Shape::kLanes * j] = seen ? score_gradient(b.a, products[j], dp[j], lse, delta).ds : 0.0f;
    }
    barrier();
    add_weighted<Shape>(weights, keys, lane, D, own);
    barrier();
  }
  if (!there) return;
  LR_UNROLL
  for (int c = 0; c < Shape::kOwn; ++c) {
    const int i = lane + Shape::kLanes * c;
    if (i < D) b.dq[query_row(row) * D + i] = own[c];
  }
}

// A tile of keys of one key head over the queries that see it, head after head: dk and dv.
template <typename Shape>
LR_KERNEL(kAttentionThreads) key_gradients(Backward b) {
  const AttentionTile tile = b.tiles[block_x()];
  const int64_t D = b.a.D, key_head = block_y(), group = b.a.Hq / b.a.Hkv, floats = Shape::tile_floats(D);
  auto* keys = shared_at<float>(0);
  auto *values = keys + floats, *queries = values + floats, *gradients = queries + floats;
  const int row = thread_index() / Shape::kLanes, lane = thread_index() % Shape::kLanes;
  auto* p_weights = gradients + floats + row * Shape::kScoreStride;
  auto* ds_weights = p_weights + Shape::kScoreFloats;
  auto* lse = gradients + floats + 2 * Shape::kScoreFloats;
  auto* delta = lse + Shape::kTile;
  const int64_t position = int64_t{tile.first} + row;
  const auto key_row = [&](int i) { return (int64_t{tile.begin} + tile.first + i) * b.a.Hkv + key_head; };
  load_attention_tile<Shape::kTile>(keys, b.k, D, tile.count, key_row);
  load_attention_tile<Shape::kTile>(values, b.v, D, tile.count, key_row);
  const int64_t last_key = int64_t{tile.first} + tile.count - 1;
  const int64_t end = b.a.window > 0 && last_key + b.a.window < tile.length ? last_key + b.a.window : tile.length;

  float dk[Shape::kOwn] = {}, dv[Shape::kOwn] = {};
  for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head) {
    for (int64_t query = tile.first; query < end; query += Shape::kTile) {
      const int count = static_cast<int>(end - query < Shape::kTile ? end - query : Shape::kTile);
      const auto query_row = [&](int i) { return (tile.begin + query + i) * b.a.Hq + head; };
      load_attention_tile<Shape::kTile>(queries, b.q, D, count, query_row);
      load_attention_tile<Shape::kTile>(gradients, b.dout, D, count, query_row);
      if (thread_index() < count) {
        lse[thread_index()] = b.lse[query_row(thread_index())];
        delta[thread_index()] = b.delta[query_row(thread_index())];
      }
      barrier();
      float products[Shape::kScores] = {}, dp[Shape::kScores] = {};
      tile_products<Shape>(keys + row * (D + 1), queries, lane, D, products);
      tile_products<Shape>(values + row * (D + 1), gradients, lane, D, dp);
      LR_UNROLL
      for (int j = 0; j < Shape::kScores; ++j) {
        const int col = lane + Shape::kLanes * j;
        const int64_t at = query + col;
        const bool seen = row < tile.count && col < count && position >= first_key(b.a, at) && position <= at;
        const ScoreGradient s = seen ? score_gradient(b.a, products[j], dp[j], lse[col], delta[col]) : ScoreGradient{0, 0};
        p_weights[col] = s.p;
        ds_weights[col] = s.ds;
      }
      barrier();
      add_weighted<Shape>(ds_weights, queries, lane, D, dk);
      add_weighted<Shape>(p_weights, gradients, lane, D, dv);
      barrier();
    }
  }
  if (row >= tile.count) return;
  LR_UNROLL
  for (int c = 0; c < Shape::kOwn; ++c) {
    const int i = lane + Shape::kLanes * c;
    if (i >= D) continue;
    b.dk[key_row(row) * D + i] = dk[c];
    b.dv[key_row(row) * D + i] = dv[c];
  }
}

constexpr int kOthers = 32;  // rows of the other side's tiles on tensor cores: sums and scores of a warp stay in registers

// The same on tensor cores: 64 rows a block, 16 a warp.
template <int kWidth>
LR_KERNEL(kAttentionThreads) query_gradients_bf16(Backward b) {
  using Shape = Bf16Shape<kWidth>;
  const AttentionTile tile = b.tiles[block_x()];
  const int64_t D = b.a.D, head = block_y(), key_head = head / (b.a.Hq / b.a.Hkv);
  const int64_t queries = 0, gradients = Shape::tile_bytes(kOwnRows), keys = 2 * gradients, values = keys + Shape::tile_bytes(kOthers);
  const int first_row = warp_index() * kWarpRows;
  const int64_t last = int64_t{tile.first} + tile.count - 1;
  const auto query_row = [&](int i) { return (int64_t{tile.begin} + tile.first + i) * b.a.Hq + head; };
  load_bf16_tile<kWidth, kOwnRows>(queries, b.q, D, tile.count, query_row);
  load_bf16_tile<kWidth, kOwnRows>(gradients, b.dout, D, tile.count, query_row);
  float lse[2] = {}, delta[2] = {};
  LR_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = first_row + fragment_row(2 * half);
    if (row >= tile.count) continue;
    lse[half] = b.lse[query_row(row)];
    delta[half] = b.delta[query_row(row)];
  }

  float own[kWidth / 8][4] = {};
  for (int64_t key = first_key(b.a, tile.first) / kOthers * kOthers; key <= last; key += kOthers) {
    const int count = static_cast<int>(last + 1 - key < kOthers ? last + 1 - key : kOthers);
    const auto key_row = [&](int i) { return (tile.begin + key + i) * b.a.Hkv + key_head; };
    load_bf16_tile<kWidth, kOthers>(keys, b.k, D, count, key_row);
    load_bf16_tile<kWidth, kOthers>(values, b.v, D, count, key_row);
    barrier();
    float scores[kOthers / 8][4] = {}, dp[kOthers / 8][4] = {};
    multiply_rows<kWidth>(scores, queries, first_row, keys);
    multiply_rows<kWidth>(dp, gradients, first_row, values);
    LR_UNROLL
    for (int block = 0; block < kOthers / 8; ++block) {
      LR_UNROLL
      for (int part = 0; part < 4; ++part) {
        const int row = first_row + fragment_row(part);
        const int64_t position = int64_t{tile.first} + row, at = key + fragment_column(block, part);
        const bool seen = row < tile.count && at <= position && at >= first_key(b.a, position);
        scores[block][part] = seen ? score_gradient(b.a, scores[block][part], dp[block][part], lse[part / 2], delta[part / 2]).ds : 0.0f;
      }
    }
    multiply_columns<kWidth>(own, scores, keys);
    barrier();
  }
  store_fragments<kWidth>(b.dq, own, D, first_row, tile.count, query_row);
}

template <int kWidth>
LR_KERNEL(kAttentionThreads) key_gradients_bf16(Backward b) {
  using Shape = Bf16Shape<kWidth>;
  const AttentionTile tile = b.tiles[block_x()];
  const int64_t D = b.a.D, key_head = block_y(), group = b.a.Hq / b.a.Hkv;
  const int64_t keys = 0, values = Shape::tile_bytes(kOwnRows), queries = 2 * values, gradients = queries + Shape::tile_bytes(kOthers);
  auto* lse = shared_at<float>(gradients + Shape::tile_bytes(kOthers));
  auto* delta = lse + kOthers;
  const int first_row = warp_index() * kWarpRows;
  const auto key_row = [&](int i) { return (int64_t{tile.begin} + tile.first + i) * b.a.Hkv + key_head; };
  load_bf16_tile<kWidth, kOwnRows>(keys, b.k, D, tile.count, key_row);
  load_bf16_tile<kWidth, kOwnRows>(values, b.v, D, tile.count, key_row);
  const int64_t last_key = int64_t{tile.first} + tile.count - 1;
  const int64_t end = b.a.window > 0 && last_key + b.a.window < tile.length ? last_key + b.a.window : tile.length;

  float dk[kWidth / 8][4] = {}, dv[kWidth / 8][4] = {};
  for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head) {
    for (int64_t query = tile.first; query < end; query += kOthers) {
      const int count = static_cast<int>(end - query < kOthers ? end - query : kOthers);
      const auto query_row = [&](int i) { return (tile.begin + query + i) * b.a.Hq + head; };
      load_bf16_tile<kWidth, kOthers>(queries, b.q, D, count, query_row);
      load_bf16_tile<kWidth, kOthers>(gradients, b.dout, D, count, query_row);
      if (thread_index() < count) {
        lse[thread_index()] = b.lse[query_row(thread_index())];
        delta[thread_index()] = b.delta[query_row(thread_index())];
      }
      barrier();
      float p[kOthers / 8][4] = {}, ds[kOthers / 8][4] = {};
      multiply_rows<kWidth>(p, keys, first_row, queries);
      multiply_rows<kWidth>(ds, values, first_row, gradients);
      LR_UNROLL
      for (int block = 0; block < kOthers / 8; ++block) {
        LR_UNROLL
        for (int part = 0; part < 4; ++part) {
          const int row = first_row + fragment_row(part), column = fragment_column(block, part);
          const int64_t position = int64_t{tile.first} + row, at = query + column;
          const bool seen = row < tile.count && column < count && position <= at && position >= first_key(b.a, at);
          const ScoreGradient s =
              seen ? score_gradient(b.a, p[block][part], ds[block][part], lse[column], delta[column]) : ScoreGradient{0, 0};
          p[block][part] = s.p;
          ds[block][part] = s.ds;
        }
      }
      multiply_columns<kWidth>(dk, ds, queries);
      multiply_columns<kWidth>(dv, p, gradients);
      barrier();
    }
  }
  store_fragments<kWidth>(b.dk, dk, D, first_row, tile.count, key_row);
  store_fragments<kWidth>(b.dv, dv, D, first_row, tile.count, key_row);
}

template <int kWidth>
void launch_bf16(const Run& run, const Backward& b, int64_t tiles) {
  using Shape = Bf16Shape<kWidth>;
  const int64_t shared = 2 * Shape::tile_bytes(kOwnRows) + 2 * Shape::tile_bytes(kOthers) + 2 * kOthers * static_cast<int64_t>(sizeof(float));
  launch(run, query_gradients_bf16<kWidth>, {tiles, b.a.Hq}, kAttentionThreads, shared, b);
  launch(run, key_gradients_bf16<kWidth>, {tiles, b.a.Hkv}, kAttentionThreads, shared, b);
}

}  // namespace

void attention_backward(const Run& run, const Attention& a, const float* dout, const float* q, const float* k, const float* v,
                        const float* o, const float* lse, const int32_t* starts, int64_t n_sequences, float* dq, float* dk,
                        float* dv) {
  Moment moment(run);
  const int64_t rows = starts[n_sequences] * a.Hq;
  auto* delta = moment.take<float>(rows);
  launch(run, row_products, {ceil_div(rows, kAttentionThreads / 32)}, kAttentionThreads, 0, dout, o, delta, rows, a.D);
  Backward b = {a, dout, q, k, v, lse, delta, nullptr, dq, dk, dv};
  const auto place_tiles = [&](int tile_rows) {
    const std::vector<AttentionTile> tiles = attention_tiles(starts, n_sequences, tile_rows);
    b.tiles = moment.upload(run, tiles.data(), static_cast<int64_t>(tiles.size()));
    return static_cast<int64_t>(tiles.size());
  };
  if (uses_bf16_attention(run, a)) {
    const int64_t tiles = place_tiles(kOwnRows);
    return a.D <= 64 ? launch_bf16<64>(run, b, tiles) : launch_bf16<128>(run, b, tiles);
  }
  with_attention_shape(a.D, [&]<typename Shape>(Shape) {
    const int64_t tiles = place_tiles(Shape::kTile);
    const int64_t floats = 4 * Shape::tile_floats(a.D) + 2 * Shape::kScoreFloats + 2 * Shape::kTile;
    launch(run, query_gradients<Shape>, {tiles, a.Hq}, kAttentionThreads, floats * static_cast<int64_t>(sizeof(float)), b);
    launch(run, key_gradients<Shape>, {tiles, a.Hkv}, kAttentionThreads, floats * static_cast<int64_t>(sizeof(float)), b);
  });
}

}  // namespace lr::cuda
