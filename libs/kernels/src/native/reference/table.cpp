#include "reference.h"

namespace lr {
namespace reference {

static constexpr Ops kOps = {
    .name = "reference",
#include "table.inc"
};

}  // namespace reference

const Ops& reference_ops() { return reference::kOps; }

}  // namespace lr
