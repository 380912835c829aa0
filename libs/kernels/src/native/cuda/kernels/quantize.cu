// Quantizing happens once in the life of a base, and its double quantization sums in an order of bitsandbytes that is one thread's. So
// the processor does it, on a copy: what is written is the same whichever backend is asked.
#include "../../model/storage.h"
#include "../../scratch.h"
#include "kernels.h"

namespace lr::cuda {

void quantize(const Run& run, Storage storage, const float* values, int64_t rows, int64_t cols, const QuantizedParts& out) {
  std::vector<float> copy(static_cast<size_t>(rows * cols));
  copy_out(run.device, copy.data(), values, copy.size() * sizeof(float));
  const WeightLayout layout(storage, out.absmax == nullptr, rows, cols);
  std::vector<uint8_t> bytes(layout.bytes);
  const QuantizedParts parts = parts_at(bytes.data(), layout);
  std::vector<std::byte> memory(layout.absmax_count * sizeof(float) + 64);
  BorrowedScratch scratch(memory.data(), memory.size());
  Run alone = run;
  alone.scratch = &scratch;
  reference_ops().quantize(alone, storage, copy.data(), rows, cols, parts);
  copy_in(run.device, out.data, parts.data, layout.data_bytes);
  if (out.absmax != nullptr) return copy_in(run.device, out.absmax, parts.absmax, layout.absmax_count * sizeof(float));
  copy_in(run.device, out.absmax_codes, parts.absmax_codes, layout.absmax_count);
  copy_in(run.device, out.nested_absmax, parts.nested_absmax, layout.nested_count * sizeof(float));
  copy_in(run.device, out.offset, parts.offset, sizeof(float));
}

}  // namespace lr::cuda
