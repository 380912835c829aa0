// Which fast table this machine can run, asked of the processor.
#include "ops.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lr {

#if defined(__x86_64__)

// Null where they are not in this build (Makefile, ISAS).
namespace avx2 {
[[gnu::weak]] extern const Ops kOps;
}
namespace avx512 {
[[gnu::weak]] extern const Ops kOps;
}
namespace avx512_bf16 {
[[gnu::weak]] extern const Ops kOps;
}
namespace amx_bf16 {
[[gnu::weak]] extern const Ops kOps;
}

namespace {

// Whether the processor has tiles of bfloat16 and the system lets this process use their registers, which it has to be asked for once
// (Linux, Documentation/arch/x86/xstate.rst).
bool has_amx() {
#if defined(__linux__)
  unsigned eax, ebx, ecx, edx;
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & (kBf16 | kTile)) != (kBf16 | kTile)) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

int find_best_isa() {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512vnni"))
    return 2;
  if (!__builtin_cpu_supports("avx512bf16")) return 3;
  return has_amx() ? 5 : 4;
}

}  // namespace

int best_isa() {
  static const int best = find_best_isa();
  return best;
}

const Ops* cpu_ops(int isa) {
  if (isa < 1 || isa > best_isa()) return nullptr;
  const Ops* tables[] = {&reference_ops(), &avx2::kOps, &avx512::kOps, &avx512_bf16::kOps, &amx_bf16::kOps};
  return tables[isa - 1];
}

#else

int best_isa() { return 1; }

const Ops* cpu_ops(int isa) { return isa == 1 ? &reference_ops() : nullptr; }

#endif

}  // namespace lr
