// Operations that take one element, or one pair of them, a thread.
#include "dropout.h"
#include "kernels.h"
#include "weights.h"

namespace lr::cuda {
namespace {

struct Turned {
  float* x;
  const int32_t* rows;
  const float *cos, *sin;
  float sign;
  int64_t T, heads, head_dim, half;
};

LR_KERNEL(kFlatThreads) turn(Turned r) {
  for (int64_t i = flat_begin(); i < r.T * r.heads * r.half; i += flat_step()) {
    const int64_t pair = i % r.half, head = i / r.half, t = head / r.heads, place = r.rows[t] * r.half + pair;
    float *first = r.x + head * r.head_dim + pair, *second = first + r.half;
    const float c = r.cos[place], s = r.sign * r.sin[place], a = *first, b = *second;
    *first = a * c - b * s;
    *second = b * c + a * s;
  }
}

// x · σ(z): silu, and GELU's tanh form with z = 2 √(2/π) (x + 0.044715 x³), since ½ (1 + tanh u) = σ(2u).
struct Activated {
  float value, slope;
};
LR_DEVICE Activated activate(Activation activation, float x) {
  constexpr float kTwice = 1.5957691216057308f, kCubic = 0.044715f;
  const bool silu = activation == Activation::Silu;
  const float z = silu ? x : kTwice * (x + kCubic * x * x * x);
  const float dz = silu ? 1.0f : kTwice * (1 + 3 * kCubic * x * x);
  const float s = 1 / (1 + expf(-z)), rest = 1 / (1 + expf(z));  // σ(z) and 1 - σ(z)
  return {x * s, s == 0 || rest == 0 ? s : s + x * s * rest * dz};
}

// Arrays as a kernel goes through them: in fours where they are whole fours at multiples of 16 bytes, or else one by one.
template <int width>
struct alignas(4 * width) Some {
  float value[width];
};
template <int width>
LR_DEVICE Some<width> some_of(const float* values, int64_t i) {
  return reinterpret_cast<const Some<width>*>(values)[i];
}
template <int width>
LR_DEVICE void put_some(float* to, int64_t i, const Some<width>& values) {
  reinterpret_cast<Some<width>*>(to)[i] = values;
}

template <int width>
LR_KERNEL(kFlatThreads) gate(Activation activation, const float* gate, const float* up, float* out, int64_t n) {
  for (int64_t i = flat_begin(); i < n / width; i += flat_step()) {
    const Some<width> g = some_of<width>(gate, i);
    Some<width> u = some_of<width>(up, i);
    LR_UNROLL
    for (int j = 0; j < width; ++j) u.value[j] *= activate(activation, g.value[j]).value;
    put_some(out, i, u);
  }
}

template <int width>
LR_KERNEL(kFlatThreads) gate_back(Activation activation, const float* dout, const float* gate, const float* up, float* dgate, float* dup,
                                  int64_t n) {
  for (int64_t i = flat_begin(); i < n / width; i += flat_step()) {
    const Some<width> d = some_of<width>(dout, i);
    Some<width> g = some_of<width>(gate, i), u = some_of<width>(up, i);
    LR_UNROLL
    for (int j = 0; j < width; ++j) {
      const Activated active = activate(activation, g.value[j]);
      g.value[j] = d.value[j] * u.value[j] * active.slope;
      u.value[j] = d.value[j] * active.value;
    }
    put_some(dgate, i, g);
    put_some(dup, i, u);
  }
}

// Calls with<width>() for arrays of n floats.
template <typename With>
void in_fours(std::initializer_list<const float*> arrays, int64_t n, const With& with) {
  bool fours = n % 4 == 0;
  for (const float* array : arrays) fours = fours && is_aligned(array);
  return fours ? with.template operator()<4>() : with.template operator()<1>();
}

LR_KERNEL(kFlatThreads) look_up(Weight table, const int32_t* tokens, float scale, float* out, int64_t n) {
  for (int64_t i = flat_begin(); i < n; i += flat_step())
    out[i] = scale * weight_element(table, tokens[i / table.cols] * table.cols + i % table.cols, nullptr);
}

LR_KERNEL(kFlatThreads) place_rows(const float* k, const float* v, const int64_t* rows, float* keys, float* values, int64_t n, int64_t width) {
  for (int64_t i = flat_begin(); i < n; i += flat_step()) {
    const int64_t place = rows[i / width] * width + i % width;
    keys[place] = k[i];
    values[place] = v[i];
  }
}

LR_KERNEL(kFlatThreads) add_uniform(float* x, int64_t n, float magnitude, uint64_t key, uint64_t first) {
  for (int64_t i = flat_begin(); i < n; i += flat_step()) x[i] += magnitude * (2 * uniform(key, first + static_cast<uint64_t>(i)) - 1);
}

LR_KERNEL(kFlatThreads) cap(float* x, float most, int64_t n) {
  for (int64_t i = flat_begin(); i < n; i += flat_step()) x[i] = most * tanhf(x[i] / most);
}

LR_KERNEL(kFlatThreads) times(float* x, float factor, int64_t n) {
  for (int64_t i = flat_begin(); i < n; i += flat_step()) x[i] *= factor;
}

template <int width>
LR_KERNEL(kFlatThreads) sum(const float* a, const float* b, float* out, int64_t n) {
  for (int64_t i = flat_begin(); i < n / width; i += flat_step()) {
    Some<width> values = some_of<width>(a, i);
    const Some<width> more = some_of<width>(b, i);
    LR_UNROLL
    for (int j = 0; j < width; ++j) values.value[j] += more.value[j];
    put_some(out, i, values);
  }
}

LR_KERNEL(kFlatThreads) drop(const float* x, float dropout, uint64_t key, float* out, int64_t n) {
  for (int64_t i = flat_begin(); i < n; i += flat_step()) out[i] = x[i] * dropout_factor(dropout, key, i);
}

LR_KERNEL(kFlatThreads) affine(const float* x, const float* before, const float* factor, const float* after, float* y, int64_t n,
                               int64_t width) {
  for (int64_t i = flat_begin(); i < n; i += flat_step()) {
    const int64_t col = i % width;
    float value = x[i];
    if (before != nullptr) value -= before[col];
    if (factor != nullptr) value *= factor[col];
    if (after != nullptr) value += after[col];
    y[i] = value;
  }
}

}  // namespace

void rope(const Run& run, float* x, const int32_t* rows, const float* cos, const float* sin, int sign, int64_t T, int64_t heads,
          int64_t head_dim, int64_t width) {
  Moment moment(run);
  const Turned turned = {x, moment.upload(run, rows, T), cos, sin, static_cast<float>(sign), T, heads, head_dim, width / 2};
  launch(run, turn, flat_grid(T * heads * (width / 2)), kFlatThreads, 0, turned);
}

void gated_forward(const Run& run, Activation activation, const float* gates, const float* up, float* out, int64_t n) {
  in_fours({gates, up, out}, n, [&]<int width>() {
    launch(run, gate<width>, flat_grid(n / width), kFlatThreads, 0, activation, gates, up, out, n);
  });
}

void gated_backward(const Run& run, Activation activation, const float* dout, const float* gates, const float* up, float* dgate,
                    float* dup, int64_t n) {
  in_fours({dout, gates, up, dgate, dup}, n, [&]<int width>() {
    launch(run, gate_back<width>, flat_grid(n / width), kFlatThreads, 0, activation, dout, gates, up, dgate, dup, n);
  });
}

void embedding(const Run& run, const Weight& table, const int32_t* tokens, float scale, float* out, int64_t T) {
  Moment moment(run);
  launch(run, look_up, flat_grid(T * table.cols), kFlatThreads, 0, table, moment.upload(run, tokens, T), scale, out, T * table.cols);
}

void store_keys(const Run& run, const float* k, const float* v, const int64_t* rows, float* keys, float* values, int64_t T, int64_t width) {
  Moment moment(run);
  launch(run, place_rows, flat_grid(T * width), kFlatThreads, 0, k, v, moment.upload(run, rows, T), keys, values, T * width, width);
}

void add_noise(const Run& run, float* x, int64_t n, float magnitude, uint64_t key, uint64_t first) {
  launch(run, add_uniform, flat_grid(n), kFlatThreads, 0, x, n, magnitude, key, first);
}

void softcap(const Run& run, float* x, float most, int64_t n) { launch(run, cap, flat_grid(n), kFlatThreads, 0, x, most, n); }

void scale(const Run& run, float* x, float factor, int64_t n) { launch(run, times, flat_grid(n), kFlatThreads, 0, x, factor, n); }

void add(const Run& run, const float* a, const float* b, float* out, int64_t n) {
  in_fours({a, b, out}, n, [&]<int width>() { launch(run, sum<width>, flat_grid(n / width), kFlatThreads, 0, a, b, out, n); });
}

void dropout(const Run& run, const float* x, const Lora& l, int64_t in, float* out, int64_t T) {
  launch(run, drop, flat_grid(T * in), kFlatThreads, 0, x, l.dropout, l.dropout_key, out, T * in);
}

void column_affine(const Run& run, const float* x, const float* before, const float* factor, const float* after, float* y, int64_t T,
                   int64_t n) {
  launch(run, affine, flat_grid(T * n), kFlatThreads, 0, x, before, factor, after, y, T * n, n);
}

}  // namespace lr::cuda
