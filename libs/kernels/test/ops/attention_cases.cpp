#include <cmath>

#include "cases.h"
#include "check.h"

namespace lr::test {
namespace {

void packed(const std::vector<int32_t>& starts, int64_t Hq, int64_t Hkv, int64_t D) {
  const int64_t T = starts.back(), n_sequences = static_cast<int64_t>(starts.size()) - 1;
  const float scale = 1 / std::sqrt(static_cast<float>(D));
  const Floats q = numbers(T * Hq * D, 1, 2), k = numbers(T * Hkv * D, 2, 2), v = numbers(T * Hkv * D, 3), dout = numbers(T * Hq * D, 4);
  check_operation("attention T=" + std::to_string(T) + " Hq=" + std::to_string(Hq) + " Hkv=" + std::to_string(Hkv) +
                      " D=" + std::to_string(D),
                  [&](const Ops& ops, const Run& run) {
                    std::vector<Floats> outputs = {Floats(T * Hq * D, NAN), Floats(T * Hq, NAN), Floats(T * Hq * D, NAN),
                                                   Floats(T * Hkv * D, NAN), Floats(T * Hkv * D, NAN)};
                    ops.attention_forward(run, q.data(), k.data(), v.data(), starts.data(), n_sequences, scale,
                                          outputs[0].data(), outputs[1].data(), Hq, Hkv, D);
                    ops.attention_backward(run, dout.data(), q.data(), k.data(), v.data(), outputs[0].data(),
                                           outputs[1].data(), starts.data(), n_sequences, scale, outputs[2].data(),
                                           outputs[3].data(), outputs[4].data(), Hq, Hkv, D);
                    return outputs;
                  });
}

void cached(int64_t past, int64_t n, int64_t Hq, int64_t Hkv, int64_t D) {
  const float scale = 1 / std::sqrt(static_cast<float>(D));
  const Floats q = numbers(n * Hq * D, 1, 2), k = numbers((past + n) * Hkv * D, 2, 2), v = numbers((past + n) * Hkv * D, 3);
  check_operation("attention_cached past=" + std::to_string(past) + " n=" + std::to_string(n) + " D=" + std::to_string(D),
                  [&](const Ops& ops, const Run& run) {
                    std::vector<Floats> outputs = {Floats(n * Hq * D, NAN)};
                    ops.attention_cached(run, q.data(), k.data(), v.data(), past, n, scale, outputs[0].data(), Hq, Hkv, D);
                    return outputs;
                  });
}

}  // namespace

void attention_cases() {
  packed({0, 1}, 1, 1, 2);
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
}

}  // namespace lr::test
