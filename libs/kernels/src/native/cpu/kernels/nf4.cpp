#include "kernels.h"
#include "weights.h"

namespace lr::LR_ISA {
namespace {

constexpr int64_t kBlocksPerTask = 1024;  // 64 Ki values: a quarter of a megabyte in

}  // namespace

void nf4_quantize(const Run& run, const float* values, int64_t n, uint8_t* codes, uint8_t* absmax_codes, float* nested_absmax,
                  float* offset) {
  const int64_t blocks = ceil_div(n, nf4::kBlock);
  const size_t mark = run.scratch->mark();
  auto* absmax = static_cast<float*>(run.scratch->take(blocks * sizeof(float)));
  parallel(run, ceil_div(blocks, kBlocksPerTask), [&](int task, int) {
    for (int64_t block = task * kBlocksPerTask; block < least((task + 1) * kBlocksPerTask, blocks); ++block) {
      const int64_t begin = block * nf4::kBlock, count = least(nf4::kBlock, n - begin);
      absmax[block] = nf4::block_absmax(values + begin, count);
      nf4::quantize_block(values + begin, count, absmax[block], codes + begin / 2);
    }
  });
  nf4::quantize_scales(absmax, blocks, absmax_codes, nested_absmax, offset);
  run.scratch->release(mark);
}

void nf4_dequantize(const Run& run, const Nf4& w, int64_t n, float* out) {
  const std::array<float, 256>& dynamic = nf4::dynamic_levels();
  constexpr int64_t kShare = kBlocksPerTask * nf4::kBlock;
  parallel(run, ceil_div(n, kShare),
           [&](int task, int) { dequantize(w, dynamic, task * kShare, least(kShare, n - task * kShare), out + task * kShare); });
}

}  // namespace lr::LR_ISA
