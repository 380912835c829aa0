// Operations that take one element, or one pair of them, a thread.
#include "dropout.h"
#include "kernels.h"
#include "operands.h"

namespace lr::cuda {
namespace {

template <typename Element>
struct Turned {
  const float* x;
  Rows<Element> y;  // which may be x
  const int32_t* rows;
  const float *cos, *sin;
  float sign;
  int64_t pieces;
  uint32_t heads, head_dim, half;
};

// Pieces of `count` pairs.
template <int count, typename Element>
LR_KERNEL(kFlatThreads) turn(Turned<Element> r) {
  const uint32_t per_head = r.half / count;
  for (int64_t i = flat_begin(); i < r.pieces; i += flat_step()) {
    const uint32_t head = static_cast<uint32_t>(i) / per_head, pair = static_cast<uint32_t>(i) % per_head * count, t = head / r.heads;
    const int64_t place = int64_t{r.rows[t]} * r.half + pair, at = int64_t{head} * r.head_dim + pair;
    const Some<count> c = some_of<count>(r.cos + place), sines = some_of<count>(r.sin + place);
    const Some<count> a = some_of<count>(r.x + at), b = some_of<count>(r.x + at + r.half);
    Some<count> first, second;
    LR_UNROLL
    for (int j = 0; j < count; ++j) {
      const float s = r.sign * sines.value[j];
      first.value[j] = a.value[j] * c.value[j] - b.value[j] * s;
      second.value[j] = b.value[j] * c.value[j] + a.value[j] * s;
    }
    Element* to = r.y.data + at + t * r.y.gap;
    put_some(to, first);
    put_some(to + r.half, second);
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

// Kernels go through operands in pieces of `count`, `per_row` of them a row: eights of bfloat16, and fours or single ones of floats.
template <int count, typename Element>
LR_KERNEL(kFlatThreads) gate(Activation activation, Rows<const Element> gate, Rows<const Element> up, Rows<Element> out, int64_t pieces,
                             uint32_t per_row) {
  for (int64_t i = flat_begin(); i < pieces; i += flat_step()) {
    const Some<count> g = some_of<count>(gate.template at<count>(i, per_row));
    Some<count> u = some_of<count>(up.template at<count>(i, per_row));
    LR_UNROLL
    for (int j = 0; j < count; ++j) u.value[j] *= activate(activation, g.value[j]).value;
    put_some(out.template at<count>(i, per_row), u);
  }
}

template <typename Element>
struct GateGradients {
  Rows<const Element> dout, gate, up;
  Rows<Element> dgate, dup;
};
template <int count, typename Element>
LR_KERNEL(kFlatThreads) gate_back(Activation activation, GateGradients<Element> all, int64_t pieces, uint32_t per_row) {
  for (int64_t i = flat_begin(); i < pieces; i += flat_step()) {
    const Some<count> d = some_of<count>(all.dout.template at<count>(i, per_row));
    Some<count> g = some_of<count>(all.gate.template at<count>(i, per_row)), u = some_of<count>(all.up.template at<count>(i, per_row));
    LR_UNROLL
    for (int j = 0; j < count; ++j) {
      const Activated active = activate(activation, g.value[j]);
      g.value[j] = d.value[j] * u.value[j] * active.slope;
      u.value[j] = d.value[j] * active.value;
    }
    put_some(all.dgate.template at<count>(i, per_row), g);
    put_some(all.dup.template at<count>(i, per_row), u);
  }
}

// Calls with<count, Element>() for operands of one type, of rows of n.
template <typename With>
void in_pieces(std::initializer_list<Operand> operands, int64_t n, const With& with) {
  if (operands.begin()->halves != nullptr) return with.template operator()<kEight, uint16_t>();
  bool fours = n % kFour == 0;
  for (const Operand& operand : operands) fours = fours && is_aligned(operand.floats);
  return fours ? with.template operator()<kFour, float>() : with.template operator()<1, float>();
}

// Rows of an embedding, in pieces that are read at once: it may lie in the machine's memory, and the bus has large parcels.
template <int count, typename Element>
LR_KERNEL(kFlatThreads) look_up(const Element* table, const int32_t* tokens, float scale, float* out, int64_t pieces, uint32_t per_row) {
  for (int64_t piece = flat_begin(); piece < pieces; piece += flat_step()) {
    const uint32_t t = static_cast<uint32_t>(piece) / per_row, own = static_cast<uint32_t>(piece) % per_row;
    Some<count> values = some_of<count>(table + (int64_t{tokens[t]} * per_row + own) * count);
    LR_UNROLL
    for (int i = 0; i < count; ++i) values.value[i] *= scale;
    put_some(out + piece * count, values);
  }
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

template <int count>
LR_KERNEL(kFlatThreads) sum(const float* a, const float* b, float* out, int64_t pieces) {
  for (int64_t i = flat_begin(); i < pieces; i += flat_step()) {
    Some<count> values = some_of<count>(a + i * count);
    const Some<count> more = some_of<count>(b + i * count);
    LR_UNROLL
    for (int j = 0; j < count; ++j) values.value[j] += more.value[j];
    put_some(out + i * count, values);
  }
}

template <typename Element>
LR_KERNEL(kFlatThreads) drop(Rows<const Element> x, float dropout, uint64_t key, float* out, int64_t n, uint32_t width) {
  for (int64_t i = flat_begin(); i < n; i += flat_step()) out[i] = as_float(*x.template at<1>(i, width)) * dropout_factor(dropout, key, i);
}

struct Affine {
  const float *before, *factor, *after;
};
template <int count, typename From, typename To>
LR_KERNEL(kFlatThreads) affine(Rows<const From> x, Affine columns, Rows<To> y, int64_t pieces, uint32_t per_row) {
  for (int64_t i = flat_begin(); i < pieces; i += flat_step()) {
    const int64_t first = static_cast<uint32_t>(i) % per_row * int64_t{count};
    Some<count> some = some_of<count>(x.template at<count>(i, per_row));
    LR_UNROLL
    for (int j = 0; j < count; ++j) {
      if (columns.before != nullptr) some.value[j] -= columns.before[first + j];
      if (columns.factor != nullptr) some.value[j] *= columns.factor[first + j];
      if (columns.after != nullptr) some.value[j] += columns.after[first + j];
    }
    put_some(y.template at<count>(i, per_row), some);
  }
}

}  // namespace

void rope(const Run& run, const float* x, OperandOut y, const int32_t* rows, const float* cos, const float* sin, int sign, int64_t T, int64_t heads,
          int64_t head_dim, int64_t width) {
  Moment moment(run);
  const int64_t half = width / 2;
  if (width < head_dim && y.floats != x) column_affine(run, x, nullptr, nullptr, nullptr, y, T, heads * head_dim);
  const auto* places = moment.upload(run, rows, T);
  const auto start = [&]<int count, typename Element>() {
    const int64_t pieces = T * heads * half / count;
    const Turned<Element> turned = {x, rows_of<Element>(y, heads * head_dim), places, cos, sin, static_cast<float>(sign), pieces,
                                    static_cast<uint32_t>(heads), static_cast<uint32_t>(head_dim), static_cast<uint32_t>(half)};
    launch(run, turn<count, Element>, flat_grid(pieces), kFlatThreads, 0, turned);
  };
  bool eights = half % kEight == 0 && head_dim % kEight == 0;
  for (const float* floats : {x, cos, sin, static_cast<const float*>(y.floats)}) eights = eights && is_aligned(floats);  // what there is not is aligned
  with_type(y, [&]<typename Element>() { eights ? start.template operator()<kEight, Element>() : start.template operator()<1, Element>(); });
}

void gated_forward(const Run& run, Activation activation, Operand gates, Operand up, OperandOut out, int64_t T, int64_t n) {
  in_pieces({gates, up, out}, n, [&]<int count, typename Element>() {
    const int64_t pieces = T * n / count;
    launch(run, gate<count, Element>, flat_grid(pieces), kFlatThreads, 0, activation, rows_of<Element>(gates, n), rows_of<Element>(up, n),
           rows_of<Element>(out, n), pieces, static_cast<uint32_t>(n / count));
  });
}

void gated_backward(const Run& run, Activation activation, Operand dout, Operand gates, Operand up, OperandOut dgate, OperandOut dup, int64_t T,
                    int64_t n) {
  in_pieces({dout, gates, up, dgate, dup}, n, [&]<int count, typename Element>() {
    const GateGradients<Element> all = {rows_of<Element>(dout, n), rows_of<Element>(gates, n), rows_of<Element>(up, n), rows_of<Element>(dgate, n),
                                        rows_of<Element>(dup, n)};
    const int64_t pieces = T * n / count;
    launch(run, gate_back<count, Element>, flat_grid(pieces), kFlatThreads, 0, activation, all, pieces, static_cast<uint32_t>(n / count));
  });
}

void embedding(const Run& run, const Weight& table, const int32_t* tokens, float scale, float* out, int64_t T) {
  Moment moment(run);
  const int32_t* uploaded = moment.upload(run, tokens, T);
  const auto start = [&]<int count, typename Element>() {
    const int64_t pieces = T * table.cols / count;
    launch(run, look_up<count, Element>, flat_grid(pieces), kFlatThreads, 0, static_cast<const Element*>(table.data), uploaded, scale, out, pieces,
           static_cast<uint32_t>(table.cols / count));
  };
  const bool eights = table.cols % kEight == 0 && is_aligned(table.data) && is_aligned(out);
  const auto of = [&]<typename Element>() { eights ? start.template operator()<kEight, Element>() : start.template operator()<1, Element>(); };
  table.storage == Storage::BF16 ? of.template operator()<uint16_t>() : of.template operator()<float>();
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
  const bool fours = n % kFour == 0 && is_aligned(a) && is_aligned(b) && is_aligned(out);
  const int64_t pieces = fours ? n / kFour : n;
  launch(run, fours ? sum<kFour> : sum<1>, flat_grid(pieces), kFlatThreads, 0, a, b, out, pieces);
}

void dropout(const Run& run, Operand x, const Lora& l, int64_t in, float* out, int64_t T) {
  with_type(x, [&]<typename Element>() {
    launch(run, drop<Element>, flat_grid(T * in), kFlatThreads, 0, rows_of<Element>(x, in), l.dropout, l.dropout_key, out, T * in,
           static_cast<uint32_t>(in));
  });
}

void column_affine(const Run& run, Operand x, const float* before, const float* factor, const float* after, OperandOut y, int64_t T, int64_t n) {
  const auto start = [&]<int count, typename From, typename To>() {
    const int64_t pieces = T * n / count;
    launch(run, affine<count, From, To>, flat_grid(pieces), kFlatThreads, 0, rows_of<From>(x, n), Affine{before, factor, after}, rows_of<To>(y, n),
           pieces, static_cast<uint32_t>(n / count));
  };
  const bool eights = n % kEight == 0 && is_aligned(x.floats) && is_aligned(y.floats);  // what there is not is aligned
  with_type(x, [&]<typename From>() {
    with_type(y, [&]<typename To>() { eights ? start.template operator()<kEight, From, To>() : start.template operator()<1, From, To>(); });
  });
}

}  // namespace lr::cuda
