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

void cached(int64_t past, int64_t n, int64_t Hq, int64_t Hkv, int64_t D, int64_t window = 0, float softcap = 0) {
  const Attention a = attention(Hq, Hkv, D, window, softcap);
  const Floats q = numbers(n * Hq * D, 1, 2), k = numbers((past + n) * Hkv * D, 2, 2), v = numbers((past + n) * Hkv * D, 3);
  check_operation("attention_cached past=" + std::to_string(past) + " n=" + std::to_string(n) + name_of(a),
                  [&](const Ops& ops, const Run& run) {
                    std::vector<Floats> outputs = {Floats(n * Hq * D, NAN)};
                    ops.attention_cached(run, a, q.data(), k.data(), v.data(), past, n, outputs[0].data());
                    return outputs;
                  },
                  1e-4, true, kBf16);
}

}  // namespace

void attention_cases() {
  packed({0, 2}, 1, 1, 2);
  packed({0, 5, 6, 37}, 4, 2, 16);
  packed({0, 64, 128}, 2, 2, 64);
  packed({0, 200}, 3, 1, 64);
  packed({0, 130, 131, 260}, 6, 2, 40);
  packed({0, 97}, 2, 1, 128);
  packed({0, 33}, 9, 3, 20);
  cached(0, 1, 2, 1, 64);
  cached(0, 70, 4, 2, 64);
  cached(100, 1, 9, 3, 64);
  cached(513, 2, 4, 4, 40);
  cached(77, 50, 4, 2, 20);
  // Windows of two keys (with one there is no gradient to compare), of less and more than a tile of keys or queries, of exactly one, and longer than the sequence.
  packed({0, 5, 6, 37}, 4, 2, 16, 2);
  packed({0, 130, 131, 260}, 6, 2, 40, 7);
  packed({0, 300}, 2, 1, 20, 64);
  packed({0, 300, 411}, 3, 1, 64, 100);
  packed({0, 97, 200}, 2, 2, 34, 150);
  packed({0, 33}, 9, 3, 20, 1000);
  packed({0, 200}, 3, 1, 64, 0, 2);
  packed({0, 50, 260}, 4, 2, 24, 65, 0.5f);
  cached(100, 1, 9, 3, 64, 10);
  cached(100, 2, 4, 2, 20, 101, 1.5f);
  cached(200, 70, 4, 2, 64, 33);
  cached(10, 90, 2, 1, 40, 48, 3);
  cached(0, 3, 2, 1, 40, 1, 3);
}

}  // namespace lr::test
