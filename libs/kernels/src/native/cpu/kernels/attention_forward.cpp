// Tiled attention with online softmax (Dao et al. 2022; Milakov & Gimelshein 2018): a block of queries meets the keys block by
// block and keeps a running maximum, a running sum and a running output for each query.
#include <cmath>

#include "attention.h"

namespace lr::LR_ISA {
namespace {

// Sequences of queries starts[s] … starts[s+1] and where their keys and values lie.
template <class Element>
struct Sequences {
  const int32_t* starts;
  int64_t n;
  RowsApart<const Element> k, v;
  const PagedSequence* paged;  // null: the keys are those of the queries' own tokens, in their place
  int64_t page_tokens;

  int64_t past(int64_t s) const { return paged == nullptr ? 0 : paged[s].past; }
  int64_t queries(int64_t s) const { return starts[s + 1] - starts[s]; }
  int64_t keys(int64_t s) const { return past(s) + queries(s); }
  // Row of k and v that belongs to a key.
  int64_t row(int64_t s, int64_t key) const {
    return paged == nullptr ? starts[s] + key : paged[s].pages[key / page_tokens] * page_tokens + key % page_tokens;
  }
};

// One head of one sequence: queries [n, Hq · D] at positions past …, and its keys and values from block `from` on. Blocks of keys begin
// at multiples of kKeyBlock whatever the past: a query gets the same bytes wherever its sequence was split.
template <class Element>
struct Head {
  RowsApart<const Element> q;
  const float *packed_k, *packed_v;  // [key block][lanes of D][kKeyBlock], [key block][lanes of kKeyBlock][D]
  OperandOut o;                      // of all tokens and heads: this one's begins in row `start` and this column
  int64_t start, column;
  float* lse;                        // may be null
  int64_t past, from;
  const Attention& a;
};

int64_t workspace_floats(int64_t D) { return kQueryBlock * (2 * D + kKeyBlock + 2); }

// Queries [begin, begin + count) of a head.
template <class Operand, class Element>
void attend_block(const Head<Element>& head, int64_t begin, int64_t count, float* workspace) {
  const int64_t D = head.a.D;
  [[maybe_unused]] const typename Operand::Registers registers;
  float* q = workspace;                   // [count, D] in lanes, scaled
  float* o = q + kQueryBlock * D;         // [count, D]
  float* p = o + kQueryBlock * D;         // [count, kKeyBlock]: scores, then probabilities
  float* top = p + kQueryBlock * kKeyBlock;  // [count]: running maximum
  float* total = top + kQueryBlock;          // [count]: running sum
  pack_rows_along<Operand>(head.q.from(begin, 0), count, D, head.a.scale, q, D);
  std::memset(o, 0, count * D * sizeof(float));
  for (int64_t r = 0; r < count; ++r) {
    top[r] = -INFINITY;
    total[r] = 0;
  }

  const int64_t first = head.past + begin, keys = first + count;  // position of query 0; keys the last query sees
  // Queries [begin_row, end_row) of the block meet keys [key, key + width); the last of them sees all.
  const auto meet = [&](int64_t begin_row, int64_t end_row, int64_t key, int64_t width) {
    const int64_t rows = end_row - begin_row, columns = whole<Operand>(width);
    float* scores = p + begin_row * kKeyBlock;
    product<Operand>(Rows{q + begin_row * D, D}, rows, head.packed_k + (key - head.from) * D, kKeyBlock, lanes_of<Operand>(D), columns, false, scores,
                      kKeyBlock);
    for (int64_t r = begin_row; r < end_row; ++r) {
      float* row = p + r * kKeyBlock;
      // The query sees the keys [hidden, seen) of this block.
      const int64_t hidden = most(first_key(head.a, first + r) - key, 0), seen = least(width, first + r + 1 - key);
      if (seen <= hidden) {
        std::memset(row, 0, columns * sizeof(float));
        continue;
      }
      const int64_t end = whole<Operand>(seen);
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
    if constexpr (!Operand::kAsIs)
      pack_rows_along<Operand>(RowsApart<const float>{scores, kKeyBlock}, rows, columns, 1, scores, kKeyBlock);
    product<Operand>(Rows{scores, kKeyBlock}, rows, head.packed_v + (key - head.from) * D, D, lanes_of<Operand>(width), D, true, o + begin_row * D, D);
  };
  for (int64_t key = first_key_block(head.a, first); key < keys; key += kKeyBlock) {
    // Where the diagonal crosses a block, each tile of queries meets the keys that its last query sees, and no others.
    const int64_t rows = first + 1 < key + kKeyBlock ? kDiagonalRows<Operand> : count;
    for (int64_t r = 0; r < count; r += rows) {
      const int64_t end = least(r + rows, count), width = least(kKeyBlock, first + end - key);
      if (width > 0) meet(r, end, key, width);
    }
  }

  with_rows(head.o, head.a.Hq * D, [&](auto o_rows) {
    const auto out = o_rows.from(head.start + begin, head.column);
    for (int64_t r = 0; r < count; ++r)
      for (int64_t d = 0; d < D; d += W) {
        const int64_t lanes = least(W, D - d);
        put(out(r) + d, get(o + r * D + d, lanes) * set(1 / total[r]), lanes);
      }
  });
  for (int64_t r = 0; r < count; ++r) {
    if (head.lse != nullptr) head.lse[(begin + r) * head.a.Hq] = top[r] + std::log(total[r]);
  }
}

template <class Operand, class Element>
void attention_with(const Run& run, const Attention& a, RowsApart<const Element> q, const Sequences<Element>& sequences, OperandOut o, float* lse) {
  const int64_t Hq = a.Hq, Hkv = a.Hkv, D = a.D, n_sequences = sequences.n;
  const size_t mark = run.scratch->mark();
  auto* key_blocks = static_cast<int64_t*>(run.scratch->take((n_sequences + 1) * sizeof(int64_t)));  // before sequence s
  auto* query_blocks = static_cast<int64_t*>(run.scratch->take((n_sequences + 1) * sizeof(int64_t)));
  key_blocks[0] = query_blocks[0] = 0;
  const auto from = [&](int64_t s) { return first_key_block(a, sequences.past(s)); };
  for (int64_t s = 0; s < n_sequences; ++s) {
    key_blocks[s + 1] = key_blocks[s] + ceil_div(sequences.keys(s) - from(s), kKeyBlock);
    query_blocks[s + 1] = query_blocks[s] + ceil_div(sequences.queries(s), kQueryBlock);
  }
  const int64_t all_keys = key_blocks[n_sequences], all_queries = query_blocks[n_sequences], block_size = D * kKeyBlock;
  // [Hkv][block][D][kKeyBlock] and [Hkv][block][kKeyBlock][D]: as they lie, rows may be a power of two apart and share cache sets.
  auto* packed_k = static_cast<float*>(run.scratch->take(Hkv * all_keys * block_size * sizeof(float)));
  auto* packed_v = static_cast<float*>(run.scratch->take(Hkv * all_keys * block_size * sizeof(float)));
  auto* workspace = static_cast<float*>(run.scratch->take(run.pool->threads() * workspace_floats(D) * sizeof(float)));

  parallel(run, Hkv * n_sequences, [&](int task, int) {
    const int64_t head = task % Hkv, s = task / Hkv, n = sequences.keys(s);
    for (int64_t key = from(s); key < n; key += kKeyBlock) {
      const int64_t to = (head * all_keys + key_blocks[s]) * block_size + (key - from(s)) * D, count = least(kKeyBlock, n - key);
      const auto row_of = [&](RowsApart<const Element> rows) {
        return [=, &sequences](int64_t i) { return rows(sequences.row(s, key + i)) + head * D; };
      };
      pack_columns<Operand>(row_of(sequences.k), count, D, packed_k + to);
      pack_rows_across<Operand>(row_of(sequences.v), count, D, packed_v + to);
    }
  });
  // The last queries of a sequence see most keys: they go first, so that no long task starts when the others are done.
  parallel(run, Hq * all_queries, [&](int task, int thread) {
    const int64_t head = task % Hq, block = all_queries - 1 - task / Hq, kv = head / (Hq / Hkv);
    int64_t s = 0;
    while (query_blocks[s + 1] <= block) ++s;
    const int64_t start = sequences.starts[s], n = sequences.queries(s), begin = (block - query_blocks[s]) * kQueryBlock;
    const Head<Element> one{q.from(start, head * D),
                            packed_k + (kv * all_keys + key_blocks[s]) * block_size,
                            packed_v + (kv * all_keys + key_blocks[s]) * block_size,
                            o,
                            start,
                            head * D,
                            lse == nullptr ? nullptr : lse + start * Hq + head,
                            sequences.past(s), from(s), a};
    attend_block<Operand>(one, begin, least(kQueryBlock, n - begin), workspace + thread * workspace_floats(D));
  });
  run.scratch->release(mark);
}

template <class Element>
void attention(const Run& run, const Attention& a, RowsApart<const Element> q, const Sequences<Element>& sequences, OperandOut o, float* lse) {
  with_operands(run, a.D, [&]<class Operand>() { attention_with<Operand>(run, a, q, sequences, o, lse); });
}

// Calls f(key, row, count) for the keys [first, end) of sequence s, as many at a time as lie in a page.
template <class F>
inline void for_each_page(const Sequences<float>& sequences, int64_t s, int64_t first, int64_t end, const F& f) {
  for (int64_t key = first; key < end;) {
    const int64_t count = least(sequences.page_tokens - key % sequences.page_tokens, end - key);
    f(key, sequences.row(s, key), count);
    key += count;
  }
}

// The last query of sequence s, its heads that share key head kv, q[group, D], against the keys [first, end) that it sees: reads the
// cache once. scores [group, end - first].
void attend_decoding(const Attention& a, const float* q, const Sequences<float>& sequences, int64_t s, int64_t kv, int64_t first, int64_t end,
                     float* o, float* scores) {
  const int64_t group = a.Hq / a.Hkv, stride = a.Hkv * a.D, D = a.D, n = end - first;
  const auto part = [&](const float* p, int64_t d) { return D - d >= W ? load(p + d) : load_part(p + d, D - d); };
  for_each_page(sequences, s, first, end, [&](int64_t key, int64_t row, int64_t count) {
    const float* k = sequences.k(row) + kv * D;
    for (int64_t j = 0; j < count; ++j)
      for (int64_t g = 0; g < group; ++g) {
        V products = zero();
        for (int64_t d = 0; d < D; d += W) products = fma(part(q + g * D, d), part(k + j * stride, d), products);
        scores[g * n + key - first + j] = sum(products) * a.scale;
      }
  });
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
  for_each_page(sequences, s, first, end, [&](int64_t key, int64_t row, int64_t count) {
    const float* v = sequences.v(row) + kv * D;
    for (int64_t j = 0; j < count; ++j)
      for (int64_t g = 0; g < group; ++g) {
        const float p = scores[g * n + key - first + j];
        for (int64_t d = 0; d < D; ++d) o[g * D + d] += p * v[j * stride + d];
      }
  });
}

}  // namespace

void attention_forward(const Run& run, const Attention& a, Operand q, Operand k, Operand v, const int32_t* starts, int64_t n_sequences,
                       OperandOut o, float* lse) {
  with_rows(q, a.Hq * a.D, [&]<class Element>(RowsApart<const Element> q_rows) {
    const auto k_rows = rows_of<const Element>(k, a.Hkv * a.D), v_rows = rows_of<const Element>(v, a.Hkv * a.D);
    attention<Element>(run, a, q_rows, {starts, n_sequences, k_rows, v_rows, nullptr, 0}, o, lse);
  });
}

void attention_cached(const Run& run, const Attention& a, const float* q, const PagedKeys& cache, const PagedSequence* paged,
                      const int32_t* starts, int64_t n_sequences, OperandOut o) {
  const int64_t width = a.Hkv * a.D;
  const Sequences<float> sequences{starts, n_sequences, {cache.k, width}, {cache.v, width}, paged, cache.page_tokens};
  if (!run.decoding) return attention<float>(run, a, {q, a.Hq * a.D}, sequences, o, nullptr);
  const int64_t group = a.Hq / a.Hkv, threads = run.pool->threads();
  int64_t longest = 0, keys = 0;  // that a query sees
  for (int64_t s = 0; s < n_sequences; ++s) {
    const int64_t seen = paged[s].past + 1 - first_key(a, paged[s].past);
    longest = most(longest, seen);
    keys += seen;
  }
  const size_t mark = run.scratch->mark();
  auto* scores = static_cast<float*>(run.scratch->take(threads * group * longest * sizeof(float)));
  parallel(
      run, n_sequences * a.Hkv,
      [&](int task, int thread) {
        const int64_t s = task / a.Hkv, kv = task % a.Hkv, query = (s * a.Hq + kv * group) * a.D, past = paged[s].past;
        attend_decoding(a, q + query, sequences, s, kv, first_key(a, past), past + 1, o.floats + query, scores + thread * group * longest);
      },
      keys * a.Hq * a.D < kWorthThreads);
  run.scratch->release(mark);
}

}  // namespace lr::LR_ISA
