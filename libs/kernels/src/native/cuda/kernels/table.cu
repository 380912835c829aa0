#include "kernels.h"

namespace lr::cuda {

extern const Ops kOps;
const Ops kOps = {
    .name = "cuda",
#include "table.inc"
};

}  // namespace lr::cuda
