// Gradients of attention, block by block, with the probabilities computed again from the log-sum-exp. A task owns one key head
// of one sequence with all query heads that read it, so nothing is added to by two tasks.
#include "attention.h"

namespace lr::LR_ISA {
namespace {

int64_t workspace_floats(int64_t D) { return kKeyBlock * (5 * D) + kQueryBlock * (4 * D + 3 * kKeyBlock); }

template <class Operand, class Element>
struct Gradients {
  RowsApart<const Element> dout, q, k, v;
  const float *lse, *delta;  // delta[T, Hq] = dout · o
  float *dq, *dk;
  OperandOut dv;
  const Attention& a;

  // Keys and queries [start, start + n), key head kv.
  void sequence(int64_t start, int64_t n, int64_t kv, float* workspace) const {
    const int64_t Hq = a.Hq, D = a.D;
    [[maybe_unused]] const typename Operand::Registers registers;
    float* kt = workspace;                     // [lanes of D, kKeyBlock]
    float* vt = kt + kKeyBlock * D;
    float* k_across = vt + kKeyBlock * D;      // [lanes of kKeyBlock, D]
    float* sum_k = k_across + kKeyBlock * D;   // [kKeyBlock, D]
    float* sum_v = sum_k + kKeyBlock * D;
    float* q_along = sum_v + kKeyBlock * D;    // [kQueryBlock, D], in lanes of D
    float* do_along = q_along + kQueryBlock * D;
    float* q_across = do_along + kQueryBlock * D;  // [lanes of kQueryBlock, D]
    float* do_across = q_across + kQueryBlock * D;
    float* p = do_across + kQueryBlock * D;    // [kQueryBlock, kKeyBlock], then across its rows
    float* ds = p + kQueryBlock * kKeyBlock;   // the same, then along its rows
    float* ds_across = ds + kQueryBlock * kKeyBlock;
    if constexpr (Operand::kAsIs) {  // along and across are the same
      q_across = q_along;
      do_across = do_along;
      ds_across = ds;
    }
    const int64_t lanes = lanes_of<Operand>(D);
    const int64_t group = Hq / a.Hkv, stride_q = Hq * D, stride_kv = a.Hkv * D;
    for (int64_t key = 0; key < n; key += kKeyBlock) {
      const int64_t keys = least(kKeyBlock, n - key), first = start + key;
      pack_columns<Operand>(k.from(first, kv * D), keys, D, kt);
      pack_columns<Operand>(v.from(first, kv * D), keys, D, vt);
      pack_rows_across<Operand>(k.from(first, kv * D), keys, D, k_across);
      std::memset(sum_k, 0, keys * D * sizeof(float));
      std::memset(sum_v, 0, keys * D * sizeof(float));
      // Blocks of queries begin at multiples of kQueryBlock for every key block, so that each is met first by the block that
      // holds the first key it sees: that one writes dq, the others add.
      const int64_t end = a.window > 0 ? least(n, key + keys + a.window - 1) : n;  // no later query sees these keys
      for (int64_t query = key / kQueryBlock * kQueryBlock; query < end; query += kQueryBlock) {
        const bool add = key > first_key_block(a, query);
        const int64_t queries = least(kQueryBlock, n - query);
        // Keys of this block that query r sees; below 1 where it sees none.
        const auto seen = [&](int64_t r) { return least(keys, query + r + 1 - key); };
        // Where the diagonal crosses a block, products go tile by tile, and each leaves out what no query of its tile sees.
        const bool diagonal = seen(0) < keys;
        const int64_t query_rows = diagonal ? kDiagonalRows<Operand> : queries;
        for (int64_t head = kv * group; head < (kv + 1) * group; ++head) {
          const int64_t row = (start + query) * Hq + head;
          const auto q_rows = q.from(start + query, head * D), dout_rows = dout.from(start + query, head * D);
          pack_rows_along<Operand>(q_rows, queries, D, 1, q_along, D);
          pack_rows_along<Operand>(dout_rows, queries, D, 1, do_along, D);
          for (int64_t r = 0; r < queries; r += query_rows) {
            const int64_t count = least(query_rows, queries - r), width = whole<Operand>(seen(r + count - 1)), at = r * kKeyBlock;
            product<Operand>(Rows{q_along + r * D, D}, count, kt, kKeyBlock, lanes, width, false, p + at, kKeyBlock);
            product<Operand>(Rows{do_along + r * D, D}, count, vt, kKeyBlock, lanes, width, false, ds + at, kKeyBlock);
          }
          for (int64_t r = 0; r < queries; ++r)
            probabilities(p + r * kKeyBlock, ds + r * kKeyBlock, first_key(a, query + r) - key,
                          seen(r), lse[row + r * Hq], delta[row + r * Hq]);
          if constexpr (!Operand::kAsIs) {
            pack_rows_across<Operand>(q_rows, queries, D, q_across);
            pack_rows_across<Operand>(dout_rows, queries, D, do_across);
          }
          add_to_keys({key, keys, query, queries, diagonal ? kDiagonalRows<Operand> : keys}, p, ds, ds_across, do_across, q_across, sum_v, sum_k);
          if constexpr (!Operand::kAsIs) pack_rows_along<Operand>(RowsApart<const float>{ds, kKeyBlock}, queries, kKeyBlock, 1, ds, kKeyBlock);
          for (int64_t r = 0; r < queries; r += query_rows) {
            const int64_t count = least(query_rows, queries - r), depth = lanes_of<Operand>(most(seen(r + count - 1), 0));
            product<Operand>(Rows{ds + r * kKeyBlock, kKeyBlock}, count, k_across, D, depth, D, add, dq + (row + r * Hq) * D, stride_q);
          }
        }
      }
      for (int64_t i = 0; i < keys; ++i) copy(sum_k + i * D, D, dk + (first + i) * stride_kv + kv * D);
      with_rows(dv, stride_kv, [&](auto dv_rows) {
        for (int64_t i = 0; i < keys; ++i) copy(sum_v + i * D, D, dv_rows(first + i) + kv * D);
      });
    }
  }

  // Queries of a block that meet keys of one, `rows` keys at a time.
  struct Meeting {
    int64_t key, keys, query, queries, rows;
  };

  // sum_v += pᵀ · dout, sum_k += dsᵀ · q. p and `other`, as large, are overwritten.
  void add_to_keys(const Meeting& m, float* p, const float* ds, float* other, const float* do_across, const float* q_across, float* sum_v,
                   float* sum_k) const {
    const int64_t D = a.D;
    if constexpr (Operand::kLaneStep > 1) {
      pack_turned<Operand>(p, m.queries, other);
      pack_turned<Operand>(ds, m.queries, p);
    } else if constexpr (!Operand::kAsIs) {
      pack_rows_across<Operand>(RowsApart<const float>{p, kKeyBlock}, m.queries, kKeyBlock, p);
      pack_rows_across<Operand>(RowsApart<const float>{ds, kKeyBlock}, m.queries, kKeyBlock, other);
    }
    for (int64_t j = 0; j < m.keys; j += m.rows) {
      // Lanes of queries before the first one that sees key j are 0.
      constexpr int64_t step = Operand::kPack * Operand::kLaneStep;
      const int64_t count = least(m.rows, m.keys - j), blind = most(m.key + j - m.query, 0) / step * Operand::kLaneStep;
      const int64_t depth = lanes_of<Operand>(m.queries) - blind;
      if constexpr (Operand::kLaneStep > 1) {
        const int64_t at = j * kTurnedLanes + blind;
        product<Operand>(Rows{other + at, kTurnedLanes}, count, do_across + blind * D, D, depth, D, true, sum_v + j * D, D);
        product<Operand>(Rows{p + at, kTurnedLanes}, count, q_across + blind * D, D, depth, D, true, sum_k + j * D, D);
      } else {
        const int64_t at = blind * kKeyBlock + j;
        multiply<Operand>(Columns{p + at, kKeyBlock}, count, do_across + blind * D, D, depth, D, true, sum_v + j * D, D);
        multiply<Operand>(Columns{other + at, kKeyBlock}, count, q_across + blind * D, D, depth, D, true, sum_k + j * D, D);
      }
    }
  }

  // One query, kKeyBlock keys of which it sees [hidden, seen): products q · k in p become probabilities, products dout · v in ds
  // become gradients of q · k.
  void probabilities(float* p, float* ds, int64_t hidden, int64_t seen, float lse_of_row, float delta_of_row) const {
    seen = most(seen, 0);
    const V factor = set(a.scale), shift = set(lse_of_row), mean = set(delta_of_row), cap = set(a.softcap);
    for (int64_t i = 0; i < seen; i += W) {
      V below = fma(load(p + i), factor, zero() - shift), slope = factor;  // the score less the log-sum-exp
      if (a.softcap > 0) {
        const V score = capped(load(p + i) * factor, cap), share = score / cap;
        below = score - shift;
        slope = factor * (set(1) - share * share);
      }
      const V e = exp(below);
      store(p + i, e);
      store(ds + i, e * (load(ds + i) - mean) * slope);
    }
    for (int64_t i = 0; i < least(hidden, seen); ++i) p[i] = ds[i] = 0;
    for (int64_t i = seen; i < kKeyBlock; ++i) p[i] = ds[i] = 0;
  }
};

}  // namespace

void attention_backward(const Run& run, const Attention& a, Operand dout, Operand q, Operand k, Operand v, Operand o, const float* lse,
                        const int32_t* starts, int64_t n_sequences, float* dq, float* dk, OperandOut dv) {
  const int64_t T = starts[n_sequences], Hq = a.Hq, D = a.D, width = Hq * D, width_kv = a.Hkv * D;
  const size_t mark = run.scratch->mark();
  auto* delta = static_cast<float*>(run.scratch->take(T * Hq * sizeof(float)));
  auto* workspace = static_cast<float*>(run.scratch->take(run.pool->threads() * workspace_floats(D) * sizeof(float)));
  with_rows(dout, width, [&]<class Element>(RowsApart<const Element> dout_rows) {
    with_rows(o, width, [&](auto o_rows) {
      parallel(run, T, [&](int t, int) {
        for (int64_t head = 0; head < Hq; ++head) {
          V products = zero();
          for (int64_t d = 0; d < D; d += W) {
            const int64_t lanes = least(W, D - d), at = head * D + d;
            products = fma(get(dout_rows(t) + at, lanes), get(o_rows(t) + at, lanes), products);
          }
          delta[t * Hq + head] = sum(products);
        }
      });
    });
    with_operands(run, D, [&]<class Operand>() {
      const auto of = [&](const auto& x, int64_t wide) { return rows_of<const Element>(x, wide); };
      const Gradients<Operand, Element> gradients{dout_rows, of(q, width), of(k, width_kv), of(v, width_kv), lse, delta, dq, dk, dv, a};
      parallel(run, n_sequences * a.Hkv, [&](int task, int thread) {
        const int64_t s = task / a.Hkv;
        gradients.sequence(starts[s], starts[s + 1] - starts[s], task % a.Hkv, workspace + thread * workspace_floats(D));
      });
    });
  });
  run.scratch->release(mark);
}

}  // namespace lr::LR_ISA
