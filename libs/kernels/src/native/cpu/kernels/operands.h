// Rows of operands (ops.h), floats or bfloat16, as vectors: widened where they are loaded, rounded to nearest even where they are stored.
#pragma once
#include <type_traits>

#include "ops.h"
#include "vec.h"

namespace lr::LR_ISA {

#if defined(__AVX512F__)
static inline __m256i to_bf16(V v) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v));
#else
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(round_bf16(v)), 16));
#endif
}
static inline void store(uint16_t* p, V v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_bf16(v)); }
static inline void store_part(uint16_t* p, V v, int64_t n) {
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << n) - 1), to_bf16(v));
}
// The first n ≤ 2W values of bfloat16, two neighbours to a lane; the others 0.
static inline V load_pairs(const uint16_t* p, int64_t n) {
  return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << n) - 1), p));
}
#else
static inline __m128i to_bf16(V v) {
  const I words = _mm256_srli_epi32(_mm256_castps_si256(round_bf16(v)), 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}
static inline void store(uint16_t* p, V v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), to_bf16(v)); }
static inline void store_part(uint16_t* p, V v, int64_t n) {
  uint16_t values[W];
  store(values, v);
  std::memcpy(p, values, static_cast<size_t>(n) * sizeof *p);
}
#endif

// The first `lanes` ≤ W lanes of a row from p on; the others load as 0.
template <class Element>
static inline V get(const Element* p, int64_t lanes) {
  return lanes == W ? load(p) : load_part(p, lanes);
}
template <class Element>
static inline void put(Element* p, V v, int64_t lanes) {
  if (lanes == W) {
    store(p, v);
  } else {
    store_part(p, v, lanes);
  }
}

// n values from one type to another.
template <class From, class To>
static inline void copy(const From* values, int64_t n, To* out) {
  int64_t i = 0;
  for (; i + W <= n; i += W) store(out + i, load(values + i));
  if (i < n) store_part(out + i, load_part(values + i, n - i), n - i);
}

// Rows, `stride` elements apart.
template <class Element>
struct RowsApart {
  Element* data;
  int64_t stride;
  Element* operator()(int64_t row) const { return data + row * stride; }
  RowsApart from(int64_t row, int64_t column) const { return {data + row * stride + column, stride}; }
};

// Those of an operand `width` wide, Operand or OperandOut, that is known to be in floats or in bfloat16.
template <class Element, class AnyOperand>
static inline RowsApart<Element> rows_of(const AnyOperand& x, int64_t width) {
  if constexpr (std::is_same_v<std::remove_const_t<Element>, float>) {
    return {x.floats, width};
  } else {
    return {x.halves, x.stride};
  }
}

// Calls f(rows) with those of an operand `width` wide, whatever it is in.
template <class F>
static inline void with_rows(const Operand& x, int64_t width, const F& f) {
  x.halves == nullptr ? f(rows_of<const float>(x, width)) : f(rows_of<const uint16_t>(x, width));
}
template <class F>
static inline void with_rows(const OperandOut& x, int64_t width, const F& f) {
  x.halves == nullptr ? f(rows_of<float>(x, width)) : f(rows_of<uint16_t>(x, width));
}

}  // namespace lr::LR_ISA
