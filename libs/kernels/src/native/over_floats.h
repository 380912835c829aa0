// What a backend that has no operands in bfloat16, the reference, includes before operations.inc and table.inc.
#pragma once
#include <type_traits>

#include "ops.h"

namespace lr {

using In = const float*;
using Out = float*;

namespace over_floats {

// Static, as the functions of bf16.h.
template <typename Parameter>
static inline decltype(auto) plain(Parameter& parameter) {
  if constexpr (std::is_same_v<Parameter, Operand> || std::is_same_v<Parameter, OperandOut>) {
    return parameter.floats;
  } else {
    return static_cast<Parameter&&>(parameter);
  }
}

template <typename... P>
using Function = void (*)(P...);

// A function of floats as one of operands.
template <auto function>
struct Entry {
  template <typename... P>
  constexpr operator Function<P...>() const {
    return [](P... parameters) { function(plain(parameters)...); };
  }
};

}  // namespace over_floats

template <auto function>
constexpr over_floats::Entry<function> entry = {};

}  // namespace lr
