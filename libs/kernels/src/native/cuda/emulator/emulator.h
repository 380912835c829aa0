// device.h on a machine without a GPU: a block's threads are fibers of one thread of the machine. What a mistake would be on a GPU
// is an error here: a barrier that not all threads reach, a shuffle or product that lanes of a warp reach at different places, a
// copy that is read before it was waited for. Shared memory begins as NaN, and the order of warps, lanes and blocks varies by
// launch_order, so that a missing barrier shows as other bytes.
#pragma once
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include "../../bf16.h"

#define LR_KERNEL(threads) static void
#define LR_KERNEL_SHARING(threads, blocks) static void
#define LR_DEVICE static inline
#define LR_DEVICE_MEMBER inline
#define LR_UNROLL

namespace lr::cuda::emulator {

struct Place {
  int64_t x, y, z;
};

// Of the running fiber.
struct Thread {
  int index;
  int threads;
  Place block, grid;
  unsigned char* shared;
};
const Thread& current();

// Runs body as every thread of a grid, block after block. order: 1 ascending, 2 descending, 3 and more shuffled by it. Throws
// std::logic_error when threads do what no GPU allows.
void run(int order, Place grid, int threads, size_t shared_bytes, const std::function<void()>& body);

void wait_group(int threads);
// All lanes of the warp come here with the same `perform`; it is called once, with what each of them brought.
using Perform = void (*)(void* const (&lanes)[32]);
void wait_warp(Perform perform, void* mine);

void copy_later(void* to, const void* from, size_t bytes, bool valid);
void commit_copies();
void wait_copies(int pending);

void perform_shuffle(void* const (&lanes)[32]);
void perform_load(void* const (&lanes)[32]);
void perform_load_transposed(void* const (&lanes)[32]);
void perform_multiply(void* const (&lanes)[32]);

struct Shuffle {
  uint64_t bits;
  int from;  // lane
  uint64_t received;
};
struct Load {
  const void* row;
  uint32_t* r;
};
struct Multiply {
  float* c;
  const uint32_t *a, b[2];
};

template <typename T>
T shuffle(T value, int from) {
  Shuffle mine = {};
  std::memcpy(&mine.bits, &value, sizeof value);
  mine.from = from;
  wait_warp(perform_shuffle, &mine);
  std::memcpy(&value, &mine.received, sizeof value);
  return value;
}

}  // namespace lr::cuda::emulator

namespace lr::cuda {

LR_DEVICE int thread_index() { return emulator::current().index; }
LR_DEVICE int block_threads() { return emulator::current().threads; }
LR_DEVICE int64_t block_x() { return emulator::current().block.x; }
LR_DEVICE int64_t block_y() { return emulator::current().block.y; }
LR_DEVICE int64_t block_z() { return emulator::current().block.z; }
LR_DEVICE int64_t grid_x() { return emulator::current().grid.x; }
LR_DEVICE unsigned char* shared_bytes() { return emulator::current().shared; }

LR_DEVICE void barrier() { emulator::wait_group(block_threads()); }
LR_DEVICE void group_barrier(int threads) { emulator::wait_group(threads); }
LR_DEVICE float shuffle(float value, int from) { return emulator::shuffle(value, from); }
LR_DEVICE float shuffle_xor(float value, int mask) { return emulator::shuffle(value, thread_index() % 32 ^ mask); }
LR_DEVICE double shuffle_xor(double value, int mask) { return emulator::shuffle(value, thread_index() % 32 ^ mask); }
LR_DEVICE int shuffle_xor(int value, int mask) { return emulator::shuffle(value, thread_index() % 32 ^ mask); }

// The product is exact, as on a GPU; rounding twice differs from once in the rarest of cases.
LR_DEVICE float fused(float a, float b, float c) { return static_cast<float>(double{a} * b + c); }
LR_DEVICE int opaque(int value) { return value; }
LR_DEVICE float power_of_two(float x) { return exp2f(x); }
LR_DEVICE float float_of_bits(uint32_t bits) { return std::bit_cast<float>(bits); }
LR_DEVICE uint32_t bits_of_float(float value) { return std::bit_cast<uint32_t>(value); }

LR_DEVICE uint16_t bf16_bits(float value) { return float_to_bf16(value); }
LR_DEVICE uint32_t bf16_pair(float low, float high) { return static_cast<uint32_t>(bf16_bits(low)) | static_cast<uint32_t>(bf16_bits(high)) << 16; }

LR_DEVICE void copy_async16(void* to, const void* from, bool valid) { emulator::copy_later(to, from, 16, valid); }
LR_DEVICE void copy_async8(void* to, const void* from, bool valid) { emulator::copy_later(to, from, 8, valid); }
LR_DEVICE void copy_async4(void* to, const void* from, bool valid) { emulator::copy_later(to, from, 4, valid); }
LR_DEVICE void copy_commit() { emulator::commit_copies(); }
template <int pending>
static inline void copy_wait() {
  emulator::wait_copies(pending);
}
LR_DEVICE void load_matrices(uint32_t (&r)[4], const void* row) {
  emulator::Load mine = {row, r};
  emulator::wait_warp(emulator::perform_load, &mine);
}
LR_DEVICE void load_transposed(uint32_t (&r)[4], const void* row) {
  emulator::Load mine = {row, r};
  emulator::wait_warp(emulator::perform_load_transposed, &mine);
}
LR_DEVICE void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulator::Multiply mine = {c, a, {b0, b1}};
  emulator::wait_warp(emulator::perform_multiply, &mine);
}

}  // namespace lr::cuda
