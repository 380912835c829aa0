// Operands on the device: elements of either type as floats, several of a row at once.
#pragma once
#include "weights.h"

namespace lr::cuda {

constexpr int kEight = 8;

LR_DEVICE float as_float(float value) { return value; }
LR_DEVICE float as_float(uint16_t bits) { return bf16_value(bits); }
// The two values of a word.
LR_DEVICE float low_value(uint32_t word) { return float_of_bits(word << 16); }
LR_DEVICE float high_value(uint32_t word) { return float_of_bits(word & 0xFFFF0000u); }

// Values that follow each other: one, or four or eight at a multiple of 16 bytes.
template <int count>
struct Some {
  float value[count];
};
template <int count>
LR_DEVICE Some<count> some_of(const float* from) {
  Some<count> some;
  if constexpr (count == 1) {
    some.value[0] = *from;
  } else {
    LR_UNROLL
    for (int i = 0; i < count; i += kFour) {
      const FourFloats four = *reinterpret_cast<const FourFloats*>(from + i);
      LR_UNROLL
      for (int j = 0; j < kFour; ++j) some.value[i + j] = four.value[j];
    }
  }
  return some;
}
template <int count>
LR_DEVICE Some<count> some_of(const uint16_t* from) {
  Some<count> some;
  if constexpr (count == 1) {
    some.value[0] = bf16_value(*from);
  } else {
    static_assert(count == kEight);
    const FourWords words = *reinterpret_cast<const FourWords*>(from);
    LR_UNROLL
    for (int i = 0; i < 4; ++i) {
      some.value[2 * i] = low_value(words.word[i]);
      some.value[2 * i + 1] = high_value(words.word[i]);
    }
  }
  return some;
}
template <int count>
LR_DEVICE void put_some(float* to, const Some<count>& some) {
  if constexpr (count == 1) {
    *to = some.value[0];
  } else {
    LR_UNROLL
    for (int i = 0; i < count; i += kFour) {
      FourFloats four;
      LR_UNROLL
      for (int j = 0; j < kFour; ++j) four.value[j] = some.value[i + j];
      *reinterpret_cast<FourFloats*>(to + i) = four;
    }
  }
}
template <int count>
LR_DEVICE void put_some(uint16_t* to, const Some<count>& some) {
  if constexpr (count == 1) {
    *to = bf16_bits(some.value[0]);
  } else {
    static_assert(count == kEight);
    FourWords words;
    LR_UNROLL
    for (int i = 0; i < 4; ++i) words.word[i] = bf16_pair(some.value[2 * i], some.value[2 * i + 1]);
    *reinterpret_cast<FourWords*>(to) = words;
  }
}

// Rows of a matrix with so many elements between them.
template <typename Element>
struct Rows {
  Element* data;
  int64_t gap;

  // Piece number `piece` of pieces of `count`, `per_row` in a row. There are less than 2³² of them.
  template <int count>
  LR_DEVICE_MEMBER Element* at(int64_t piece, uint32_t per_row) const {
    return data + piece * count + (gap == 0 ? 0 : static_cast<uint32_t>(piece) / per_row * gap);
  }
};

// Those of an operand [.., width], whose type has been asked for.
template <typename Element>
constexpr Rows<const Element> rows_of(const Operand& operand, int64_t width) {
  if constexpr (std::is_same_v<Element, float>) {
    return {operand.floats, 0};
  } else {
    return {operand.halves, operand.stride - width};
  }
}
template <typename Element>
constexpr Rows<Element> rows_of(const OperandOut& operand, int64_t width) {
  if constexpr (std::is_same_v<Element, float>) {
    return {operand.floats, 0};
  } else {
    return {operand.halves, operand.stride - width};
  }
}

// Calls with.operator()<Element>() for the type of an operand.
template <typename With>
void with_type(const Operand& operand, const With& with) {
  if (operand.halves != nullptr) return with.template operator()<uint16_t>();
  with.template operator()<float>();
}

}  // namespace lr::cuda
