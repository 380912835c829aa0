// Elements of frozen weights on the device.
#pragma once
#include <span>

#include "../launch.h"
#include "../../quantization.h"

namespace lr::cuda {

// What is read or written at once.
struct alignas(16) FourWords {
  uint32_t word[4];
};
constexpr int kFour = 4;
struct alignas(16) FourFloats {
  float value[kFour];
};
// sum + a · b, one product after the other.
LR_DEVICE float dot(const FourFloats& a, const FourFloats& b, float sum) {
  LR_UNROLL
  for (int i = 0; i < kFour; ++i) sum = fused(a.value[i], b.value[i], sum);
  return sum;
}
inline bool is_aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// Tables of the quantized storages: floats, one after the other.
struct Levels {
  float four_bit[16];
  float dynamic[256];
};
inline Levels levels_of(Storage storage) {
  Levels levels;
  std::copy_n(quant::four_bit(storage).levels.begin(), 16, levels.four_bit);
  std::copy_n(quant::dynamic_levels().begin(), 256, levels.dynamic);
  return levels;
}
constexpr int64_t kLevelsBytes = sizeof(Levels);

// Threads of a block that look levels up do so in shared memory. Where kernels are short they come from memory of the device: of an argument's
// elements lanes get one after the other.
LR_DEVICE const Levels* share_levels(const Levels& levels, int64_t at) {
  auto* shared = shared_at<float>(at);
  const auto* all = reinterpret_cast<const float*>(&levels);
  for (int i = thread_index(); i < kLevelsBytes / static_cast<int64_t>(sizeof(float)); i += block_threads()) shared[i] = all[i];
  barrier();
  return reinterpret_cast<const Levels*>(shared);
}

// Scale of a block of 64 values: what is read of it,
struct StoredScale {
  float factor;
  uint32_t code;  // what level it multiplies, if there are codes
};
LR_DEVICE StoredScale stored_scale(const Scales& scales, uint64_t block) {
  if (scales.absmax != nullptr) return {scales.absmax[block], 0};
  return {scales.nested_absmax[block / quant::kNestedBlock], scales.absmax_codes[block]};
}
// and its value, rounded as bitsandbytes does.
LR_DEVICE float scale_value(const Scales& scales, const StoredScale& stored, const Levels* levels) {
  if (scales.absmax != nullptr) return stored.factor;
  const float product = levels->dynamic[stored.code] * stored.factor;
  return product + scales.offset;
}
LR_DEVICE float block_scale(const Scales& scales, int64_t block, const Levels* levels) {
  return scale_value(scales, stored_scale(scales, block), levels);
}

// Element i of the flattened matrix; any storage.
LR_DEVICE float weight_element(const Weight& w, int64_t i, const Levels* levels) {
  switch (w.storage) {
    case Storage::F32: return static_cast<const float*>(w.data)[i];
    case Storage::BF16: return bf16_value(static_cast<const uint16_t*>(w.data)[i]);
    case Storage::INT8: return static_cast<float>(static_cast<const int8_t*>(w.data)[i]) * (w.scales.absmax[i / w.cols] * (1.0f / 127));
    default: break;
  }
  const uint8_t pair = static_cast<const uint8_t*>(w.data)[i / 2];
  return levels->four_bit[i % 2 == 0 ? pair >> 4 : pair & 15] * block_scale(w.scales, i / quant::kBlock, levels);
}

// A value as floats are kept, and as bfloat16.
LR_DEVICE void store(float* to, float value) { *to = value; }
LR_DEVICE void store(uint16_t* to, float value) { *to = bf16_bits(value); }

// A matrix of bfloat16 in rows that begin at multiples of 16 bytes; zeros behind the columns.
struct Halves {
  const uint16_t* data;
  int64_t stride;
};
constexpr int64_t kHalvesStep = 8;  // strides are multiples of it
constexpr int64_t halves_stride(int64_t cols) { return round_up(cols, kHalvesStep); }
// Room for something else in a matrix that is made: so many columns behind its own, whole steps of them, or rows. They are not written.
struct Room {
  int64_t cols = 0, rows = 0;
};
// One that is written.
struct HalvesOut {
  uint16_t* data;
  int64_t stride;
  operator Halves() const { return {data, stride}; }
};
// w in bfloat16: as it lies there, where no room is wanted, or in memory of `moment`.
Halves weight_halves(const Run& run, const Weight& w, Moment& moment, Room room = {});
// x [rows, cols] in bfloat16 with so many columns behind its own: as it lies there, where it has that room, or in memory of `moment`.
Halves operand_halves(const Run& run, const Operand& x, int64_t rows, int64_t cols, Moment& moment, int64_t room = 0);
// factor · values [rows, cols] rounded to bfloat16, to [to_rows, to_cols] in rows of `stride`: zeros behind the rows and columns there are. With
// `turned`, values are [cols, rows].
struct Placed {
  const float* values;
  int64_t rows, cols;
  float factor;
  uint16_t* to;
  int64_t to_rows, to_cols, stride;
  bool turned;
};
// By as many threads as x of the grid has.
LR_DEVICE void place_elements(const Placed& p) {
  for (int64_t i = flat_begin(); i < p.to_rows * p.to_cols; i += flat_step()) {
    const int64_t row = i / p.to_cols, col = i % p.to_cols;
    const bool there = row < p.rows && col < p.cols;
    const float value = there ? p.values[p.turned ? col * p.rows + row : row * p.cols + col] : 0.0f;
    p.to[row * p.stride + col] = bf16_bits(p.factor * value);
  }
}
// Of arguments: up to `most` of them.
template <int most>
struct SeveralPlaced {
  SeveralPlaced() = default;
  explicit SeveralPlaced(std::span<const Placed> some) { std::ranges::copy(some, of); }
  Placed of[most] = {};
};
constexpr int kBeside = 4;  // at most, by a launch that does something else
// Memory of `moment` for w with that room,
HalvesOut take_halves(const Weight& w, Moment& moment, Room room);
// and w written there; what is placed beside, as in that room, goes with the same launch where w has four bits.
void dequantize_halves(const Run& run, const Weight& w, const HalvesOut& out, std::span<const Placed> beside);
// All of them in one launch or a few.
void place_halves(const Run& run, std::span<const Placed> all);
// w in floats [rows, cols], likewise.
const float* weight_floats(const Run& run, const Weight& w, Moment& moment);

}  // namespace lr::cuda
