// AdamW with moments in floats, and in 8 bits by blocks of 256.
#include "../../adamw8.h"
#include "kernels.h"

namespace lr::cuda {
namespace {

// Of one weight; in the order of torch.optim.AdamW, as reference/adamw.cpp.
LR_DEVICE void update(float& w, float g, float& m, float& v, const AdamwStep& s) {
  const float gradient = g * s.grad_factor;
  m = s.beta1 * m + (1 - s.beta1) * gradient;
  v = s.beta2 * v + (1 - s.beta2) * gradient * gradient;
  const float denominator = sqrtf(v) / sqrtf(s.correction2) + s.epsilon;
  w = w * (1 - s.lr * s.weight_decay) - s.lr / s.correction1 * m / denominator;
}

constexpr size_t kTensorsAtOnce = 32;  // arguments have 4 KiB
struct Tensors {
  AdamwTensor of[kTensorsAtOnce];
};

// A layer of the grid is one of them.
LR_KERNEL(kFlatThreads) step_floats(Tensors tensors) {
  const AdamwTensor& t = tensors.of[block_y()];
  for (int64_t i = flat_begin(); i < t.n; i += flat_step()) update(t.w[i], t.g[i], t.m[i], t.v[i], t.step);
}

constexpr int kThreads = static_cast<int>(kMomentBlock), kWarps = kThreads / 32;
struct Maps {
  float m[256], v[256];
};
constexpr int64_t kMapsAt = kWarps * static_cast<int64_t>(sizeof(float));
constexpr int64_t kSharedBytes = kMapsAt + static_cast<int64_t>(sizeof(Maps));

// The nearest level; on a tie the lower: the ends of levels below value are counted by halving.
LR_DEVICE uint8_t code_of(const float* levels, float value) {
  int found = 0;
  for (int half = 128; half > 0; half /= 2) {
    const int last = found + half - 1;
    if (0.5f * (levels[last] + levels[last + 1]) < value) found += half;
  }
  return static_cast<uint8_t>(found);
}

// New codes of a block's values, one a thread, and its scale.
LR_DEVICE void encode(const float* levels, float value, bool there, uint8_t* code, float* absmax) {
  const float largest = block_reduce<Max>(there ? fabsf(value) : 0.0f, shared_at<float>(0));
  if (there) *code = code_of(levels, largest == 0 ? 0 : value / largest);
  if (thread_index() == 0) *absmax = largest;
}

LR_KERNEL(kThreads) step_codes(float* w, const float* g, Moments8 moments, int64_t n, AdamwStep step, Maps maps) {
  auto* m_levels = shared_at<float>(kMapsAt);
  auto* v_levels = m_levels + 256;
  const int thread = thread_index();
  m_levels[thread] = maps.m[thread];
  v_levels[thread] = maps.v[thread];
  barrier();
  for (int64_t block = block_x(); block < (n + kThreads - 1) / kThreads; block += grid_x()) {
    const int64_t i = block * kThreads + thread;
    const bool there = i < n;
    float m = 0, v = 0;
    if (there) {
      m = m_levels[moments.m[i]] * moments.m_absmax[block];
      v = v_levels[moments.v[i]] * moments.v_absmax[block];
      update(w[i], g[i], m, v, step);
    }
    barrier();  // all have read the scales
    encode(m_levels, m, there, moments.m + i, moments.m_absmax + block);
    encode(v_levels, v, there, moments.v + i, moments.v_absmax + block);
  }
}

}  // namespace

void adamw(const Run& run, std::span<const AdamwTensor> tensors) {
  for (size_t first = 0; first < tensors.size(); first += kTensorsAtOnce) {
    const std::span<const AdamwTensor> own = tensors.subspan(first, std::min(kTensorsAtOnce, tensors.size() - first));
    Tensors some = {};
    std::ranges::copy(own, some.of);
    Grid grid = flat_grid(std::ranges::max(own, {}, &AdamwTensor::n).n);
    grid.y = static_cast<int64_t>(own.size());
    launch(run, step_floats, grid, kFlatThreads, 0, some);
  }
}

void adamw8(const Run& run, float* w, const float* g, const Moments8& moments, int64_t n, const AdamwStep& step) {
  Maps maps;
  std::copy_n(maps8().m.levels.begin(), 256, maps.m);
  std::copy_n(maps8().v.levels.begin(), 256, maps.v);
  launch(run, step_codes, flat_grid(n), kThreads, kSharedBytes, w, g, moments, n, step, maps);
}

}  // namespace lr::cuda
