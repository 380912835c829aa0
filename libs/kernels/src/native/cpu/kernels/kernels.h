// The fast operations of one instruction set; what each does is written in ops.h.
#pragma once
#include "over_floats.h"

namespace lr::LR_ISA {

#include "operations.inc"

}  // namespace lr::LR_ISA
