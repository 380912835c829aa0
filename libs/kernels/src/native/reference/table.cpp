#include "reference.h"

namespace lr {
namespace reference {

static constexpr Ops kOps = {
    .name = "reference",
    .bf16_pairs = true,
#include "table.inc"
};

}  // namespace reference

const Ops& reference_ops() { return reference::kOps; }

}  // namespace lr
