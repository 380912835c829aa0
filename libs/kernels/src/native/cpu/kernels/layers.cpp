// The operations of a layer that touch every element once: norm, rotation, activation, soft-cap, embedding, residual sum. They are bound
// by memory, so they are shared out by rows or by pieces.
#include "adamw8.h"
#include "kernels.h"
#include "philox.h"
#include "weights.h"

namespace lr::LR_ISA {
namespace {

constexpr int64_t kPiece = 1 << 14;  // elements a task takes: 64 KiB of each operand, a few microseconds

// f(begin, end) over [0, n) in pieces of whole vectors.
template <typename F>
void pieces(const Run& run, int64_t n, const F& f) {
  parallel(run, ceil_div(n, kPiece), [&](int task, int) { f(task * kPiece, least((task + 1) * kPiece, n)); });
}

// f(row) over T rows of `width` elements, some rows to a task.
template <typename F>
void rows(const Run& run, int64_t T, int64_t width, const F& f) {
  const int64_t share = most(kPiece / width, 1);
  parallel(run, ceil_div(T, share), [&](int task, int) {
    for (int64_t t = task * share; t < least((task + 1) * share, T); ++t) f(t);
  });
}

// f(i, lanes) for the vectors of [begin, end): lanes = W, at the end less.
template <typename F>
inline void vectors(int64_t begin, int64_t end, const F& f) {
  for (; begin < end; begin += W) f(begin, least(W, end - begin));
}

inline V sigmoid(V x) { return set(1) / (set(1) + exp(zero() - x)); }

// Both activations are x · σ(z): silu with z = x; GELU's ½ · x · (1 + tanh u) with z = 2u = x · (2√(2/π) + 2√(2/π) · 0.044715 x²).
constexpr float kLinear = 1.5957691216f, kCubic = 0.0713548163f;

struct Silu {
  static V inner(V x) { return x; }
  static V inner_slope(V) { return set(1); }
};
struct GeluTanh {
  static V inner(V x) { return x * fma(set(kCubic) * x, x, set(kLinear)); }
  static V inner_slope(V x) { return fma(set(3 * kCubic) * x, x, set(kLinear)); }
};

}  // namespace

void rmsnorm_forward(const Run& run, Operand x, const float* w, float eps, OperandOut y, float* rstd, int64_t T, int64_t d) {
  const auto all = [&](auto x_rows, auto y_rows) {
    rows(run, T, d, [&](int64_t t) {
      const auto* in = x_rows(t);
      V squares = zero();
      vectors(0, d, [&](int64_t i, int64_t lanes) {
        const V value = get(in + i, lanes);
        squares = fma(value, value, squares);
      });
      rstd[t] = 1 / __builtin_sqrtf(sum(squares) / static_cast<float>(d) + eps);
      const V inverse = set(rstd[t]);
      vectors(0, d, [&](int64_t i, int64_t lanes) { put(y_rows(t) + i, get(in + i, lanes) * inverse * get(w + i, lanes), lanes); });
    });
  };
  with_rows(x, d, [&](auto x_rows) { with_rows(y, d, [&](auto y_rows) { all(x_rows, y_rows); }); });
}

void rmsnorm_backward(const Run& run, const float* dy, Operand x, const float* w, const float* rstd, float* dx, int64_t T, int64_t d) {
  with_rows(x, d, [&](auto x_rows) {
    rows(run, T, d, [&](int64_t t) {
      const auto* in = x_rows(t);
      const float* gradient = dy + t * d;
      V products = zero();
      vectors(0, d, [&](int64_t i, int64_t lanes) {
        products = fma(get(gradient + i, lanes) * get(w + i, lanes), get(in + i, lanes), products);
      });
      const V inverse = set(rstd[t]);
      const V mean = set(sum(products) * rstd[t] * rstd[t] / static_cast<float>(d));  // of gradient · normed x, times rstd
      vectors(0, d, [&](int64_t i, int64_t lanes) {
        const V through = get(gradient + i, lanes) * get(w + i, lanes) - get(in + i, lanes) * mean;
        put(dx + t * d + i, fma(through, inverse, get(dx + t * d + i, lanes)), lanes);
      });
    });
  });
}

void rope(const Run& run, const float* x, OperandOut y, const int32_t* places, const float* cos, const float* sin, int sign, int64_t T,
          int64_t heads, int64_t head_dim, int64_t width) {
  const int64_t half = width / 2;
  const V direction = set(static_cast<float>(sign));
  with_rows(y, heads * head_dim, [&](auto y_rows) {
    rows(run, T, heads * head_dim, [&](int64_t t) {
      const float *c = cos + places[t] * half, *s = sin + places[t] * half;
      for (int64_t head = 0; head < heads; ++head) {
        const float *first = x + (t * heads + head) * head_dim, *second = first + half;
        auto* turned = y_rows(t) + head * head_dim;
        vectors(0, half, [&](int64_t i, int64_t lanes) {
          const V a = get(first + i, lanes), b = get(second + i, lanes);
          const V cosine = get(c + i, lanes), sine = get(s + i, lanes) * direction;
          put(turned + i, a * cosine - b * sine, lanes);
          put(turned + half + i, fma(b, cosine, a * sine), lanes);
        });
        if (y.floats != x) copy(first + width, head_dim - width, turned + width);
      }
    });
  });
}

template <class Kind, class Element>
static void forward(const Run& run, Operand gate, Operand up, OperandOut out, int64_t T, int64_t n) {
  const auto gate_rows = rows_of<const Element>(gate, n), up_rows = rows_of<const Element>(up, n);
  const auto out_rows = rows_of<Element>(out, n);
  rows(run, T, n, [&](int64_t t) {
    vectors(0, n, [&](int64_t i, int64_t lanes) {
      const V g = get(gate_rows(t) + i, lanes);
      put(out_rows(t) + i, g * sigmoid(Kind::inner(g)) * get(up_rows(t) + i, lanes), lanes);
    });
  });
}

// The slope of x · σ(z) is σ(z) · (1 + x · (1 - σ(z)) · z').
template <class Kind, class Element>
static void backward(const Run& run, Operand dout, Operand gate, Operand up, OperandOut dgate, OperandOut dup, int64_t T, int64_t n) {
  const auto dout_rows = rows_of<const Element>(dout, n), gate_rows = rows_of<const Element>(gate, n), up_rows = rows_of<const Element>(up, n);
  const auto dgate_rows = rows_of<Element>(dgate, n), dup_rows = rows_of<Element>(dup, n);
  rows(run, T, n, [&](int64_t t) {
    vectors(0, n, [&](int64_t i, int64_t lanes) {
      const V d = get(dout_rows(t) + i, lanes), g = get(gate_rows(t) + i, lanes), u = get(up_rows(t) + i, lanes);
      const V s = sigmoid(Kind::inner(g));
      put(dgate_rows(t) + i, d * u * s * fma(g * Kind::inner_slope(g), set(1) - s, set(1)), lanes);
      put(dup_rows(t) + i, d * g * s, lanes);
    });
  });
}

// Calls f.operator()<Kind, Element>() for an activation and what its operands are in.
template <class F>
static void with_kind(Activation activation, const Operand& x, const F& f) {
  const auto of = [&]<class Kind>() { x.halves == nullptr ? f.template operator()<Kind, float>() : f.template operator()<Kind, uint16_t>(); };
  activation == Activation::Silu ? of.template operator()<Silu>() : of.template operator()<GeluTanh>();
}

void gated_forward(const Run& run, Activation activation, Operand gate, Operand up, OperandOut out, int64_t T, int64_t n) {
  with_kind(activation, gate, [&]<class Kind, class Element>() { forward<Kind, Element>(run, gate, up, out, T, n); });
}

void gated_backward(const Run& run, Activation activation, Operand dout, Operand gate, Operand up, OperandOut dgate, OperandOut dup, int64_t T,
                    int64_t n) {
  with_kind(activation, gate, [&]<class Kind, class Element>() { backward<Kind, Element>(run, dout, gate, up, dgate, dup, T, n); });
}

void softcap(const Run& run, float* x, float cap, int64_t n) {
  const V limit = set(cap);
  pieces(run, n, [&](int64_t begin, int64_t end) {
    vectors(begin, end, [&](int64_t i, int64_t lanes) { put(x + i, limit * tanh(get(x + i, lanes) / limit), lanes); });
  });
}

void scale(const Run& run, float* x, float factor, int64_t n) {
  pieces(run, n, [&](int64_t begin, int64_t end) {
    vectors(begin, end, [&](int64_t i, int64_t lanes) { put(x + i, get(x + i, lanes) * set(factor), lanes); });
  });
}

void embedding(const Run& run, const Weight& table, const int32_t* tokens, float scale, float* out, int64_t T) {
  const WeightReader reader(table);
  rows(run, T, table.cols, [&](int64_t t) {
    float* row = out + t * table.cols;
    reader.read(tokens[t], 0, table.cols, row);
    if (scale != 1) vectors(0, table.cols, [&](int64_t i, int64_t lanes) { put(row + i, get(row + i, lanes) * set(scale), lanes); });
  });
}

void store_keys(const Run& run, const float* k, const float* v, const int64_t* places, float* keys, float* values, int64_t T, int64_t width) {
  rows(run, T, width, [&](int64_t t) {
    vectors(0, width, [&](int64_t i, int64_t lanes) {
      put(keys + places[t] * width + i, get(k + t * width + i, lanes), lanes);
      put(values + places[t] * width + i, get(v + t * width + i, lanes), lanes);
    });
  });
}

void add(const Run& run, const float* a, const float* b, float* out, int64_t n) {
  pieces(run, n, [&](int64_t begin, int64_t end) {
    vectors(begin, end, [&](int64_t i, int64_t lanes) { put(out + i, get(a + i, lanes) + get(b + i, lanes), lanes); });
  });
}

// Drawn once a step, so a block of four at a time is fast enough; and the same bytes as the reference.
void add_noise(const Run& run, float* x, int64_t n, float magnitude, uint64_t key, uint64_t first) {
  pieces(run, n, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const uint64_t at = first + static_cast<uint64_t>(begin);
      const std::array<uint32_t, 4> words = philox::block(key, at / 4);
      for (uint64_t word = at % 4; word < 4 && begin < end; ++word, ++begin)
        x[begin] += magnitude * (2 * (static_cast<float>(words[word] >> 8) * 0x1p-24f) - 1);
    }
  });
}

double sum_squares(const Run& run, const float* x, int64_t n) {
  const int64_t tasks = ceil_div(n, kPiece);
  const size_t mark = run.scratch->mark();
  auto* partial = static_cast<double*>(run.scratch->take(tasks * sizeof(double)));  // one for each piece, added in their order
  pieces(run, n, [&](int64_t begin, int64_t end) {
    double sums[8] = {};  // eight running sums side by side fill a vector of doubles
    int64_t i = begin;
    for (; i + 8 <= end; i += 8)
      for (int lane = 0; lane < 8; ++lane) sums[lane] += double{x[i + lane]} * x[i + lane];
    for (; i < end; ++i) sums[0] += double{x[i]} * x[i];
    double total = 0;
    for (const double value : sums) total += value;
    partial[begin / kPiece] = total;
  });
  double total = 0;
  for (int64_t task = 0; task < tasks; ++task) total += partial[task];
  run.scratch->release(mark);
  return total;
}

namespace {

// AdamW on the weights [begin, end).
inline void adamw_range(float* w, const float* g, float* m, float* v, int64_t begin, int64_t end, const AdamwStep& s) {
  const V factor = set(s.grad_factor), b1 = set(s.beta1), b2 = set(s.beta2), rest1 = set(1 - s.beta1), rest2 = set(1 - s.beta2);
  const V decay = set(1 - s.lr * s.weight_decay), step = set(s.lr / s.correction1), root = set(__builtin_sqrtf(s.correction2));
  vectors(begin, end, [&](int64_t i, int64_t lanes) {
    const V gradient = get(g + i, lanes) * factor;
    const V first = b1 * get(m + i, lanes) + rest1 * gradient, second = b2 * get(v + i, lanes) + rest2 * gradient * gradient;
    put(m + i, first, lanes);
    put(v + i, second, lanes);
    put(w + i, get(w + i, lanes) * decay - step * first / (sqrt(second) / root + set(s.epsilon)), lanes);
  });
}

}  // namespace

void adamw(const Run& run, std::span<const AdamwTensor> tensors) {
  for (const AdamwTensor& t : tensors) pieces(run, t.n, [&](int64_t begin, int64_t end) { adamw_range(t.w, t.g, t.m, t.v, begin, end, t.step); });
}

void adamw8(const Run& run, float* w, const float* g, const Moments8& moments, int64_t n, const AdamwStep& step) {
  static_assert(kPiece % kMomentBlock == 0);
  const Maps8& maps = maps8();
  pieces(run, n, [&](int64_t piece, int64_t piece_end) {
    for (int64_t begin = piece; begin < piece_end; begin += kMomentBlock) {
      const int64_t count = least(kMomentBlock, piece_end - begin), block = begin / kMomentBlock;
      float m[kMomentBlock], v[kMomentBlock];
      decode8(maps.m, moments.m + begin, moments.m_absmax[block], count, m);
      decode8(maps.v, moments.v + begin, moments.v_absmax[block], count, v);
      adamw_range(w + begin, g + begin, m, v, 0, count, step);
      moments.m_absmax[block] = encode8(maps.m, m, count, moments.m + begin);
      moments.v_absmax[block] = encode8(maps.v, v, count, moments.v + begin);
    }
  });
}

}  // namespace lr::LR_ISA
