// Checks every operation of every table of this program, or those of the groups that are named. Prints what failed and one closing line.
#include <algorithm>
#include <cstring>

#include "cases.h"
#include "check.h"

namespace {

struct Group {
  const char* name;
  void (*cases)();
};
constexpr Group kGroups[] = {{"foundation", lr::test::foundation_cases}, {"quantize", lr::test::quantize_cases},
                             {"linear", lr::test::linear_cases},         {"lora", lr::test::lora_cases},
                             {"dora", lr::test::dora_cases},             {"pointwise", lr::test::pointwise_cases},
                             {"attention", lr::test::attention_cases},   {"head", lr::test::head_cases},
                             {"operand", lr::test::operand_cases},       {"gradient", lr::test::gradient_cases}};

}  // namespace

int main(int argc, char** argv) {
  for (const Group& group : kGroups) {
    const auto named = [&](const char* argument) { return std::strcmp(argument, group.name) == 0; };
    if (argc == 1 || std::any_of(argv + 1, argv + argc, named)) group.cases();
  }
  return lr::test::finish();
}
