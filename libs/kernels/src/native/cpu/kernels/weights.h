// Weights in any storage as floats, and the sources and sinks of products that several operations share.
#pragma once
#include "gemm.h"
#include "quantization.h"

namespace lr::LR_ISA {

// n elements of a 4-bit matrix with these 16 levels from flat index i on. dynamic is quant::dynamic_levels().
static inline void widen_four_bit(const Weight& w, const float* levels, const std::array<float, 256>& dynamic, int64_t i,
                                  int64_t n, float* out) {
  while (n > 0) {
    const int64_t offset = i % quant::kBlock, count = least(quant::kBlock - offset, n);
    const float scale = quant::block_scale(w.scales, i / quant::kBlock, dynamic);
    if (count == quant::kBlock) {
      const Levels scaled = scaled_levels(levels, scale);
      for (int64_t j = 0; j < quant::kBlock; j += 2 * W) {
        V even, odd;
        look_up(static_cast<const uint8_t*>(w.data) + (i + j) / 2, scaled, &even, &odd);
        store_interleaved(out + j, even, odd);
      }
    } else {
      for (int64_t j = 0; j < count; ++j) out[j] = levels[quant::code_at(w.data, i + j)] * scale;
    }
    i += count;
    out += count;
    n -= count;
  }
}

static inline void widen_int8(const int8_t* values, float scale, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + W <= n; i += W) store(out + i, from_int8(values + i) * set(scale));
  for (; i < n; ++i) out[i] = static_cast<float>(values[i]) * scale;
}

// Elements (row, col … col+n-1) of a weight.
struct WeightReader {
  explicit WeightReader(const Weight& weight)
      : w(weight), levels(quant::four_bit(weight.storage).levels.data()), dynamic(quant::dynamic_levels()) {}
  void read(int64_t row, int64_t col, int64_t n, float* out) const {
    const int64_t i = row * w.cols + col;
    switch (w.storage) {
      case Storage::F32: return copy(static_cast<const float*>(w.data) + i, n, out);
      case Storage::BF16: return copy(static_cast<const uint16_t*>(w.data) + i, n, out);
      case Storage::INT8: return widen_int8(static_cast<const int8_t*>(w.data) + i, quant::row_scale(w.scales, row), n, out);
      case Storage::NF4:
      case Storage::FP4: return widen_four_bit(w, levels, dynamic, i, n, out);
    }
  }
  const Weight& w;
  const float* levels;  // of a 4-bit storage
  const std::array<float, 256>& dynamic;
};

// B = Wᵀ: its columns are the rows of the weight.
struct TransposedWeight : WeightReader {
  using WeightReader::WeightReader;
  static constexpr bool kAlongK = true;
  void line(int64_t col, int64_t k, int64_t n, float* out) const { read(col, k, n, out); }
};
// B = W
struct PlainWeight : WeightReader {
  using WeightReader::WeightReader;
  static constexpr bool kAlongK = false;
  void line(int64_t k, int64_t col, int64_t n, float* out) const { read(k, col, n, out); }
};

// An operand `width` wide as A.
struct OperandRows {
  Operand x;
  int64_t width;
  const uint16_t* halves(int64_t m) const { return x.halves == nullptr ? nullptr : x.halves + m * x.stride; }
  void row(int64_t m, int64_t k, int64_t n, float* out) const {
    with_rows(x, width, [&](auto rows) { copy(rows(m) + k, n, out); });
  }
};

// A row-major matrix of floats as B, and as Bᵀ.
struct PlainMatrix {
  static constexpr bool kAlongK = false;
  const float* data;
  int64_t stride;
  void line(int64_t k, int64_t col, int64_t n, float* out) const { copy(data + k * stride + col, n, out); }
};
template <class Element>  // float, or uint16_t for bfloat16
struct TransposedMatrix {
  static constexpr bool kAlongK = true;
  const Element* data;
  int64_t stride;
  void line(int64_t col, int64_t k, int64_t n, float* out) const { copy(data + col * stride + k, n, out); }
};

// f(elements of a pair's A), and of its B: floats or bfloat16.
template <class F>
static inline void with_a(const Lora& l, const F& f) {
  l.a_bf16 == nullptr ? f(l.a) : f(l.a_bf16);
}
template <class F>
static inline void with_b(const Lora& l, const F& f) {
  l.b_bf16 == nullptr ? f(l.b) : f(l.b_bf16);
}

// C stored to, or added to, an operand `width` wide; a bias [N] is added first. Nothing is added to bfloat16.
struct OperandSink {
  OperandOut c;
  int64_t width;
  bool accumulate;
  const float* bias;
  bool rounds() const { return c.halves != nullptr; }
  void expect(int64_t m, int64_t rows, int64_t n) const {
    with_rows(c, width, [&](auto c_rows) {
      constexpr int64_t kLine = 64 / sizeof *c_rows.data;
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < kTileCols; j += kLine) __builtin_prefetch(c_rows(m + i) + n + j, 1);
    });
  }
  void take(const float* values, int64_t m, int64_t rows, int64_t n, int64_t cols, bool first) const {
    with_rows(c, width, [&](auto c_rows) {
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < cols; j += W) {
          auto* p = c_rows(m + i) + n + j;
          const int64_t lanes = least(cols - j, W);
          V value = load(values + i * kTileCols + j);
          if (first && bias != nullptr) value = value + load_part(bias + n + j, lanes);
          put(p, first && !accumulate ? value : get(p, lanes) + value, lanes);
        }
    });
  }
};

}  // namespace lr::LR_ISA
