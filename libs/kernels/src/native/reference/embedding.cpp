#include "reference.h"

namespace lr::reference {

void embedding(const Run&, const Weight& table, const int32_t* tokens, float scale, float* out, int64_t T) {
  for (int64_t t = 0; t < T; ++t)
    for (int64_t i = 0; i < table.cols; ++i) out[t * table.cols + i] = scale * element(table, tokens[t], i);
}

}  // namespace lr::reference
