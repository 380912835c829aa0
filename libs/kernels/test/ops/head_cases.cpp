#include <cmath>

#include "cases.h"
#include "check.h"

namespace lr::test {
namespace {

std::vector<Floats> head_loss(const Ops& ops, const Run& run, const Floats& hidden, const Weight& head,
                              const std::vector<int32_t>& targets, int64_t chunk, bool backward, float smoothed = 0, float softcap = 0) {
  const auto T = static_cast<int64_t>(targets.size());
  Floats scale = numbers(T, 9), smoothing(T, smoothed), loss(T, NAN), dhidden(hidden.size(), NAN);
  for (int64_t t = 0; t < T; t += 4) smoothing[t] = 0;
  std::vector<uint8_t> correct(T);
  ops.head_loss(run, hidden.data(), head, targets.data(), scale.data(), smoothed == 0 ? nullptr : smoothing.data(), chunk, softcap, loss.data(), correct.data(),
                backward ? dhidden.data() : nullptr, T);
  if (!backward) dhidden.assign(hidden.size(), 0);
  return {loss, Floats(correct.begin(), correct.end()), dhidden};
}

}  // namespace

void head_cases() {
  struct Shape {
    int64_t T, d, vocab, chunk;
  };
  for (const auto& [T, d, vocab, chunk] : {Shape{1, 8, 5, 1}, {7, 64, 300, 3}, {40, 96, 1000, 16}, {33, 130, 517, 64}, {420, 16, 40, 400}})
    for (const Storage storage : {Storage::F32, Storage::BF16}) {
      const FrozenWeight head(storage, vocab, d, 1);
      const Floats hidden = numbers(T * d, 2, 5);
      std::vector<int32_t> targets(T);
      for (int64_t t = 0; t < T; ++t) targets[t] = t % 3 == 1 ? -100 : static_cast<int32_t>(t * 31 % vocab);
      const std::string name = "head_loss T=" + std::to_string(T) + " d=" + std::to_string(d) + " vocab=" + std::to_string(vocab);
      for (const bool backward : {true, false})
        for (const auto& [smoothed, softcap] : {std::pair{0.0f, 0.0f}, {0.2f, 0.0f}, {0.0f, 1.5f}, {0.2f, 1.5f}})
          check_operation(
              name + " smoothing=" + std::to_string(smoothed) + " softcap=" + std::to_string(softcap),
              [&](const Ops& ops, const Run& run) {
                return head_loss(ops, run, hidden, head.weight, targets, chunk, backward, smoothed, softcap);
              },
              1e-4, true);
      const Machine machine(2);
      for (const Ops* table : fast_tables())
        expect(head_loss(*table, machine.run, hidden, head.weight, targets, chunk, true) ==
                   head_loss(*table, machine.run, hidden, head.weight, targets, T + 1, true),
               name + ": bytes depend on the chunk");
    }
  // Equal logits: the arg-max is the lowest id.
  const FrozenWeight head(Storage::F32, 40, 4, 1);
  const std::vector<int32_t> first(3, 0), other(3, 20);
  for (const Ops* table : all_tables()) {
    const Machine machine(1);
    const Floats zeros(12, 0);
    expect(head_loss(*table, machine.run, zeros, head.weight, first, 8, false)[1] == Floats(3, 1) &&
               head_loss(*table, machine.run, zeros, head.weight, other, 8, false)[1] == Floats(3, 0),
           "head_loss: a tie goes to the lowest id");
  }
}

}  // namespace lr::test
