#include <cmath>

#include "cases.h"
#include "check.h"

namespace lr::test {

void lora_cases() {
  struct Shape {
    int64_t T, in, out;
    int32_t rank;
  };
  const Shape shapes[] = {{1, 64, 64, 8}, {3, 33, 17, 1}, {16, 128, 96, 4}, {37, 300, 130, 13}, {70, 96, 520, 16}, {300, 64, 40, 64}};
  for (const Shape& shape : shapes)
    for (const float dropout : {0.0f, 0.1f}) {
      const auto [T, in, out, rank] = shape;
      const Floats a = numbers(rank * in, 1), b = numbers(out * rank, 2), x = numbers(T * in, 3), y = numbers(T * out, 4);
      const Floats dy = numbers(T * out, 5), dx = numbers(T * in, 6);
      const std::string name = "lora T=" + std::to_string(T) + " in=" + std::to_string(in) + " out=" + std::to_string(out) +
                               " rank=" + std::to_string(rank) + " dropout=" + std::to_string(dropout);
      check_operation(
          name,
          [&](const Ops& ops, const Run& run) {
            Floats h(T * rank, NAN), dh(T * rank, NAN), grad_a = numbers(rank * in, 7), grad_b = numbers(out * rank, 8), new_y = y, new_dx = dx;
            const Lora l{rank, 0.5f, dropout, 77, a.data(), b.data(), grad_a.data(), grad_b.data()};
            ops.lora_hidden(run, x.data(), l, in, h.data(), T);
            ops.lora_output(run, h.data(), l, out, new_y.data(), T);
            ops.lora_gradients(run, dy.data(), x.data(), h.data(), l, in, out, dh.data(), T);
            ops.lora_input_gradient(run, dh.data(), l, in, new_dx.data(), T);
            return std::vector<Floats>{h, new_y, dh, grad_a, grad_b, new_dx};
          },
          1e-4, true);
    }
}

}  // namespace lr::test
