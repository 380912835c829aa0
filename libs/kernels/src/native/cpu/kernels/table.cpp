#include "kernels.h"

#define LR_NAME_OF(isa) #isa
#define LR_NAME(isa) LR_NAME_OF(isa)

namespace lr::LR_ISA {

extern const Ops kOps;
const Ops kOps = {
    .name = LR_NAME(LR_ISA),
    .bf16_pairs = true,
    .bf16_operands = true,
#include "table.inc"
};

}  // namespace lr::LR_ISA
