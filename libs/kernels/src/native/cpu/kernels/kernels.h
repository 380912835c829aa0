// The fast operations of one instruction set; what each does is written in ops.h.
#pragma once
#include "ops.h"

namespace lr::LR_ISA {

using In = Operand;
using Out = OperandOut;
template <auto function>
constexpr auto entry = function;

#include "operations.inc"

}  // namespace lr::LR_ISA
