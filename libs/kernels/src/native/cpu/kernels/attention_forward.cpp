// Tiled attention with online softmax (Dao et al. 2022; Milakov & Gimelshein 2018): a block of queries meets the keys block by
// block and keeps a running maximum, a running sum and a running output for each query.
#include <cmath>

#include "attention.h"

namespace lr::LR_ISA {
namespace {

// One head of one sequence: queries [n, Hq · D] at positions past …, keys and values [past + n, Hkv · D].
struct Head {
  const float *q, *packed_k, *packed_v;  // [key block][lanes of D][kKeyBlock], [key block][lanes of kKeyBlock][D]
  float *o, *lse;                 // lse may be null
  int64_t past, n;
  const Attention& a;
};

int64_t workspace_floats(int64_t D) { return kQueryBlock * (2 * D + kKeyBlock + 2); }

// Queries [begin, begin + count) of a head.
template <class Operand>
void attend_block(const Head& head, int64_t begin, int64_t count, float* workspace) {
  const int64_t D = head.a.D, stride_q = head.a.Hq * D;
  float* q = workspace;                   // [count, D] in lanes, scaled
  float* o = q + kQueryBlock * D;         // [count, D]
  float* p = o + kQueryBlock * D;         // [count, kKeyBlock]: scores, then probabilities
  float* top = p + kQueryBlock * kKeyBlock;  // [count]: running maximum
  float* total = top + kQueryBlock;          // [count]: running sum
  pack_rows_along<Operand>(head.q + begin * stride_q, stride_q, count, D, head.a.scale, q, D);
  std::memset(o, 0, count * D * sizeof(float));
  for (int64_t r = 0; r < count; ++r) {
    top[r] = -INFINITY;
    total[r] = 0;
  }

  const int64_t first = head.past + begin, keys = first + count;  // position of query 0; keys the last query sees
  // Queries [begin_row, end_row) of the block meet keys [key, key + width); the last of them sees all.
  const auto meet = [&](int64_t begin_row, int64_t end_row, int64_t key, int64_t width) {
    const int64_t rows = end_row - begin_row, columns = whole_vectors(width);
    float* scores = p + begin_row * kKeyBlock;
    multiply<Operand>(Rows{q + begin_row * D, D}, rows, head.packed_k + key * D, kKeyBlock, lanes_of<Operand>(D), columns, false, scores,
                      kKeyBlock);
    for (int64_t r = begin_row; r < end_row; ++r) {
      float* row = p + r * kKeyBlock;
      // The query sees the keys [hidden, seen) of this block.
      const int64_t hidden = most(first_key(head.a, first + r) - key, 0), seen = least(width, first + r + 1 - key);
      if (seen <= hidden) {
        std::memset(row, 0, columns * sizeof(float));
        continue;
      }
      const int64_t end = whole_vectors(seen);
      if (head.a.softcap > 0)
        for (int64_t i = 0; i < end; i += W) store(row + i, capped(load(row + i), set(head.a.softcap)));
      for (int64_t i = 0; i < hidden; ++i) row[i] = -INFINITY;
      for (int64_t i = seen; i < end; ++i) row[i] = -INFINITY;
      V highest = load(row);
      for (int64_t i = W; i < end; i += W) highest = max(highest, load(row + i));
      const float new_top = std::fmax(top[r], largest(highest));
      V sums = zero();
      for (int64_t i = 0; i < end; i += W) {
        const V e = exp(load(row + i) - set(new_top));
        store(row + i, e);
        sums = sums + e;
      }
      for (int64_t i = 0; i < hidden; ++i) row[i] = 0;  // exp stops short of 0
      for (int64_t i = seen; i < columns; ++i) row[i] = 0;
      if (new_top > top[r]) {
        const float shrink = std::exp(top[r] - new_top);
        total[r] *= shrink;
        for (int64_t d = 0; d < D; ++d) o[r * D + d] *= shrink;
        top[r] = new_top;
      }
      total[r] += sum(sums);
    }
    if constexpr (!Operand::kAsIs) pack_rows_along<Operand>(scores, kKeyBlock, rows, width, 1, scores, kKeyBlock);
    multiply<Operand>(Rows{scores, kKeyBlock}, rows, head.packed_v + key * D, D, lanes_of<Operand>(width), D, true, o + begin_row * D, D);
  };
  for (int64_t key = first_key_block(head.a, first); key < keys; key += kKeyBlock) {
    // Where the diagonal crosses a block, each tile of queries meets the keys that its last query sees, and no others.
    const int64_t rows = first + 1 < key + kKeyBlock ? kTileRows : count;
    for (int64_t r = 0; r < count; r += rows) {
      const int64_t end = least(r + rows, count), width = least(kKeyBlock, first + end - key);
      if (width > 0) meet(r, end, key, width);
    }
  }

  for (int64_t r = 0; r < count; ++r) {
    pack_rows_along<Exact>(o + r * D, D, 1, D, 1 / total[r], head.o + (begin + r) * stride_q, D);
    if (head.lse != nullptr) head.lse[(begin + r) * head.a.Hq] = top[r] + std::log(total[r]);
  }
}

// Sequences of queries starts[s] … starts[s+1]; the keys of a sequence are `past` and its own.
template <class Operand>
void attention_with(const Run& run, const Attention& a, const float* q, const float* k, const float* v, const int32_t* starts,
                    int64_t n_sequences, int64_t past, float* o, float* lse) {
  const int64_t Hq = a.Hq, Hkv = a.Hkv, D = a.D;
  const size_t mark = run.scratch->mark();
  auto* key_blocks = static_cast<int64_t*>(run.scratch->take((n_sequences + 1) * sizeof(int64_t)));  // before sequence s
  auto* query_blocks = static_cast<int64_t*>(run.scratch->take((n_sequences + 1) * sizeof(int64_t)));
  key_blocks[0] = query_blocks[0] = 0;
  for (int64_t s = 0; s < n_sequences; ++s) {
    const int64_t n = starts[s + 1] - starts[s];
    key_blocks[s + 1] = key_blocks[s] + ceil_div(past + n, kKeyBlock);
    query_blocks[s + 1] = query_blocks[s] + ceil_div(n, kQueryBlock);
  }
  const int64_t all_keys = key_blocks[n_sequences], all_queries = query_blocks[n_sequences], block_size = D * kKeyBlock;
  // [Hkv][block][D][kKeyBlock] and [Hkv][block][kKeyBlock][D]: as they lie, rows may be a power of two apart and share cache sets.
  auto* packed_k = static_cast<float*>(run.scratch->take(Hkv * all_keys * block_size * sizeof(float)));
  auto* packed_v = static_cast<float*>(run.scratch->take(Hkv * all_keys * block_size * sizeof(float)));
  auto* workspace = static_cast<float*>(run.scratch->take(run.pool->threads() * workspace_floats(D) * sizeof(float)));

  parallel(run, Hkv * n_sequences, [&](int task, int) {
    const int64_t head = task % Hkv, s = task / Hkv, n = past + starts[s + 1] - starts[s];
    for (int64_t key = 0; key < n; key += kKeyBlock) {
      const int64_t from = ((starts[s] + key) * Hkv + head) * D, to = (head * all_keys + key_blocks[s]) * block_size + key * D;
      pack_columns<Operand>(k + from, Hkv * D, least(kKeyBlock, n - key), D, packed_k + to);
      pack_rows_across<Operand>(v + from, Hkv * D, least(kKeyBlock, n - key), D, packed_v + to);
    }
  });
  // The last queries of a sequence see most keys: they go first, so that no long task starts when the others are done.
  parallel(run, Hq * all_queries, [&](int task, int thread) {
    const int64_t head = task % Hq, block = all_queries - 1 - task / Hq, kv = head / (Hq / Hkv);
    int64_t s = 0;
    while (query_blocks[s + 1] <= block) ++s;
    const int64_t start = starts[s], n = starts[s + 1] - start, begin = (block - query_blocks[s]) * kQueryBlock;
    const Head one{q + (start * Hq + head) * D,
                   packed_k + (kv * all_keys + key_blocks[s]) * block_size,
                   packed_v + (kv * all_keys + key_blocks[s]) * block_size,
                   o + (start * Hq + head) * D,
                   lse == nullptr ? nullptr : lse + start * Hq + head,
                   past, n, a};
    attend_block<Operand>(one, begin, least(kQueryBlock, n - begin), workspace + thread * workspace_floats(D));
  });
  run.scratch->release(mark);
}

void attention(const Run& run, const Attention& a, const float* q, const float* k, const float* v, const int32_t* starts,
               int64_t n_sequences, int64_t past, float* o, float* lse) {
  const auto with = run.compute == Compute::BF16 ? attention_with<AttentionBf16> : attention_with<Exact>;
  with(run, a, q, k, v, starts, n_sequences, past, o, lse);
}

// One query's heads that share a key head, q[group, D] against the n keys it sees [n, stride]: reads the cache once, for few
// queries.
void attend_cached(const Attention& a, const float* q, const float* k, const float* v, int64_t n, float* o, float* scores) {
  const int64_t group = a.Hq / a.Hkv, stride = a.Hkv * a.D, D = a.D;
  const auto part = [&](const float* p, int64_t d) { return D - d >= W ? load(p + d) : load_part(p + d, D - d); };
  for (int64_t j = 0; j < n; ++j)
    for (int64_t g = 0; g < group; ++g) {
      V products = zero();
      for (int64_t d = 0; d < D; d += W) products = fma(part(q + g * D, d), part(k + j * stride, d), products);
      scores[g * n + j] = sum(products) * a.scale;
    }
  for (int64_t g = 0; g < group; ++g) {
    float* p = scores + g * n;
    if (a.softcap > 0)
      for (int64_t j = 0; j < n; j += W) {
        const int64_t lanes = least(W, n - j);
        store_part(p + j, capped(load_part(p + j, lanes), set(a.softcap)), lanes);
      }
    float top = p[0], total = 0;
    for (int64_t j = 1; j < n; ++j) top = std::fmax(top, p[j]);
    for (int64_t j = 0; j < n; j += W) {
      const int64_t lanes = least(W, n - j);
      store_part(p + j, exp(load_part(p + j, lanes) - set(top)), lanes);
      total += sum(load_part(p + j, lanes));
    }
    std::memset(o + g * D, 0, D * sizeof(float));
    for (int64_t j = 0; j < n; ++j) p[j] /= total;
  }
  for (int64_t j = 0; j < n; ++j)
    for (int64_t g = 0; g < group; ++g)
      for (int64_t d = 0; d < D; ++d) o[g * D + d] += scores[g * n + j] * v[j * stride + d];
}

}  // namespace

void attention_forward(const Run& run, const Attention& a, const float* q, const float* k, const float* v, const int32_t* starts,
                       int64_t n_sequences, float* o, float* lse) {
  attention(run, a, q, k, v, starts, n_sequences, 0, o, lse);
}

void attention_cached(const Run& run, const Attention& a, const float* q, const float* k, const float* v, int64_t past, int64_t n,
                      float* o) {
  // Keys before the window of the first query are left behind: only distances between positions count.
  const int64_t unseen = first_key(a, past);
  k += unseen * a.Hkv * a.D;
  v += unseen * a.Hkv * a.D;
  past -= unseen;
  // Packing the cache costs what reading it costs: it pays once a tile of queries shares it.
  if (n >= kTileRows) {
    const int32_t starts[2] = {0, static_cast<int32_t>(n)};
    return attention(run, a, q, k, v, starts, 1, past, o, nullptr);
  }
  const int64_t group = a.Hq / a.Hkv, threads = run.pool->threads();
  const size_t mark = run.scratch->mark();
  auto* scores = static_cast<float*>(run.scratch->take(threads * group * (past + n) * sizeof(float)));
  parallel(
      run, n * a.Hkv,
      [&](int task, int thread) {
        const int64_t t = task / a.Hkv, kv = task % a.Hkv, query = (t * a.Hq + kv * group) * a.D;
        const int64_t first = first_key(a, past + t), key = (first * a.Hkv + kv) * a.D;
        attend_cached(a, q + query, k + key, v + key, past + t + 1 - first, o + query, scores + thread * group * (past + n));
      },
      n * a.Hq * (past + n) * a.D < kWorthThreads);
  run.scratch->release(mark);
}

}  // namespace lr::LR_ISA
