// What kernels are written in: a thread's place, barriers, shuffles, asynchronous copies and tensor-core products. nvcc compiles
// it to the instructions named here; any other compiler to emulator/emulator.h, so that the very same kernels run and are
// checked on a machine without a GPU. Layouts are those of the PTX ISA, "Warp Level Matrix Instructions".
//
// Blocks are one-dimensional, a multiple of 32 threads, and have shared memory of a launch's size only. All threads of a block
// meet at each barrier, all of a group at its own, all lanes of a warp at each shuffle, matrix load and product; none leaves early.
#pragma once
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)

#define LR_KERNEL(threads) __global__ void __launch_bounds__(threads)
// At least so many blocks share a multiprocessor: what registers that leaves them is taken.
#define LR_KERNEL_SHARING(threads, blocks) __global__ void __launch_bounds__(threads, blocks)
#define LR_DEVICE __device__ __forceinline__
#define LR_DEVICE_MEMBER __device__ __forceinline__
#define LR_UNROLL _Pragma("unroll")

namespace lr::cuda {

extern __shared__ __align__(128) unsigned char shared_memory[];

LR_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
LR_DEVICE int block_threads() { return static_cast<int>(blockDim.x); }
LR_DEVICE int64_t block_x() { return blockIdx.x; }
LR_DEVICE int64_t block_y() { return blockIdx.y; }
LR_DEVICE int64_t block_z() { return blockIdx.z; }
LR_DEVICE int64_t grid_x() { return gridDim.x; }
LR_DEVICE unsigned char* shared_bytes() { return shared_memory; }

LR_DEVICE void barrier() { __syncthreads(); }
// The same for each `threads` threads of a block that follow each other, whole warps; up to 15 groups of them.
LR_DEVICE void group_barrier(int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(1 + thread_index() / threads), "r"(threads) : "memory");
}
// What lane `from` gives.
LR_DEVICE float shuffle(float value, int from) { return __shfl_sync(0xFFFFFFFFu, value, from); }
LR_DEVICE float shuffle_xor(float value, int mask) { return __shfl_xor_sync(0xFFFFFFFFu, value, mask); }
LR_DEVICE double shuffle_xor(double value, int mask) { return __shfl_xor_sync(0xFFFFFFFFu, value, mask); }
LR_DEVICE int shuffle_xor(int value, int mask) { return __shfl_xor_sync(0xFFFFFFFFu, value, mask); }

// a · b + c, rounded once.
LR_DEVICE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
// The value, of which the compiler knows nothing: what follows from it is computed where it is used, and takes no register in between.
LR_DEVICE int opaque(int value) {
  asm volatile("" : "+r"(value));
  return value;
}
// 2 to the power of x, within two units of the last place; 0 of -∞.
LR_DEVICE float power_of_two(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}
LR_DEVICE float float_of_bits(uint32_t bits) { return __uint_as_float(bits); }
LR_DEVICE uint32_t bits_of_float(float value) { return __float_as_uint(value); }

// To bfloat16: nearest, ties to even; NaN stays NaN.
LR_DEVICE uint16_t bf16_bits(float value) {
  uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
// The first value in the low half, as fragments have it.
LR_DEVICE uint32_t bf16_pair(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

LR_DEVICE uint32_t shared_address(const void* pointer) { return static_cast<uint32_t>(__cvta_generic_to_shared(pointer)); }

// 16 bytes from global to shared memory, both at multiples of 16; zeros when not `valid`. They are there once copy_wait says so.
LR_DEVICE void copy_async16(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
// The same of eight bytes, and of four.
LR_DEVICE void copy_async8(void* to, const void* from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 8 : 0) : "memory");
}
LR_DEVICE void copy_async4(void* to, const void* from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 4 : 0) : "memory");
}
// The copies since the last commit are a group.
LR_DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// At most `pending` of this thread's groups are still under way.
template <int pending>
LR_DEVICE void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// Four 8 × 8 matrices of 16-bit values: lane 8j + i gives the address of row i of matrix j. r[j] of lane l are the elements
// (l / 4, 2 (l % 4)) and, in the high half, (l / 4, 2 (l % 4) + 1) of matrix j.
LR_DEVICE void load_matrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
// The same of the transposed matrices: (2 (l % 4), l / 4) and (2 (l % 4) + 1, l / 4).
LR_DEVICE void load_transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
// c[16, 8] += a[16, 16] · b[16, 8] in bfloat16 with sums in float: mma.m16n8k16.row.col.
LR_DEVICE void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace lr::cuda

#else
#include "emulator/emulator.h"
#endif

namespace lr::cuda {

LR_DEVICE int lane_index() { return thread_index() % 32; }
LR_DEVICE int warp_index() { return thread_index() / 32; }
template <typename T>
LR_DEVICE T* shared_at(int64_t bytes) {
  return reinterpret_cast<T*>(shared_bytes() + bytes);
}

LR_DEVICE float bf16_value(uint16_t bits) { return float_of_bits(static_cast<uint32_t>(bits) << 16); }
struct Sum {
  template <typename T>
  LR_DEVICE_MEMBER static T join(T a, T b) { return a + b; }
};
struct Max {
  template <typename T>
  LR_DEVICE_MEMBER static T join(T a, T b) { return a > b ? a : b; }
};

// One value of all lanes of a warp, the same in each: a tree, so always in one order.
template <typename Join, typename T>
LR_DEVICE T warp_reduce(T value) {
  for (int mask = 16; mask > 0; mask /= 2) value = Join::join(value, shuffle_xor(value, mask));
  return value;
}
// One value of all threads of a block, the same in each; `parts` [warps] in shared memory, free again afterwards.
template <typename Join, typename T>
LR_DEVICE T block_reduce(T value, T* parts) {
  value = warp_reduce<Join>(value);
  if (lane_index() == 0) parts[warp_index()] = value;
  barrier();
  T all = parts[0];
  for (int warp = 1; warp < block_threads() / 32; ++warp) all = Join::join(all, parts[warp]);
  barrier();
  return all;
}

}  // namespace lr::cuda
