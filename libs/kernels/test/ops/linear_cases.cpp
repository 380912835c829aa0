#include <cmath>

#include "cases.h"
#include "check.h"
#include "model/storage.h"

namespace lr::test {

namespace {

// Inputs that blocks of integers cannot hold as they are: a token that is not finite stays so and leaves the others alone, and blocks of
// zeros and of the smallest floats do no harm.
void strange_inputs() {
  struct Way {
    const char* name;
    Compute compute;
    bool decoding, backward;
  };
  constexpr int64_t kWidth = 256;
  const FrozenWeight w(Storage::NF4, kWidth, kWidth, 1, true);
  for (const Way& way : {Way{"decoding", Compute::F32, true, false}, Way{"in bf16", Compute::BF16, false, false}, Way{"backward in bf16", Compute::BF16, false, true}})
    for (const int64_t T : {3, 12})
      for (const Ops* table : all_tables()) {
        const std::string name = std::string("linear ") + way.name + ": ";
        Machine machine(1, way.compute);
        machine.run.decoding = way.decoding;
        Floats x = numbers(T * kWidth, 2), plain(T * kWidth), strange(T * kWidth);
        const auto product = [&](Floats& y) {
          if (way.backward) {
            table->linear_backward(machine.run, x.data(), w.weight, {}, y.data(), T, false);
          } else {
            table->linear_forward(machine.run, x.data(), w.weight, nullptr, {}, y.data(), T);
          }
        };
        std::fill_n(x.begin(), kWidth, 0.0f);
        std::fill_n(x.begin() + 64, 64, 1e-40f);
        product(plain);
        for (int64_t i = 0; i < kWidth; ++i) expect(std::fabs(plain[i]) < 1e-36f, name + "zeros and the smallest floats");
        for (const float value : {NAN, INFINITY, -INFINITY}) {
          x[2 * kWidth - 1] = value;
          product(strange);
          bool finite = false;
          for (int64_t i = kWidth; i < 2 * kWidth; ++i) finite |= std::isfinite(strange[i]);
          expect(!finite, name + "what is not finite stays so");
          expect(std::equal(strange.begin(), strange.begin() + kWidth, plain.begin()) && std::equal(strange.begin() + 2 * kWidth, strange.end(), plain.begin() + 2 * kWidth),
                 name + "other tokens do not see it");
        }
      }
}

// As many rows or tokens as make a GPU take its largest tiles.
void many_tiles() {
  struct Shape {
    int64_t T, out, in;
  };
  for (const auto& [T, out, in] : {Shape{20, 12225, 64}, Shape{6150, 5, 192}}) {
    const FrozenWeight w(Storage::NF4, out, in, 1, true);
    const Floats x = numbers(T * in, 2);
    for (const Ops* table : all_tables()) {
      Machine machine(1, Compute::BF16);
      machine.run.decoding = true;
      Floats all(T * out), alone(out);
      table->linear_forward(machine.run, x.data(), w.weight, nullptr, {}, all.data(), T);
      for (const int64_t token : {int64_t{0}, T / 2, T - 1}) {
        table->linear_forward(machine.run, x.data() + token * in, w.weight, nullptr, {}, alone.data(), 1);
        expect(std::equal(alone.begin(), alone.end(), all.begin() + token * out), "linear decoding: a token gets the same bytes alone as in many tiles");
      }
    }
  }
}

}  // namespace

void linear_cases() {
  strange_inputs();
  many_tiles();
  struct Kept {
    Storage storage;
    bool double_quant;
  };
  const Kept kStorages[] = {{Storage::F32, false}, {Storage::BF16, false}, {Storage::NF4, false}, {Storage::NF4, true},
                            {Storage::FP4, false}, {Storage::FP4, true},   {Storage::INT8, false}};
  struct Shape {
    int64_t T, out, in;
  };
  // Around the sizes at which the fast code changes: token counts of the streaming path, register tiles, cache blocks; widths
  // that are no multiple of a vector or of a quantization block.
  const Shape shapes[] = {{1, 64, 128},   {1, 1, 1},     {2, 33, 64},    {3, 100, 192},  {5, 7, 30},    {8, 257, 320},
                          {9, 96, 64},    {12, 32, 256}, {13, 31, 255},  {16, 48, 1088}, {37, 129, 65}, {64, 512, 512},
                          {50, 640, 576}, {7, 70, 1030}, {150, 33, 600}, {29, 1100, 77},
                          {261, 40, 320}, {31, 9, 6144}, {55, 9, 4100}, {67, 20, 4096},
                          // Tiles of decoding on a GPU, with few rows and tokens in the last ones.
                          {17, 66, 704}, {97, 70, 832},
                          // Columns that packed B has just no room for, in tiles of AVX2 and of AVX-512.
                          {2, 1360, 768}, {1, 2720, 768}};
  for (const Shape& shape : shapes)
    for (const auto& [storage, double_quant] : kStorages) {
      const auto [T, out, in] = shape;
      // Where tables are slow: which storage a matrix has is over before most products begin (quantize_cases have all of them), but not before
      // those of decoding with whole blocks.
      if (!every_case() && !double_quant && storage != Storage::INT8 && (in % 64 != 0 || T * out * in > 300000)) continue;
      const FrozenWeight w(storage, out, in, 1, double_quant);
      const Floats x = numbers(T * in, 2), dy = numbers(T * out, 3), bias = numbers(out, 4), dx = numbers(T * in, 5);
      // Two pairs of different rank on different rows, the second on the last ones; a row may be between them.
      const int32_t ranks[] = {3, 17};
      const Floats a1 = numbers(ranks[0] * in, 6), b1 = numbers(out * ranks[0], 7), a2 = numbers(ranks[1] * in, 8),
                   b2 = numbers(out * ranks[1], 9);
      Floats h = numbers(T * ranks[1], 10);
      const LoraRows both[] = {
          {{ranks[0], 0.5f, 0, 0, a1.data(), b1.data(), nullptr, nullptr}, 0, T / 2, h.data(), h.data()},
          {{ranks[1], 2.0f, 0, 0, a2.data(), b2.data(), nullptr, nullptr}, (T + 1) / 2, T, h.data(), h.data()}};
      const std::span<const LoraRows> pairs(both);
      LoraRows alone = both[1];
      alone.hidden += (T - 1 - alone.begin) * ranks[1];
      alone.begin = 0;
      alone.end = 1;
      const std::string name = "linear T=" + std::to_string(T) + " out=" + std::to_string(out) + " in=" + std::to_string(in) +
                               " storage=" + storage_name(storage) + (double_quant ? " double" : "");
      check_operation(
          name,
          [&](const Ops& ops, const Run& run) {
            std::vector<Floats> outputs = {Floats(T * out, NAN), Floats(T * out, NAN), Floats(T * in, NAN), dx};
            ops.linear_forward(run, x.data(), w.weight, nullptr, {}, outputs[0].data(), T);
            ops.linear_forward(run, x.data(), w.weight, bias.data(), pairs, outputs[1].data(), T);
            ops.linear_backward(run, dy.data(), w.weight, {}, outputs[2].data(), T, false);
            ops.linear_backward(run, dy.data(), w.weight, pairs, outputs[3].data(), T, true);
            return outputs;
          },
          1e-4, true, kPairTolerance);
      check_operation(
          name + " decoding",
          [&](const Ops& ops, const Run& run) {
            Run decoding = run;
            decoding.decoding = true;
            Floats y(T * out, NAN);
            ops.linear_forward(decoding, x.data(), w.weight, bias.data(), pairs, y.data(), T);
            return std::vector<Floats>{y};
          },
          1e-4, true, kPairTolerance);
      for (const Ops* table : all_tables()) {
        for (const Compute compute : {Compute::F32, Compute::BF16})
          for (const bool decoding : {false, true}) {
            if (!every_case() && compute == Compute::BF16 && !decoding) continue;
            Machine machine(2, compute);
            machine.run.decoding = decoding;
            Floats all(T * out), last(out);
            table->linear_forward(machine.run, x.data(), w.weight, nullptr, pairs, all.data(), T);
            table->linear_forward(machine.run, x.data() + (T - 1) * in, w.weight, nullptr, std::span(&alone, both[1].begin < T ? 1 : 0), last.data(), 1);
            expect(std::equal(last.begin(), last.end(), all.end() - out), name + ": a token gets the same bytes alone" +
                                                                              (decoding ? ", decoding" : "") + (compute == Compute::BF16 ? " in bf16" : ""));
          }
      }
    }
}

}  // namespace lr::test
