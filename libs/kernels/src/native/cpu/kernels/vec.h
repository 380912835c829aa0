// Float vectors of the instruction set this file is compiled for (LR_ISA, set by the Makefile): W lanes in a V.
// GCC's vector types have the operators + - * / themselves. Everything here is static or in the instruction set's namespace:
// a shared inline function would be compiled for several instruction sets, and the linker keeps one of them for all.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace lr::LR_ISA {

#if defined(__AVX512F__)

constexpr int W = 16;
using V = __m512;
using I = __m512i;  // W 32-bit integers

static inline V set(float value) { return _mm512_set1_ps(value); }
// W floats, and below W bfloat16 values as floats.
static inline V load(const float* p) { return _mm512_loadu_ps(p); }
static inline void store(float* p, V v) { _mm512_storeu_ps(p, v); }
// The first n ≤ W lanes; the others load as 0.
static inline V load_part(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p); }
static inline void store_part(float* p, V v, int64_t n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
}
static inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
static inline V max(V a, V b) { return _mm512_max_ps(a, b); }
static inline V min(V a, V b) { return _mm512_min_ps(a, b); }
static inline V sqrt(V a) { return _mm512_sqrt_ps(a); }
static inline V round(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// 2^n for whole n in [-126, 127]
static inline V power_of_two(V n) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}
static inline V from_bf16(__m256i halves) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16)); }
static inline V load(const uint16_t* p) { return from_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
static inline V load_part(const uint16_t* p, int64_t n) { return from_bf16(_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << n) - 1), p)); }
// Rounded to bfloat16, to nearest even, left in floats.
static inline V round_bf16(V v) {
  const I bits = _mm512_castps_si512(v);
  const I odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const I up = _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7FFF));
  return _mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32(static_cast<int>(0xFFFF0000))));
}
// Lane by lane: the bfloat16 in the upper half of `second` and the one in the upper half of `first` below it.
static inline V pair_bf16(V first, V second) {
  const I low = _mm512_srli_epi32(_mm512_castps_si512(first), 16);
  return _mm512_castsi512_ps(_mm512_mask_blend_epi16(0xAAAAAAAA, low, _mm512_castps_si512(second)));
}
// Fixed order: halves are added until one lane is left.
static inline float sum(V v) { return _mm512_reduce_add_ps(v); }
static inline float largest(V v) { return _mm512_reduce_max_ps(v); }
// Lane i is sum(v[i]), added in the same order; v [W] is overwritten.
static inline V lane_sums(V* v) {
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 2; ++j) {  // 8 lanes each of v[8j + i] and v[8j + i + 4]
      const V a = v[8 * j + i], b = v[8 * j + i + 4];
      v[8 * j + i] = _mm512_shuffle_f32x4(a, b, 0x44) + _mm512_shuffle_f32x4(a, b, 0xEE);
    }
  for (int i = 0; i < 4; ++i) v[i] = _mm512_shuffle_f32x4(v[i], v[8 + i], 0x88) + _mm512_shuffle_f32x4(v[i], v[8 + i], 0xDD);
  for (int i = 0; i < 4; i += 2) v[i] = _mm512_shuffle_ps(v[i], v[i + 1], 0x44) + _mm512_shuffle_ps(v[i], v[i + 1], 0xEE);
  return _mm512_shuffle_ps(v[0], v[2], 0x88) + _mm512_shuffle_ps(v[0], v[2], 0xDD);
}

static inline V from_int8(const int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

// Elements of a table at W indices.
static inline V look_up_bytes(const float* table, const uint8_t* indices) {
  return _mm512_i32gather_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(indices))), table, sizeof(float));
}

// ---- 4-bit storages: 2W codes, first of a pair in the high half of its byte
using Levels = V;  // the 16 levels, or a multiple of them
static inline Levels scaled_levels(const float* levels, float scale) { return load(levels) * set(scale); }
// W bytes: `first` gets the values of their high halves (elements 0, 2, …), `second` those of the low halves.
static inline void look_up(const uint8_t* codes, Levels levels, V* first, V* second) {
  const I bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
  *first = _mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), levels);  // reads the low 4 bits of each lane
  *second = _mm512_permutexvar_ps(bytes, levels);
}
// Elements of `even` and `odd` in turn: 2W floats.
static inline void store_interleaved(float* p, V even, V odd) {
  const I low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const I high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  store(p, _mm512_permutex2var_ps(even, low, odd));
  store(p + W, _mm512_permutex2var_ps(even, high, odd));
}
// ---- Blocks of 64 4-bit codes as integers of 16 bits, in the order that store_rounded puts others in
constexpr int kBlockVectors = 2;
// 16 levels, twice: a permutation of words looks at five bits of each, of which the fifth then does not matter.
struct IntLevels {
  explicit IntLevels(const int16_t* values) : words(_mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(values)))) {}
  I words;
};
// A word of 16 bits has the codes of elements 4w + 1, 4w, 4w + 3 and 4w + 2, from its lowest bits on. First the elements 4w of all 16 words, then
// 4w + 1; 4w + 2, then 4w + 3.
static inline void look_up_block(const uint8_t* codes, const IntLevels& levels, I* out) {
  const I words = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
  const I first = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(4), 0);
  const I second = _mm512_inserti64x4(_mm512_set1_epi16(8), _mm256_set1_epi16(12), 0);
  out[0] = _mm512_permutexvar_epi16(_mm512_srlv_epi16(words, first), levels.words);
  out[1] = _mm512_permutexvar_epi16(_mm512_srlv_epi16(words, second), levels.words);
}
// 64 floats times `factor`, rounded to integers.
static inline void store_rounded(const float* p, float factor, int16_t* block) {
  const auto words = [&](int i) {
    const auto half = [&](int j) { return _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(load(p + 32 * i + W * j) * set(factor))); };
    return _mm512_inserti64x4(_mm512_castsi256_si512(half(0)), half(1), 1);
  };
  const I low = words(0), high = words(1);
  int16_t order[32];
  for (int16_t i = 0; i < 32; ++i) order[i] = static_cast<int16_t>(i % 16 * 4 + i / 16);
  const I first = _mm512_loadu_si512(order);
  _mm512_storeu_si512(block, _mm512_permutex2var_epi16(low, first, high));
  _mm512_storeu_si512(block + 32, _mm512_permutex2var_epi16(low, _mm512_add_epi16(first, _mm512_set1_epi16(2)), high));
}
static inline I load_ints(const int16_t* p) { return _mm512_loadu_si512(p); }
static inline void store_ints(int16_t* p, I v) { _mm512_storeu_si512(p, v); }
// Lane by lane the sum of two products of 16-bit integers, exact; and sum + that.
static inline I multiply_pairs(I a, I b) { return _mm512_madd_epi16(a, b); }
static inline I add_products(I sum, I a, I b) { return _mm512_dpwssd_epi32(sum, a, b); }
static inline V to_float(I v) { return _mm512_cvtepi32_ps(v); }

// Transposes W vectors of W lanes in place.
static inline void transpose(V* r) {
  V t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; ++j) {
      const __m512d low = _mm512_castps_pd(t[i + j]), high = _mm512_castps_pd(t[i + j + 2]);
      r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  // r[4g + j] holds, in 128-bit part p, rows 4g … 4g+3 of column 4p + j
  for (int j = 0; j < 4; ++j) {
    const V a = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x88), b = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xDD);
    const V c = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x88), d = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xDD);
    t[j] = _mm512_shuffle_f32x4(a, c, 0x88);
    t[4 + j] = _mm512_shuffle_f32x4(b, d, 0x88);
    t[8 + j] = _mm512_shuffle_f32x4(a, c, 0xDD);
    t[12 + j] = _mm512_shuffle_f32x4(b, d, 0xDD);
  }
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

// ---- Philox: W blocks at a time
static inline I set_int(uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }
static inline I add_int(I a, I b) { return _mm512_add_epi32(a, b); }
static inline I xor_int(I a, I b) { return _mm512_xor_si512(a, b); }
// Low and high 32 bits of the products of a and the constant m.
static inline void multiply_wide(I a, I m, I* low, I* high) {
  const I even = _mm512_mul_epu32(a, m), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), m);
  *low = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
  *high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
}
// Lane 4p + j counts block 4j + p, so that the words come out in order below.
static inline I lane_blocks() { return _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15); }
// value where the upper 24 bits of `word`, as a fraction, are at least p; else 0
static inline V keep_at_least(I word, V p, V value) {
  const V uniform = _mm512_cvtepi32_ps(_mm512_srli_epi32(word, 8)) * set(0x1p-24f);
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(uniform, p, _CMP_GE_OQ), value);
}
static inline I unpack_low(I a, I b) { return _mm512_unpacklo_epi32(a, b); }
static inline I unpack_high(I a, I b) { return _mm512_unpackhi_epi32(a, b); }
static inline I unpack_low64(I a, I b) { return _mm512_unpacklo_epi64(a, b); }
static inline I unpack_high64(I a, I b) { return _mm512_unpackhi_epi64(a, b); }

#else  // AVX2

constexpr int W = 8;
using V = __m256;
using I = __m256i;

static inline V set(float value) { return _mm256_set1_ps(value); }
static inline V load(const float* p) { return _mm256_loadu_ps(p); }
static inline void store(float* p, V v) { _mm256_storeu_ps(p, v); }
static inline I first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline V load_part(const float* p, int64_t n) { return _mm256_maskload_ps(p, first_lanes(n)); }
static inline void store_part(float* p, V v, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n), v); }
static inline V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
static inline V max(V a, V b) { return _mm256_max_ps(a, b); }
static inline V min(V a, V b) { return _mm256_min_ps(a, b); }
static inline V sqrt(V a) { return _mm256_sqrt_ps(a); }
static inline V round(V a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline V power_of_two(V n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
static inline V from_bf16(__m128i halves) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16)); }
static inline V load(const uint16_t* p) { return from_bf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
static inline V load_part(const uint16_t* p, int64_t n) {
  uint64_t low = 0, high = 0;
  if (n < 4) {
    for (int64_t i = 0; i < n; ++i) low |= uint64_t{p[i]} << 16 * i;
  } else {  // two words that overlap: no byte beyond the last value is read
    std::memcpy(&low, p, sizeof low);
    if (n > 4) {
      std::memcpy(&high, p + n - 4, sizeof high);
      high >>= 16 * (8 - n);
    }
  }
  return from_bf16(_mm_set_epi64x(static_cast<int64_t>(high), static_cast<int64_t>(low)));
}
static inline V round_bf16(V v) {
  const I bits = _mm256_castps_si256(v);
  const I odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const I up = _mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7FFF));
  return _mm256_castsi256_ps(_mm256_and_si256(up, _mm256_set1_epi32(static_cast<int>(0xFFFF0000))));
}
static inline float sum(V v) {
  __m128 r = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  r = _mm_add_ps(r, _mm_movehl_ps(r, r));
  return _mm_cvtss_f32(_mm_add_ss(r, _mm_movehdup_ps(r)));
}
static inline V lane_sums(V* v) {
  for (int i = 0; i < 4; ++i) v[i] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x20) + _mm256_permute2f128_ps(v[i], v[i + 4], 0x31);
  for (int i = 0; i < 4; i += 2) v[i] = _mm256_shuffle_ps(v[i], v[i + 1], 0x44) + _mm256_shuffle_ps(v[i], v[i + 1], 0xEE);
  return _mm256_shuffle_ps(v[0], v[2], 0x88) + _mm256_shuffle_ps(v[0], v[2], 0xDD);
}
static inline float largest(V v) {
  __m128 r = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  r = _mm_max_ps(r, _mm_movehl_ps(r, r));
  return _mm_cvtss_f32(_mm_max_ss(r, _mm_movehdup_ps(r)));
}

static inline V from_int8(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

static inline V look_up_bytes(const float* table, const uint8_t* indices) {
  return _mm256_i32gather_ps(table, _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(indices))), sizeof(float));
}

struct Levels {
  V low, high;  // levels 0 … 7 and 8 … 15
};
static inline Levels scaled_levels(const float* levels, float scale) {
  return {load(levels) * set(scale), load(levels + W) * set(scale)};
}
static inline V pick(I code, const Levels& levels) {  // a lane's low 3 bits choose in both halves, its bit 3 between them
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(levels.low, code), _mm256_permutevar8x32_ps(levels.high, code),
                          _mm256_castsi256_ps(_mm256_slli_epi32(code, 28)));
}
static inline void look_up(const uint8_t* codes, const Levels& levels, V* first, V* second) {
  const I bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes)));
  *first = pick(_mm256_srli_epi32(bytes, 4), levels);
  *second = pick(bytes, levels);
}
static inline void store_interleaved(float* p, V even, V odd) {
  const V low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
  store(p, _mm256_permute2f128_ps(low, high, 0x20));
  store(p + W, _mm256_permute2f128_ps(low, high, 0x31));
}
constexpr int kBlockVectors = 4;
// The bytes of 16 levels: a shuffle of bytes looks up as many codes as a vector has bytes.
struct IntLevels {
  explicit IntLevels(const int16_t* values) : low(bytes(values, 0)), high(bytes(values, 8)) {}
  static I bytes(const int16_t* values, int shift) {
    int8_t part[16];
    for (int i = 0; i < 16; ++i) part[i] = static_cast<int8_t>((values[i] >> shift) & 255);
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(part)));
  }
  I low, high;
};
static inline void look_up_block(const uint8_t* codes, const IntLevels& levels, I* out) {
  const I bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)), low_half = _mm256_set1_epi8(15);
  const I code[2] = {_mm256_and_si256(_mm256_srli_epi16(bytes, 4), low_half), _mm256_and_si256(bytes, low_half)};
  for (int i = 0; i < 2; ++i) {
    const I low = _mm256_shuffle_epi8(levels.low, code[i]), high = _mm256_shuffle_epi8(levels.high, code[i]);
    out[i] = _mm256_unpacklo_epi8(low, high);
    out[2 + i] = _mm256_unpackhi_epi8(low, high);
  }
}
// In the order in which look_up_block leaves a block: of the 32 bytes of codes it takes 8 from each half at a time, the elements in their high
// halves (the even ones) before the others.
static inline void store_rounded(const float* p, float factor, int16_t* block) {
  const V times = set(factor);
  // In each half: elements 0, 2, of both vectors, then 1, 3.
  const I evens_first = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,  //
                                         0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
  for (int i = 0; i < 4; ++i) {
    const I first = _mm256_cvtps_epi32(load(p + 16 * i) * times), second = _mm256_cvtps_epi32(load(p + 16 * i + W) * times);
    const I parts = _mm256_shuffle_epi8(_mm256_packs_epi32(first, second), evens_first);
    const I sorted = _mm256_permutevar8x32_epi32(parts, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    int16_t* even = block + i % 2 * 32 + i / 2 * 8;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(even), _mm256_castsi256_si128(sorted));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(even + 16), _mm256_extracti128_si256(sorted, 1));
  }
}
static inline I load_ints(const int16_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
static inline void store_ints(int16_t* p, I v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
static inline I multiply_pairs(I a, I b) { return _mm256_madd_epi16(a, b); }
static inline I add_products(I sum, I a, I b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
static inline V to_float(I v) { return _mm256_cvtepi32_ps(v); }

static inline void transpose(V* r) {
  V t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      r[i + 2 * j] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0x44);
      r[i + 2 * j + 1] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0xEE);
    }
  for (int j = 0; j < 4; ++j) {
    t[j] = _mm256_permute2f128_ps(r[j], r[4 + j], 0x20);
    t[4 + j] = _mm256_permute2f128_ps(r[j], r[4 + j], 0x31);
  }
  for (int i = 0; i < 8; ++i) r[i] = t[i];
}

static inline I set_int(uint32_t value) { return _mm256_set1_epi32(static_cast<int>(value)); }
static inline I add_int(I a, I b) { return _mm256_add_epi32(a, b); }
static inline I xor_int(I a, I b) { return _mm256_xor_si256(a, b); }
static inline void multiply_wide(I a, I m, I* low, I* high) {
  const I even = _mm256_mul_epu32(a, m), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), m);
  *low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
  *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}
static inline I lane_blocks() { return _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7); }
static inline V keep_at_least(I word, V p, V value) {
  const V uniform = _mm256_cvtepi32_ps(_mm256_srli_epi32(word, 8)) * set(0x1p-24f);
  return _mm256_and_ps(_mm256_cmp_ps(uniform, p, _CMP_GE_OQ), value);
}
static inline I unpack_low(I a, I b) { return _mm256_unpacklo_epi32(a, b); }
static inline I unpack_high(I a, I b) { return _mm256_unpackhi_epi32(a, b); }
static inline I unpack_low64(I a, I b) { return _mm256_unpacklo_epi64(a, b); }
static inline I unpack_high64(I a, I b) { return _mm256_unpackhi_epi64(a, b); }

#endif

static inline V zero() { return set(0); }
// v, of which the compiler does not know that its lanes are equal: it would multiply two such vectors as single numbers and spread each product
// over a vector, which takes a shuffle where reading the other factor into all lanes takes none.
static inline V held_back(V v) {
  asm("" : "+v"(v));
  return v;
}
// The same for integers, whose sums it would add up in an order of its own, which takes more registers than there are.
static inline I held_back(I v) {
  asm("" : "+v"(v));
  return v;
}

// out[N] = sum of each of N vectors, which are overwritten: as many at a time as a vector has lanes, the rest one by one.
template <int N>
static inline void store_sums(V (&v)[N], float* out) {
  constexpr int kWhole = N / W * W;
#pragma GCC unroll 4
  for (int i = 0; i < kWhole; i += W) store(out + i, lane_sums(v + i));
#pragma GCC unroll 16
  for (int i = kWhole; i < N; ++i) out[i] = sum(v[i]);
}

// e^x to 2 units in the last place; arguments are held to [-87, 88], where floats end. NaN stays NaN: min and max return their
// second operand then.
static inline V exp(V x) {
  x = min(set(88.0f), max(set(-87.0f), x));
  const V n = round(x * set(1.44269504f));
  // x - n·ln 2, with ln 2 in two parts so that the first product is exact
  const V r = fma(n, set(2.12194440e-4f), fma(n, set(-0.693359375f), x));
  // Taylor's series to the 7th power: |r| ≤ ln 2 / 2, so what is left out is below 6e-9
  V p = set(1.0f / 5040);
  p = fma(p, r, set(1.0f / 720));
  p = fma(p, r, set(1.0f / 120));
  p = fma(p, r, set(1.0f / 24));
  p = fma(p, r, set(1.0f / 6));
  p = fma(p, r, set(0.5f));
  p = fma(p, r, set(1.0f));
  p = fma(p, r, set(1.0f));
  return p * power_of_two(n);
}

// tanh to 1e-7 absolute, which is what scores and logits need: they are compared by their differences.
static inline V tanh(V x) { return set(1) - set(2) / (exp(x + x) + set(1)); }

}  // namespace lr::LR_ISA
