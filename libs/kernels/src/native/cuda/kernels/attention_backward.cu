// With p the probabilities and delta = dout · o: dv += p · dout, ds = p · (dout · v - delta), dq += ds · k, dk += ds · q. One kernel
// owns tiles of queries, another tiles of keys: probabilities are computed twice, and nothing is added to from two places.
#include "attention_bf16.h"
#include "operands.h"

namespace lr::cuda {
namespace {

struct Backward {
  Attention a;
  const float *dout, *q, *k, *v, *lse, *delta;
  const AttentionTile* tiles;
  float *dq, *dk, *dv;
};

// delta[rows] = dout · o, a warp a row.
template <typename Element>
LR_KERNEL(kAttentionThreads) row_products(const float* dout, Rows<const Element> o, float* delta, int64_t rows, int64_t heads, int64_t D) {
  const int64_t row = block_x() * (kAttentionThreads / 32) + warp_index();
  float sum = 0;
  const Element* outputs = o.data + row * D + row / heads * o.gap;
  for (int64_t i = lane_index(); i < D && row < rows; i += 32) sum = fused(dout[row * D + i], as_float(outputs[i]), sum);
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

// Behind the last query of a sequence that sees a key of the tile.
LR_DEVICE int query_end(const Attention& a, const AttentionTile& tile) {
  const int64_t end = int64_t{tile.first} + tile.count - 1 + a.window;
  return a.window > 0 && end < tile.length ? static_cast<int>(end) : tile.length;
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
  const int64_t end = query_end(b.a, tile);

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

struct RoundedBackward {
  Attention a;
  const uint16_t *dout, *q, *k, *v;  // gradient_halves, attention_halves
  const float *lse, *delta;
  const AttentionTile* tiles;
  float *dq, *dk, *dv;
  int key_parts = 1;             // that the query heads of a key head are summed in
  float *dk_part = nullptr, *dv_part = nullptr;  // the second part of dk, dv
};

// Rounded probabilities of capped scores, and `sloped`, the same times the slope of the cap. exponent(score, i, block, part) is the power of two that
// an element is.
template <int kColumns, typename Exponent>
LR_DEVICE void take_probabilities(WarpWeights<kColumns>& p, WarpWeights<kColumns>& sloped, const WarpSums<kColumns>& scores, const Attention& a,
                                  const Exponent& exponent) {
  const auto probability = [&](int i, int block, int part) { return power_of_two(exponent(scores[i][block][part], i, block, part)); };
  for_each_weight<kColumns>(p, [&](uint32_t& weight, int i, int block, int half) {
    weight = bf16_pair(probability(i, block, 2 * half), probability(i, block, 2 * half + 1));
  });
  if (a.softcap > 0) {
    // What is not seen has no slope.
    const auto with_slope = [&](int i, int block, int part) {
      const float score = scores[i][block][part];
      return score == -INFINITY ? 0.0f : probability(i, block, part) * cap_slope(a, score);
    };
    for_each_weight<kColumns>(sloped, [&](uint32_t& weight, int i, int block, int half) {
      weight = bf16_pair(with_slope(i, block, 2 * half), with_slope(i, block, 2 * half + 1));
    });
  } else {
    for_each_weight<kColumns>(sloped, [&](uint32_t& weight, int i, int block, int half) { weight = p[i][block / 2][block % 2 * 2 + half]; });
  }
}

// ds = p · (dp - delta) in the place of p, but for the scale; delta_of(i, block, part).
template <int kColumns, typename Delta>
LR_DEVICE void take_score_gradients(WarpWeights<kColumns>& p, const WarpSums<kColumns>& dp, const Delta& delta_of) {
  for_each_weight<kColumns>(p, [&](uint32_t& weight, int i, int block, int half) {
    const float low = float_of_bits(weight << 16), high = float_of_bits(weight & 0xFFFF0000u);
    const int part = 2 * half;
    weight = bf16_pair(low * (dp[i][block][part] - delta_of(i, block, part)), high * (dp[i][block][part + 1] - delta_of(i, block, part + 1)));
  });
}

constexpr int kQueryTileKeys = 32;

// The same on tensor cores: 128 queries a block. A tile of keys and values is under way while one is used.
template <int kWidth>
LR_KERNEL_SHARING(kAttentionThreads, 2) query_gradients_bf16(RoundedBackward b) {
  using Shape = Bf16Shape<kWidth>;
  constexpr int kKeys = kQueryTileKeys;
  constexpr int queries = 0, gradients = Shape::tile_bytes(kOwnRows), rows = 2 * gradients, stages = rows + 2 * kOwnRows * 4;
  const int heads = static_cast<int>(b.a.Hq), key_heads = static_cast<int>(b.a.Hkv);
  const AttentionTile tile = b.tiles[block_x() / heads];
  const int head = static_cast<int>(block_x() % heads), key_head = head / (heads / key_heads);
  const int query_row = (tile.begin + tile.first) * heads + head, first_key_row = tile.begin * key_heads + key_head;
  const int window = window_of(b.a), end = tile.first + tile.count;
  const int first_row = warp_index() * kWarpRows, low = tile.first + first_row, high = low + kWarpRows - 1;
  const float factor = score_factor(b.a) * kLog2E;

  int key = tile.first >= window ? (tile.first + 1 - window) / kKeys * kKeys : 0;
  const auto load_keys = [&](int stage, int first) {
    const int64_t row = first_key_row + first * key_heads;
    const int at = stages + stage * 2 * Shape::tile_bytes(kKeys);
    load_tile<kWidth, kKeys>(at, b.k + row * kWidth, key_heads * kWidth, end - first);
    load_tile<kWidth, kKeys>(at + Shape::tile_bytes(kKeys), b.v + row * kWidth, key_heads * kWidth, end - first);
    copy_commit();
  };
  load_tile<kWidth, kOwnRows>(queries, b.q + int64_t{query_row} * kWidth, heads * kWidth, tile.count);
  load_tile<kWidth, kOwnRows>(gradients, b.dout + int64_t{query_row} * kWidth, heads * kWidth, tile.count);
  auto *lse = shared_at<float>(rows), *delta = lse + kOwnRows;
  copy_async4(lse + thread_index(), b.lse + query_row + thread_index() * heads, thread_index() < tile.count);
  copy_async4(delta + thread_index(), b.delta + query_row + thread_index() * heads, thread_index() < tile.count);
  load_keys(0, key);

  WarpSums<kWidth> own = {};
  for (int stage = 0; key < end; key += kKeys, stage ^= 1) {
    const bool sees = first_row < tile.count && key <= high && key + kKeys > low + 1 - window;
    const bool sees_all = key + kKeys - 1 <= low && key > high - window;
    copy_wait<0>();
    barrier();  // the tile is there, and all are done with the one before
    if (key + kKeys < end) load_keys(stage ^ 1, key + kKeys);
    if (!sees) continue;
    const int keys = stages + stage * 2 * Shape::tile_bytes(kKeys), values = keys + Shape::tile_bytes(kKeys);
    WarpSums<kKeys> scores = {};
    multiply_rows<kWidth, kKeys>(scores, queries, first_row, keys);
    cap_products(scores, b.a);
    if (!sees_all) {
      const int first = key - low + lane_offset();
      hide_unseen(scores, window, [&](int i, int block, int part) { return first + element_offset(i, block, part); });
    }
    WarpWeights<kKeys> unsloped, weights;
    take_probabilities<kKeys>(unsloped, weights, scores, b.a, [&](float score, int i, int, int part) {
      return fused(score, factor, -kLog2E * lse[first_row + fragment_row(i, part)]);
    });
    WarpSums<kKeys> dp = {};
    multiply_rows<kWidth, kKeys>(dp, gradients, first_row, values);
    take_score_gradients<kKeys>(weights, dp, [&](int i, int, int part) { return delta[first_row + fragment_row(i, part)]; });
    multiply_columns<kWidth, kKeys>(own, weights, keys);
  }
  float factors[kRowBlocks][2] = {{b.a.scale, b.a.scale}, {b.a.scale, b.a.scale}};
  store_rows<kWidth>(b.dq + query_row * b.a.D, b.a.Hq * b.a.D, own, b.a.D, first_row, tile.count, factors);
}

constexpr int kKeyTileKeys = 64, kKeyTileQueries = 32;  // more queries do not find registers

// Where what key_gradients_bf16 shares lies.
template <int kWidth>
struct KeyTile {
  using Shape = Bf16Shape<kWidth>;
  static constexpr int kKeysAt = 0, kValuesAt = Shape::tile_bytes(kKeyTileKeys), kStagesAt = 2 * kValuesAt;
  // Of a stage: queries, gradients, then lse and delta of each of them.
  static constexpr int kGradients = Shape::tile_bytes(kKeyTileQueries), kRows = 2 * kGradients;
  static constexpr int kStageBytes = kRows + 2 * kKeyTileQueries * 4;
  static constexpr int kPieces = kRowBlocks * kKeyTileQueries / 16;  // of 16 bytes for each lane, in what a warp hands over
  static constexpr int kHandedAt = kStagesAt + 2 * kStageBytes, kBytes = kHandedAt + kKeyTileKeys / kWarpRows * kPieces * 32 * 16;
};

// On tensor cores two warps share 32 keys: one has the probabilities and sums dv, the other gets them from it for ds and sums dk. What
// one takes for queries is the other's gradients. A tile of queries is under way while one is used. The first tile of keys has twice the work of
// the mean, so a block takes half of the query heads where that is possible: more blocks than the GPU runs at once even out.
template <int kWidth>
LR_KERNEL_SHARING(kAttentionThreads, 2) key_gradients_bf16(RoundedBackward b) {
  using Tile = KeyTile<kWidth>;
  constexpr int kQueries = kKeyTileQueries;
  const int heads = static_cast<int>(b.a.Hq), key_heads = static_cast<int>(b.a.Hkv), own_heads = heads / key_heads / b.key_parts;
  const AttentionTile tile = b.tiles[block_x() / (key_heads * b.key_parts)];
  const int share = static_cast<int>(block_x() % (key_heads * b.key_parts)), key_head = share / b.key_parts, part = share % b.key_parts;
  const int key_row = (tile.begin + tile.first) * key_heads + key_head;
  const int window = window_of(b.a), end = query_end(b.a, tile);
  const int first_row = warp_index() / 2 * kWarpRows, low = tile.first + first_row;
  const bool sums_dk = warp_index() % 2 == 1;
  const auto load_queries = [&](int stage, int head_row, int first) {
    const int row = head_row + first * heads;
    const int at = Tile::kStagesAt + stage * Tile::kStageBytes, count = end - first;
    load_tile<kWidth, kQueries>(at, b.q + int64_t{row} * kWidth, heads * kWidth, count);
    load_tile<kWidth, kQueries>(at + Tile::kGradients, b.dout + int64_t{row} * kWidth, heads * kWidth, count);
    const int query = thread_index() % 64, of_delta = thread_index() / 64;
    if (query < kQueries) {
      copy_async4(shared_at<float>(at + Tile::kRows) + of_delta * kQueries + query, (of_delta ? b.delta : b.lse) + row + query * heads, query < count);
    }
    copy_commit();
  };
  load_tile<kWidth, kKeyTileKeys>(Tile::kKeysAt, b.k + int64_t{key_row} * kWidth, key_heads * kWidth, tile.count);
  load_tile<kWidth, kKeyTileKeys>(Tile::kValuesAt, b.v + int64_t{key_row} * kWidth, key_heads * kWidth, tile.count);
  int heads_left = own_heads, head_row = tile.begin * heads + share * own_heads, next_query = tile.first;  // of the next tile
  load_queries(0, head_row, next_query);

  const auto for_each_piece = [&](const auto& what) {
    auto* handed = shared_at<FourWords>(Tile::kHandedAt + opaque(first_row / kWarpRows * Tile::kPieces * 32 + lane_index()) * 16);
    LR_UNROLL
    for (int i = 0; i < kRowBlocks; ++i) {
      LR_UNROLL
      for (int step = 0; step < kQueries / 16; ++step) what(handed[(i * (kQueries / 16) + step) * 32], i, step);
    }
  };
  WarpSums<kWidth> own = {};
  for (int stage = 0; heads_left > 0; stage ^= 1) {
    const int query = next_query;
    next_query += kQueries;
    if (next_query >= end) next_query = tile.first, ++head_row, --heads_left;
    copy_wait<0>();
    barrier();  // the tile is there, and all are done with the one before
    if (heads_left > 0) load_queries(stage ^ 1, head_row, next_query);
    const int queries = Tile::kStagesAt + stage * Tile::kStageBytes, gradients = queries + Tile::kGradients;
    const auto *lse = shared_at<float>(queries + Tile::kRows), *delta = lse + kQueries;
    WarpSums<kQueries> sums = {};
    WarpWeights<kQueries> weights;
    multiply_rows<kWidth, kQueries>(sums, sums_dk ? Tile::kValuesAt : Tile::kKeysAt, first_row, sums_dk ? gradients : queries);
    if (!sums_dk) {
      cap_products(sums, b.a);
      if (query - low < kWarpRows - 1 || query + kQueries - 1 - low >= window) {
        const int first = low - query - lane_offset();
        hide_unseen(sums, window, [&](int i, int block, int part) { return first - element_offset(i, block, part); });
      }
      WarpWeights<kQueries> sloped;
      take_probabilities<kQueries>(weights, sloped, sums, b.a, [&](float score, int, int block, int part) {
        return fused(score, score_factor(b.a) * kLog2E, -kLog2E * lse[fragment_column(block, part)]);
      });
      for_each_piece([&](FourWords& piece, int i, int step) {
        LR_UNROLL
        for (int word = 0; word < 4; ++word) piece.word[word] = sloped[i][step][word];
      });
    }
    barrier();  // probabilities are handed over
    if (sums_dk) {
      for_each_piece([&](const FourWords& piece, int i, int step) {
        LR_UNROLL
        for (int word = 0; word < 4; ++word) weights[i][step][word] = piece.word[word];
      });
      take_score_gradients<kQueries>(weights, sums, [&](int, int block, int part) { return delta[fragment_column(block, part)]; });
    }
    multiply_columns<kWidth, kQueries>(own, weights, sums_dk ? queries : gradients);
  }
  const float scale = sums_dk ? b.a.scale : 1.0f, factors[kRowBlocks][2] = {{scale, scale}, {scale, scale}};
  float* const to = part == 0 ? (sums_dk ? b.dk : b.dv) : (sums_dk ? b.dk_part : b.dv_part);
  store_rows<kWidth>(to + key_row * b.a.D, b.a.Hkv * b.a.D, own, b.a.D, first_row, tile.count, factors);
}

template <int kWidth>
void launch_bf16(const Run& run, RoundedBackward b, Moment& moment, const int32_t* starts, int64_t n_sequences) {
  // Starts kernel over tiles of so many rows, for each of `heads`.
  const auto over_tiles = [&](auto* kernel, int rows, int64_t heads, int64_t shared, const auto& work) {
    std::vector<AttentionTile> tiles = attention_tiles(starts, n_sequences, rows);
    heaviest_first(tiles, work);
    b.tiles = moment.upload(run, tiles.data(), static_cast<int64_t>(tiles.size()));
    launch(run, kernel, {static_cast<int64_t>(tiles.size()) * heads}, kAttentionThreads, shared, b);
  };
  constexpr int64_t kQueryTileBytes = 2 * Bf16Shape<kWidth>::tile_bytes(kOwnRows) + 4 * Bf16Shape<kWidth>::tile_bytes(kQueryTileKeys) + 2 * kOwnRows * 4;
  over_tiles(query_gradients_bf16<kWidth>, kOwnRows, b.a.Hq, kQueryTileBytes, [](const AttentionTile& tile) { return tile.first + tile.count; });
  const int64_t keys = starts[n_sequences] * b.a.Hkv * b.a.D;
  if (b.a.Hq / b.a.Hkv % 2 == 0) {
    b.key_parts = 2;
    b.dk_part = moment.take<float>(keys);
    b.dv_part = moment.take<float>(keys);
  }
  over_tiles(key_gradients_bf16<kWidth>, kKeyTileKeys, b.a.Hkv * b.key_parts, KeyTile<kWidth>::kBytes,
             [](const AttentionTile& tile) { return tile.length - tile.first; });
  if (b.key_parts == 1) return;
  add(run, b.dk, b.dk_part, b.dk, keys);
  add(run, b.dv, b.dv_part, b.dv, keys);
}

}  // namespace

void attention_backward(const Run& run, const Attention& a, Operand dout, Operand q, Operand k, Operand v, Operand o, const float* lse,
                        const int32_t* starts, int64_t n_sequences, float* dq, float* dk, OperandOut dv) {
  Moment moment(run);
  const int64_t T = starts[n_sequences], rows = T * a.Hq;
  if (dv.halves != nullptr) {  // of sums in floats
    auto* sums = moment.take<float>(T * a.Hkv * a.D);
    attention_backward(run, a, dout, q, k, v, o, lse, starts, n_sequences, dq, dk, sums);
    return column_affine(run, sums, nullptr, nullptr, nullptr, dv, T, a.Hkv * a.D);
  }
  auto* delta = moment.take<float>(rows);
  if (uses_bf16_attention(run, a)) {
    const auto halves = [&](const Operand& from, int64_t heads) { return attention_halves(run, moment, a, from, T * heads, heads); };
    RoundedBackward b = {a, gradient_halves(run, moment, a, dout, o, delta, rows), halves(q, a.Hq), halves(k, a.Hkv), halves(v, a.Hkv), lse, delta,
                         nullptr, dq, dk, dv.floats};
    return a.D <= 64 ? launch_bf16<64>(run, b, moment, starts, n_sequences) : launch_bf16<128>(run, b, moment, starts, n_sequences);
  }
  with_type(o, [&]<typename Element>() {
    launch(run, row_products<Element>, {ceil_div(rows, kAttentionThreads / 32)}, kAttentionThreads, 0, dout.floats, rows_of<Element>(o, a.Hq * a.D), delta,
           rows, a.Hq, a.D);
  });
  Backward b = {a, dout.floats, q.floats, k.floats, v.floats, lse, delta, nullptr, dq, dk, dv.floats};
  with_attention_shape(a.D, [&]<typename Shape>(Shape) {
    const std::vector<AttentionTile> tiles = attention_tiles(starts, n_sequences, Shape::kTile);
    const auto n_tiles = static_cast<int64_t>(tiles.size());
    b.tiles = moment.upload(run, tiles.data(), n_tiles);
    const int64_t floats = 4 * Shape::tile_floats(a.D) + 2 * Shape::kScoreFloats + 2 * Shape::kTile;
    launch(run, query_gradients<Shape>, {n_tiles, a.Hq}, kAttentionThreads, floats * static_cast<int64_t>(sizeof(float)), b);
    launch(run, key_gradients<Shape>, {n_tiles, a.Hkv}, kAttentionThreads, floats * static_cast<int64_t>(sizeof(float)), b);
  });
}

}  // namespace lr::cuda
