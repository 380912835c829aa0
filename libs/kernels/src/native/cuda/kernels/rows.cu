// Operations that reduce: a row a block, a column a group of threads, or everything.
#include "kernels.h"
#include "operands.h"

namespace lr::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;

// `count` values at once.
template <int count, typename From, typename Element>
LR_KERNEL(kThreads) norm(Rows<const From> x, const float* w, float eps, Rows<Element> y, float* rstd, int64_t d) {
  const From* row = x.data + block_x() * (d + x.gap);
  Element* out = y.data + block_x() * (d + y.gap);
  float squares = 0;
  for (int64_t i = thread_index() * count; i < d; i += kThreads * count) {
    const Some<count> own = some_of<count>(row + i);
    LR_UNROLL
    for (int j = 0; j < count; ++j) squares = fused(own.value[j], own.value[j], squares);
  }
  const float inverse = 1 / sqrtf(block_reduce<Sum>(squares, shared_at<float>(0)) / static_cast<float>(d) + eps);
  for (int64_t i = thread_index() * count; i < d; i += kThreads * count) {
    Some<count> own = some_of<count>(row + i);
    const Some<count> weights = some_of<count>(w + i);
    LR_UNROLL
    for (int j = 0; j < count; ++j) own.value[j] = own.value[j] * inverse * weights.value[j];
    put_some(out + i, own);
  }
  if (thread_index() == 0) rstd[block_x()] = inverse;
}

// With n = x · rstd the normed row and g = dy · w its gradient: dx += rstd · (g - n · mean(g · n)).
template <int count, typename From>
LR_KERNEL(kThreads) norm_back(const float* dy, Rows<const From> x, const float* w, const float* rstd, float* dx, int64_t d) {
  const int64_t first = block_x() * d;
  const From* row = x.data + first + block_x() * x.gap;
  const float inverse = rstd[block_x()];
  float sum = 0;
  for (int64_t i = thread_index() * count; i < d; i += kThreads * count) {
    const Some<count> g = some_of<count>(dy + first + i), own = some_of<count>(row + i), weights = some_of<count>(w + i);
    LR_UNROLL
    for (int j = 0; j < count; ++j) sum = fused(g.value[j] * weights.value[j], own.value[j] * inverse, sum);
  }
  const float mean = block_reduce<Sum>(sum, shared_at<float>(0)) / static_cast<float>(d);
  for (int64_t i = thread_index() * count; i < d; i += kThreads * count) {
    const Some<count> g = some_of<count>(dy + first + i), own = some_of<count>(row + i), weights = some_of<count>(w + i);
    Some<count> out = some_of<count>(dx + first + i);
    LR_UNROLL
    for (int j = 0; j < count; ++j) out.value[j] += inverse * (g.value[j] * weights.value[j] - own.value[j] * inverse * mean);
    put_some(dx + first + i, out);
  }
}

// A row of W + scale · B A a block.
LR_KERNEL(kThreads) row_norm(Weight w, Levels levels, Lora l, float* norms) {
  const Levels* shared = share_levels(levels, kWarps * static_cast<int64_t>(sizeof(double)));
  const int64_t row = block_x();
  double squares = 0;
  for (int64_t col = thread_index(); col < w.cols; col += kThreads) {
    float update = 0;
    for (int64_t r = 0; r < l.rank; ++r) update = fused(l.b[row * l.rank + r], l.a[r * w.cols + col], update);
    const double value = weight_element(w, row * w.cols + col, shared) + l.scale * update;
    squares += value * value;
  }
  squares = block_reduce<Sum>(squares, shared_at<double>(0));
  if (thread_index() == 0) norms[row] = static_cast<float>(sqrt(squares));
}

// 32 columns a block; warp w sums tokens w, w + 8, …, and the eight sums are added in their order.
template <typename Element>
LR_KERNEL(kThreads) column_sum(Rows<const Element> a, const float* b, const float* factor, float* sums, int64_t T, int64_t n) {
  auto* parts = shared_at<float>(0);  // [warps, 32]
  const int64_t col = block_x() * 32 + lane_index();
  float sum = 0;
  for (int64_t t = warp_index(); t < T && col < n; t += kWarps) {
    const float own = as_float(a.data[t * (n + a.gap) + col]);
    sum = b == nullptr ? sum + own : fused(own, b[t * n + col], sum);
  }
  parts[thread_index()] = sum;
  barrier();
  if (warp_index() > 0 || col >= n) return;
  for (int warp = 1; warp < kWarps; ++warp) sum += parts[warp * 32 + lane_index()];
  sums[col] += (factor == nullptr ? 1.0f : factor[col]) * sum;
}

// Partial sums of squares, one a block; which elements a block takes depends on n alone.
LR_KERNEL(kThreads) square_sums(const float* x, int64_t n, double* sums) {
  double sum = 0;
  for (int64_t i = flat_begin(); i < n; i += flat_step()) sum += static_cast<double>(x[i]) * x[i];
  sum = block_reduce<Sum>(sum, shared_at<double>(0));
  if (thread_index() == 0) sums[block_x()] = sum;
}

// Values that a thread takes at once from rows of one type to rows of another.
template <typename From, typename To>
constexpr int kAtOnce = std::is_same_v<From, float> && std::is_same_v<To, float> ? kFour : kEight;

constexpr int64_t kFloatParts = kWarps * static_cast<int64_t>(sizeof(float)), kDoubleParts = 2 * kFloatParts;

}  // namespace

void rmsnorm_forward(const Run& run, Operand x, const float* w, float eps, OperandOut y, float* rstd, int64_t T, int64_t d) {
  const bool whole = d % kEight == 0 && is_aligned(x.floats) && is_aligned(w) && is_aligned(y.floats);  // what there is not is aligned
  with_type(x, [&]<typename From>() {
    with_type(y, [&]<typename Element>() {
      constexpr int count = kAtOnce<From, Element>;
      launch(run, whole ? norm<count, From, Element> : norm<1, From, Element>, {T}, kThreads, kFloatParts, rows_of<From>(x, d), w, eps,
             rows_of<Element>(y, d), rstd, d);
    });
  });
}

void rmsnorm_backward(const Run& run, const float* dy, Operand x, const float* w, const float* rstd, float* dx, int64_t T, int64_t d) {
  with_type(x, [&]<typename From>() {
    constexpr int count = kAtOnce<From, float>;
    const bool whole = d % count == 0 && is_aligned(dy) && is_aligned(x.floats) && is_aligned(w) && is_aligned(dx);
    launch(run, whole ? norm_back<count, From> : norm_back<1, From>, {T}, kThreads, kFloatParts, dy, rows_of<From>(x, d), w, rstd, dx, d);
  });
}

void row_norms(const Run& run, const Weight& w, const Lora& l, float* norms) {
  launch(run, row_norm, {w.rows}, kThreads, kDoubleParts + kLevelsBytes, w, levels_of(w.storage), l, norms);
}

void column_sums(const Run& run, Operand a, const float* b, const float* factor, float* sums, int64_t T, int64_t n) {
  with_type(a, [&]<typename Element>() {
    launch(run, column_sum<Element>, {ceil_div(n, 32)}, kThreads, kThreads * static_cast<int64_t>(sizeof(float)), rows_of<Element>(a, n), b, factor, sums,
           T, n);
  });
}

double sum_squares(const Run& run, const float* x, int64_t n) {
  Moment moment(run);
  const Grid grid = flat_grid(n);
  auto* sums = moment.take<double>(grid.x);
  launch(run, square_sums, grid, kThreads, kDoubleParts, x, n, sums);
  std::vector<double> parts(static_cast<size_t>(grid.x));
  copy_out(run.device, parts.data(), sums, parts.size() * sizeof(double));
  double total = 0;
  for (const double part : parts) total += part;
  return total;
}

}  // namespace lr::cuda
