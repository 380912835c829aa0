#include "kernels.h"

namespace lr::cuda {

extern const Ops kOps;
const Ops kOps = {
    .name = "cuda",
    .bf16_operands = true,
    .pair_room = true,
    .round_pairs = round_pairs,
#include "table.inc"
};

}  // namespace lr::cuda
