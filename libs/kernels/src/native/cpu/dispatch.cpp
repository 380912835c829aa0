// Which fast table this machine can run, asked of the processor.
#include "ops.h"

namespace lr {

#if defined(__x86_64__)

namespace avx2 {
extern const Ops kOps;
}
namespace avx512 {
extern const Ops kOps;
}
namespace avx512_bf16 {
extern const Ops kOps;
}

int best_isa() {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl"))
    return 2;
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") ? 4 : 3;
}

const Ops* cpu_ops(int isa) {
  if (isa < 1 || isa > best_isa()) return nullptr;
  const Ops* tables[] = {&reference_ops(), &avx2::kOps, &avx512::kOps, &avx512_bf16::kOps};
  return tables[isa - 1];
}

#else

int best_isa() { return 1; }

const Ops* cpu_ops(int isa) { return isa == 1 ? &reference_ops() : nullptr; }

#endif

}  // namespace lr
