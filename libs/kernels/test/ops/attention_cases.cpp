#include <cmath>

#include "cases.h"
#include "check.h"

namespace lr::test {
namespace {

std::string name_of(const Attention& a) {
  return " Hq=" + std::to_string(a.Hq) + " Hkv=" + std::to_string(a.Hkv) + " D=" + std::to_string(a.D) +
         " window=" + std::to_string(a.window) + " softcap=" + std::to_string(a.softcap);
}

// Where a query sees few keys, the gradients of its scores are small differences of rounded products.
constexpr double kBf16 = 0.1;

Attention attention(int64_t Hq, int64_t Hkv, int64_t D, int64_t window, float softcap) {
  return {Hq, Hkv, D, 1 / std::sqrt(static_cast<float>(D)), window, softcap};
}

void packed(const std::vector<int32_t>& starts, int64_t Hq, int64_t Hkv, int64_t D, int64_t window = 0, float softcap = 0) {
  const int64_t T = starts.back(), n_sequences = static_cast<int64_t>(starts.size()) - 1;
  const Attention a = attention(Hq, Hkv, D, window, softcap);
  const Floats q = numbers(T * Hq * D, 1, 2), k = numbers(T * Hkv * D, 2, 2), v = numbers(T * Hkv * D, 3), dout = numbers(T * Hq * D, 4);
  check_operation("attention T=" + std::to_string(T) + name_of(a), [&](const Ops& ops, const Run& run) {
    std::vector<Floats> outputs = {Floats(T * Hq * D, NAN), Floats(T * Hq, NAN), Floats(T * Hq * D, NAN),
                                   Floats(T * Hkv * D, NAN), Floats(T * Hkv * D, NAN)};
    ops.attention_forward(run, a, q.data(), k.data(), v.data(), starts.data(), n_sequences, outputs[0].data(), outputs[1].data());
    ops.attention_backward(run, a, dout.data(), q.data(), k.data(), v.data(), outputs[0].data(), outputs[1].data(),
                           starts.data(), n_sequences, outputs[2].data(), outputs[3].data(), outputs[4].data());
    return outputs;
  }, 1e-4, true, kBf16);
}

// A paged cache of several sequences: pages of `page_tokens`, those of a sequence in no order.
struct Pages {
  int64_t page_tokens;
  std::vector<std::vector<int32_t>> tables;
  int64_t count = 0;

  Pages(int64_t tokens, const std::vector<int64_t>& lengths) : page_tokens(tokens) {
    for (const int64_t length : lengths) count += (length + tokens - 1) / tokens;
    int64_t next = 0;
    for (const int64_t length : lengths) {
      tables.emplace_back();
      for (int64_t i = 0; i < length; i += tokens) tables.back().push_back(static_cast<int32_t>(count - 1 - next++));
    }
  }
  int64_t row(size_t sequence, int64_t key) const {
    return tables[sequence][static_cast<size_t>(key / page_tokens)] * page_tokens + key % page_tokens;
  }
};

// Sequences with a past; n[s] new queries each.
void cached(const std::vector<int64_t>& past, const std::vector<int64_t>& n, int64_t page_tokens, int64_t Hq, int64_t Hkv, int64_t D,
            int64_t window = 0, float softcap = 0) {
  const Attention a = attention(Hq, Hkv, D, window, softcap);
  std::vector<int32_t> starts = {0};
  std::vector<int64_t> lengths;
  for (size_t s = 0; s < n.size(); ++s) {
    starts.push_back(starts.back() + static_cast<int32_t>(n[s]));
    lengths.push_back(past[s] + n[s]);
  }
  const bool next = starts.back() == static_cast<int32_t>(n.size());
  const Floats q = numbers(starts.back() * Hq * D, 1, 2);
  // The output of every sequence over pages of this size, in one call or one after the other.
  const auto run_with = [&](const Ops& ops, const Run& run, int64_t tokens, bool together) {
    const Pages pages(tokens, lengths);
    Floats k(pages.count * tokens * Hkv * D, NAN), v(k.size(), NAN);  // what no token lies in is not read
    std::vector<PagedSequence> sequences;
    for (size_t s = 0; s < n.size(); ++s) {
      const Floats own_k = numbers(lengths[s] * Hkv * D, 10 + s, 2), own_v = numbers(lengths[s] * Hkv * D, 20 + s);
      for (int64_t key = 0; key < lengths[s]; ++key) {
        std::copy_n(own_k.data() + key * Hkv * D, Hkv * D, k.data() + pages.row(s, key) * Hkv * D);
        std::copy_n(own_v.data() + key * Hkv * D, Hkv * D, v.data() + pages.row(s, key) * Hkv * D);
      }
      sequences.push_back({past[s], pages.tables[s].data()});
    }
    const PagedKeys cache = {k.data(), v.data(), tokens};
    Floats o(q.size(), NAN);
    if (together) {
      ops.attention_cached(run, a, q.data(), cache, sequences.data(), starts.data(), static_cast<int64_t>(n.size()), o.data());
    } else {
      for (size_t s = 0; s < n.size(); ++s) {
        const int32_t alone[] = {0, static_cast<int32_t>(n[s])};
        const int64_t first = starts[s] * Hq * D;
        ops.attention_cached(run, a, q.data() + first, cache, &sequences[s], alone, 1, o.data() + first);
      }
    }
    return o;
  };
  const std::string name = "attention_cached " + std::to_string(n.size()) + " sequences, past=" + std::to_string(past[0]) +
                           " n=" + std::to_string(n[0]) + " pages of " + std::to_string(page_tokens) + name_of(a);
  for (const bool decoding : {false, true}) {
    if (decoding && !next) continue;
    check_operation(name + (decoding ? " decoding" : ""), [&](const Ops& ops, const Run& run) {
      Run as = run;
      as.decoding = decoding;
      return std::vector<Floats>{run_with(ops, as, page_tokens, true)};
    }, 1e-4, true, kBf16);
    for (const Ops* table : all_tables())
      for (const Compute compute : {Compute::F32, Compute::BF16}) {
        Machine machine(2, compute);
        machine.run.decoding = decoding;
        const Floats together = run_with(*table, machine.run, page_tokens, true);
        expect(together == run_with(*table, machine.run, page_tokens, false), name + ": a sequence gets the same bytes alone");
        expect(together == run_with(*table, machine.run, 1000, true), name + ": and over pages of another size");
      }
  }
}

// The queries of a sequence in one call, and in two that part it in other places: the same bytes.
void split(int64_t T, int64_t Hq, int64_t Hkv, int64_t D, int64_t window, float softcap) {
  const Attention a = attention(Hq, Hkv, D, window, softcap);
  const Floats q = numbers(T * Hq * D, 1, 2), k = numbers(T * Hkv * D, 2, 2), v = numbers(T * Hkv * D, 3);
  const int32_t page = 0;
  for (const Ops* table : all_tables())
    for (const Compute compute : {Compute::F32, Compute::BF16}) {
      const Machine machine(2, compute);
      const Ops& ops = *table;
      const PagedKeys cache = {k.data(), v.data(), T};
      Floats whole(q.size()), lse(T * Hq);
      const int32_t starts[] = {0, static_cast<int32_t>(T)};
      ops.attention_forward(machine.run, a, q.data(), k.data(), v.data(), starts, 1, whole.data(), lse.data());
      for (const int64_t at : {int64_t{1}, int64_t{7}, int64_t{64}, T / 2, T - 1}) {
        Floats parts(q.size(), NAN);
        for (const auto& [begin, end] : {std::pair(int64_t{0}, at), std::pair(at, T)}) {
          const int32_t own[] = {0, static_cast<int32_t>(end - begin)};
          const PagedSequence sequence = {begin, &page};
          ops.attention_cached(machine.run, a, q.data() + begin * Hq * D, cache, &sequence, own, 1, parts.data() + begin * Hq * D);
        }
        expect(parts == whole, std::string("attention split at ") + std::to_string(at) + " of " + std::to_string(T) + " " + ops.name + name_of(a));
      }
    }
}

}  // namespace

void attention_cases() {
  packed({0, 2}, 1, 1, 2);
  packed({0, 5, 6, 37}, 4, 2, 16);
  packed({0, 64, 128}, 2, 2, 64);
  packed({0, 200}, 3, 1, 64);
  packed({0, 130, 131, 260}, 6, 2, 40);
  packed({0, 97}, 2, 1, 128);
  packed({0, 20, 290}, 2, 1, 128);
  packed({0, 270}, 1, 1, 100, 80, 1.5f);
  packed({0, 33}, 9, 3, 20);
  // Windows of two keys (with one there is no gradient to compare), of less and more than a tile of keys or queries, of exactly one, and longer than the sequence.
  packed({0, 5, 6, 37}, 4, 2, 16, 2);
  packed({0, 130, 131, 260}, 6, 2, 40, 7);
  packed({0, 300}, 2, 1, 20, 64);
  packed({0, 300, 411}, 3, 1, 64, 100);
  packed({0, 97, 200}, 2, 2, 34, 150);
  packed({0, 33}, 9, 3, 20, 1000);
  packed({0, 200}, 3, 1, 64, 0, 2);
  packed({0, 50, 260}, 4, 2, 24, 65, 0.5f);
  packed({0, 50, 260}, 4, 2, 32, 65, 0.5f);
  cached({0}, {1}, 16, 2, 1, 64);
  cached({0}, {70}, 16, 4, 2, 64);
  cached({100, 0, 37}, {1, 1, 1}, 16, 9, 3, 64);
  cached({513, 0, 200}, {2, 60, 130}, 32, 4, 4, 40);
  cached({77}, {50}, 1, 4, 2, 20);
  cached({100, 9, 5, 63}, {1, 1, 1, 1}, 7, 9, 3, 64, 10);
  cached({100, 300}, {2, 9}, 5, 4, 2, 20, 101, 1.5f);
  cached({200, 63}, {70, 1}, 16, 4, 2, 64, 33);
  cached({10, 150}, {90, 100}, 11, 2, 1, 40, 48, 3);
  cached({0, 2, 1}, {1, 1, 1}, 2, 2, 1, 40, 1, 3);
  // Next tokens behind several parts of keys, and at the edges of one; key heads with 1, 4, 7 and 9 query heads, and heads of a width that only prompts' way has.
  cached({400, 127, 128}, {1, 1, 1}, 16, 2, 2, 64);
  cached({700, 63, 64}, {1, 1, 1}, 16, 7, 1, 128);
  cached({260, 90}, {1, 1}, 3, 4, 1, 128, 65, 2);
  cached({300, 31, 32}, {1, 1, 1}, 5, 8, 2, 256, 0, 50);
  cached({150}, {1}, 16, 9, 1, 20);
  cached({70, 3}, {1, 1}, 16, 2, 1, 34);
  split(200, 4, 2, 64, 0, 0);
  split(130, 2, 1, 34, 33, 0);
  split(300, 3, 1, 20, 70, 1.5f);
}

}  // namespace lr::test
