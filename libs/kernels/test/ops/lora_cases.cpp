#include <cmath>

#include "bf16.h"
#include "cases.h"
#include "check.h"

namespace lr::test {

namespace {

// Pairs of different ranks on rows of their own, one of which nobody has: the same as each alone, byte for byte.
void several_pairs(Compute compute, int64_t in, int64_t out) {
  const int32_t ranks[] = {4, 17, 8, 33};
  const int64_t starts[] = {0, 9, 40, 41, 73};
  const int64_t T = starts[4] + 1;
  const Floats x = numbers(T * in, 1), dy = numbers(T * out, 2);
  for (const Ops* table : all_tables())
    for (const int threads : {1, 2, 3}) {
      const Machine machine(threads);
      Run run = machine.run;
      run.compute = compute;
      const Ops& ops = *table;
      std::vector<Floats> a, b, results[2];  // together, alone
      for (int i = 0; i < 4; ++i) {
        a.push_back(numbers(ranks[i] * in, 10 + i));
        b.push_back(numbers(out * ranks[i], 20 + i));
      }
      for (const bool alone : {false, true}) {
        std::vector<Floats>& made = results[alone];
        for (int i = 0; i < 4; ++i)
          for (const int64_t size : {(starts[i + 1] - starts[i]) * ranks[i], (starts[i + 1] - starts[i]) * ranks[i], ranks[i] * in, out * ranks[i]})
            made.emplace_back(size);
        std::vector<LoraRows> pairs;
        for (int i = 0; i < 4; ++i)
          pairs.push_back({{ranks[i], 0.5f, i == 1 ? 0.2f : 0, 3, a[i].data(), b[i].data(), made[4 * i + 2].data(), made[4 * i + 3].data()},
                           starts[i], starts[i + 1], made[4 * i].data(), made[4 * i + 1].data()});
        for (size_t i = 0; i < (alone ? pairs.size() : 1); ++i) {
          const std::span<const LoraRows> some = alone ? std::span<const LoraRows>(&pairs[i], 1) : std::span<const LoraRows>(pairs);
          ops.lora_hidden(run, x.data(), some, in);
          ops.lora_gradients(run, dy.data(), x.data(), some, in, out);
        }
      }
      expect(results[0] == results[1], std::string("several pairs at a time, ") + ops.name + (compute == Compute::BF16 ? " bf16" : "") +
                                           ", threads " + std::to_string(threads));
    }
}

// Pairs that were rounded beforehand give the bytes of those that are rounded where they are read.
void rounded_pairs(int64_t T, int64_t in, int64_t out, int32_t rank, float dropout) {
  const Floats x = numbers(T * in, 1), dy = numbers(T * out, 2), a = numbers(rank * in, 3), b = numbers(out * rank, 4);
  for (const Ops* table : all_tables()) {
    if (table->round_pairs == nullptr) continue;
    const auto outputs = [&](bool rounded) {
      Machine machine(2);
      machine.run.compute = Compute::BF16;
      std::vector<Floats> made = {Floats(T * rank, NAN), Floats(T * rank, NAN), numbers(rank * in, 5), numbers(out * rank, 6)};
      Lora pair{rank, 0.5f, dropout, 3, a.data(), b.data(), made[2].data(), made[3].data()};
      std::vector<uint16_t> a_rounded(rank * in + 8), b_rounded(out * rank + 8);
      const auto aligned = [](std::vector<uint16_t>& memory) {
        return reinterpret_cast<uint16_t*>((reinterpret_cast<uintptr_t>(memory.data()) + 15) / 16 * 16);
      };
      const RoundedPair wanted = {a.data(), b.data(), rank, in, out, aligned(a_rounded), aligned(b_rounded)};
      if (rounded) {
        table->round_pairs(machine.run, std::span(&wanted, 1));
        pair.a_rounded = wanted.a_rounded;
        pair.b_rounded = wanted.b_rounded;
      }
      const LoraRows rows{pair, 0, T, made[0].data(), made[1].data()};
      table->lora_hidden(machine.run, x.data(), std::span(&rows, 1), in);
      table->lora_gradients(machine.run, dy.data(), x.data(), std::span(&rows, 1), in, out);
      return made;
    };
    expect(outputs(true) == outputs(false), std::string("pairs rounded beforehand, ") + table->name + " rank " + std::to_string(rank));
  }
}

// The same for next tokens: hidden values without packing.
void decoding_pairs() {
  for (const int64_t in : {1, 30, 64, 77, 320}) {
    const int32_t ranks[] = {1, 16, 7, 33};
    const int64_t starts[] = {0, 1, 3, 4, 30};
    const Floats x = numbers(starts[4] * in, 1);
    std::vector<Floats> a;
    for (int i = 0; i < 4; ++i) a.push_back(numbers(ranks[i] * in, 10 + i));
    const auto hidden = [&](const Ops& ops, const Run& run, bool alone) {
      Run decoding = run;
      decoding.decoding = true;
      std::vector<Floats> made;
      std::vector<LoraRows> pairs;
      for (int i = 0; i < 4; ++i) made.emplace_back((starts[i + 1] - starts[i]) * ranks[i], NAN);
      for (int i = 0; i < 4; ++i)
        for (int64_t begin = starts[i]; begin < starts[i + 1]; begin += alone ? 1 : starts[i + 1] - starts[i])
          pairs.push_back({{ranks[i], 0.5f, 0, 0, a[i].data(), nullptr, nullptr, nullptr}, begin, alone ? begin + 1 : starts[i + 1],
                           made[i].data() + (begin - starts[i]) * ranks[i], nullptr});
      ops.lora_hidden(decoding, x.data(), pairs, in);
      return made;
    };
    const std::string name = "lora_hidden decoding in=" + std::to_string(in);
    check_operation(name, [&](const Ops& ops, const Run& run) { return hidden(ops, run, false); });
    for (const Ops* table : all_tables()) {
      const Machine machine(2);
      expect(hidden(*table, machine.run, false) == hidden(*table, machine.run, true), name + ": a token gets the same bytes alone");
    }
  }
}

// Pairs in bfloat16 give the bytes of the same values in floats: some tokens with one of them, some with another in floats, one with both.
void bf16_pairs() {
  struct Shape {
    int64_t T, out, in;
    int32_t rank;
    Storage storage;
  };
  const Shape shapes[] = {{1, 33, 64, 16, Storage::NF4}, {1, 1, 1, 1, Storage::F32},    {3, 40, 128, 4, Storage::NF4},  {5, 17, 77, 5, Storage::BF16},
                          {9, 70, 30, 7, Storage::INT8}, {12, 64, 192, 8, Storage::NF4}, {13, 31, 255, 9, Storage::F32}, {20, 90, 320, 33, Storage::NF4}};
  for (const auto& [T, out, in, rank, storage] : shapes) {
    const FrozenWeight w(storage, out, in, 1, storage == Storage::NF4);
    const Floats x = numbers(T * in, 2);
    const auto halves_of = [](const Floats& values) {
      std::vector<uint16_t> halves;
      for (const float value : values) halves.push_back(float_to_bf16(value));
      return halves;
    };
    const auto floats_of = [](const std::vector<uint16_t>& halves) {
      Floats values;
      for (const uint16_t half : halves) values.push_back(bf16_to_float(half));
      return values;
    };
    const std::vector<uint16_t> a_halves = halves_of(numbers(rank * in, 3)), b_halves = halves_of(numbers(out * rank, 4));
    const Floats a = floats_of(a_halves), b = floats_of(b_halves);
    const Lora floats{rank, 0.5f, 0, 0, a.data(), b.data(), nullptr, nullptr};
    const Lora halves{rank, 0.5f, 0, 0, nullptr, nullptr, nullptr, nullptr, a_halves.data(), b_halves.data()};
    for (const Ops* table : all_tables()) {
      if (!table->bf16_pairs) continue;
      const auto outputs = [&](const Lora& pair, bool decoding) {
        Machine machine(2);
        machine.run.decoding = decoding;
        const int64_t middle = (T + 1) / 2;
        Floats hidden((T + 1) * rank, NAN), y(T * out, NAN), norms(out, NAN);
        const std::vector<LoraRows> rows = {{pair, 0, middle, hidden.data(), nullptr}, {floats, middle - 1, T, hidden.data() + middle * rank, nullptr}};
        table->lora_hidden(machine.run, x.data(), rows, in);
        table->linear_forward(machine.run, x.data(), w.weight, nullptr, rows, y.data(), T);
        table->row_norms(machine.run, w.weight, pair, norms.data());
        return std::vector<Floats>{hidden, y, norms};
      };
      for (const bool decoding : {false, true})
        expect(outputs(floats, decoding) == outputs(halves, decoding),
               std::string("pairs in bfloat16, ") + table->name + (decoding ? ", decoding" : "") + " rank " + std::to_string(rank));
    }
  }
}

}  // namespace

void lora_cases() {
  decoding_pairs();
  for (const Compute compute : {Compute::F32, Compute::BF16}) {
    several_pairs(compute, 70, 150);
    several_pairs(compute, 72, 152);
  }
  bf16_pairs();
  rounded_pairs(21, 72, 152, 5, 0);
  rounded_pairs(40, 128, 64, 16, 0.2f);
  rounded_pairs(9, 64, 80, 33, 0);
  struct Shape {
    int64_t T, in, out;
    int32_t rank;
  };
  const Shape shapes[] = {{1, 64, 64, 8}, {3, 33, 17, 1}, {16, 128, 96, 4}, {37, 300, 130, 13}, {70, 96, 520, 16}, {300, 64, 40, 64},
                          {20, 2600, 2200, 16}, {1100, 40, 24, 16}};
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
            const LoraRows rows{l, 0, T, h.data(), dh.data()};
            ops.lora_hidden(run, x.data(), std::span(&rows, 1), in);
            ops.lora_output(run, h.data(), l, out, new_y.data(), T);
            ops.lora_gradients(run, dy.data(), x.data(), std::span(&rows, 1), in, out);
            ops.lora_input_gradient(run, dh.data(), l, in, new_dx.data(), T);
            return std::vector<Floats>{h, new_y, dh, grad_a, grad_b, new_dx};
          },
          1e-4, true, kPairTolerance);
    }
}

}  // namespace lr::test
