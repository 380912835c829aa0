#include "nf4.h"

#include <algorithm>

#include "reference.h"

namespace lr::reference {

void nf4_quantize(const Run& run, const float* values, int64_t n, uint8_t* codes, uint8_t* absmax_codes, float* nested_absmax,
                  float* offset) {
  const int64_t blocks = (n + nf4::kBlock - 1) / nf4::kBlock;
  const size_t mark = run.scratch->mark();
  auto* absmax = static_cast<float*>(run.scratch->take(blocks * sizeof(float)));  // [blocks]
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t begin = block * nf4::kBlock, count = std::min(nf4::kBlock, n - begin);
    absmax[block] = nf4::block_absmax(values + begin, count);
    nf4::quantize_block(values + begin, count, absmax[block], codes + begin / 2);
  }
  nf4::quantize_scales(absmax, blocks, absmax_codes, nested_absmax, offset);
  run.scratch->release(mark);
}

void nf4_dequantize(const Run&, const Nf4& w, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = nf4::kLevels[nf4::code_at(w, i)] * nf4::block_scale(w, i / nf4::kBlock, nf4::dynamic_levels());
}

}  // namespace lr::reference
