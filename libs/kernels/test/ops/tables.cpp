#include "check.h"

namespace lr::test {

// Those of every instruction set that this machine has.
std::vector<const Ops*> fast_tables() {
  std::vector<const Ops*> tables;
  for (int isa = 2; isa <= best_isa(); ++isa) tables.push_back(cpu_ops(isa));
  return tables;
}

bool every_case() { return true; }

void prepare(Run&) {}

}  // namespace lr::test
