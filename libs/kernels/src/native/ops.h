// The operations a backend provides. model/ composes them into a decoder; reference/ holds the plain readable truth, cpu/ the
// fast one. Both fill the same table, so one table of test cases checks both, and the model never knows which it runs on.
//
// Conventions: row-major; T = tokens in the batch, d = width, r = rank. "+=" in a comment means the operation adds to its
// output. Operations write every element of their output in a fixed order that does not depend on the number of threads.
// They do not allocate, except through Scratch; they check nothing: the callers do.
#pragma once
#include <cstdint>
#include <cstddef>

namespace lr {

// Splits work over the context's threads. run() calls fn(user, task) for task = 0 … tasks-1, in any order, on any thread,
// and returns when all are done. Which thread runs a task never changes a result.
struct Pool {
  virtual ~Pool() = default;
  virtual int threads() const = 0;
  virtual void run(int tasks, void (*fn)(void* user, int task, int thread), void* user) = 0;
};

// Reusable 64-byte-aligned memory of one context; grows, is counted, and throws std::bad_alloc when the machine has no more.
// A pointer is valid until the mark it was taken under is released.
struct Scratch {
  virtual ~Scratch() = default;
  virtual void* take(size_t bytes) = 0;
  virtual size_t mark() const = 0;
  virtual void release(size_t mark) = 0;
};

// NF4 with double quantization, as in bitsandbytes (lowrank_kernels.h, lr_nf4_quantize). Blocks run over the flattened tensor.
struct Nf4 {
  const uint8_t* codes;         // [ceil(n/2)]
  const uint8_t* absmax_codes;  // [ceil(n/64)]
  const float* nested_absmax;   // [ceil(ceil(n/64)/256)]
  float offset;
};

enum class Storage : uint32_t { F32 = 0, BF16 = 1, NF4 = 2 };

// A frozen weight matrix [rows, cols] in one of the storages.
struct Weight {
  Storage storage;
  int64_t rows, cols;      // rows = out features, cols = in features
  const void* data;        // F32: float, BF16: uint16_t; NF4: unused
  Nf4 nf4;
};

enum class Compute : uint32_t { F32 = 0, BF16 = 1 };

// LoRA pair of one linear layer for a range of tokens; see lr_lora_target.
struct Lora {
  int32_t rank;
  float scale;             // alpha / rank
  float dropout;           // probability in [0, 1)
  uint64_t dropout_key;    // Philox key of this (step, micro-batch, layer); element (t, i) draws counter t·in + i
  const float* a;          // [r, in]
  const float* b;          // [out, r]
  float* grad_a;           // [r, in], +=
  float* grad_b;           // [out, r], +=
};

// The nonlinearity of a gated MLP. GeluTanh is x · Φ(x) with Φ by tanh (Hendrycks & Gimpel 2016, "gelu_pytorch_tanh").
enum class Activation : uint32_t { Silu = 0, GeluTanh = 1 };

// What attention of a layer does. Query head h reads key head h / (Hq / Hkv).
struct Attention {
  int64_t Hq, Hkv, D;      // query heads, key-value heads, their width
  float scale;             // of q · k
  int64_t window = 0;      // a query sees the last `window` keys up to its own position; 0 = all of them
  float softcap = 0;       // scaled scores s become softcap · tanh(s / softcap) (Gemma 2); 0 = off
};

struct Run {               // what every operation needs
  Pool* pool;
  Scratch* scratch;
  Compute compute;         // operand type of linear_* and head products
};

struct Ops {
  const char* name;        // "reference", "avx2", "avx512", "avx512_bf16"

  // n floats <-> NF4; see the public header.
  void (*nf4_quantize)(const Run&, const float* values, int64_t n, uint8_t* codes, uint8_t* absmax_codes, float* nested_absmax,
                       float* offset);
  void (*nf4_dequantize)(const Run&, const Nf4& w, int64_t n, float* out);

  // y[T, out] = x[T, in] · Wᵀ + bias (bias may be null)
  void (*linear_forward)(const Run&, const float* x, const Weight& w, const float* bias, float* y, int64_t T);
  // dx[T, in] = dy[T, out] · W, or += when accumulate
  void (*linear_backward)(const Run&, const float* dy, const Weight& w, float* dx, int64_t T, bool accumulate);

  // y[T, out] += scale · (drop(x)[T, in] Aᵀ) Bᵀ ; drop(x) = x · mask / (1 - p). h[T, r] receives drop(x) Aᵀ for backward.
  // Tokens are numbered from 0 within the range given, so a range computes the same alone or in a larger batch.
  void (*lora_forward)(const Run&, const float* x, const Lora& l, int64_t in, int64_t out, float* h, float* y, int64_t T);
  // dx[T, in] += …, grad_a += …, grad_b += …
  void (*lora_backward)(const Run&, const float* dy, const float* x, const float* h, const Lora& l, int64_t in, int64_t out,
                        float* dx, int64_t T);

  // y = x / rms(x) · w, rms over d with eps inside the root (Zhang & Sennrich 2019). rstd[T] = 1 / rms for backward.
  void (*rmsnorm_forward)(const Run&, const float* x, const float* w, float eps, float* y, float* rstd, int64_t T, int64_t d);
  // dx[T, d] += gradient through the norm (w is frozen)
  void (*rmsnorm_backward)(const Run&, const float* dy, const float* x, const float* w, const float* rstd, float* dx, int64_t T,
                           int64_t d);

  // Rotate-half RoPE in place on the first `width` of head_dim elements of x[T, heads, head_dim]: pairs (i, i + width/2).
  // Token t uses row rows[t] of cos/sin [.., width/2]; sign +1 forward, -1 backward (the transpose: the inverse rotation,
  // times whatever factor the tables hold).
  void (*rope)(const Run&, float* x, const int32_t* rows, const float* cos, const float* sin, int sign, int64_t T,
               int64_t heads, int64_t head_dim, int64_t width);

  // Causal attention within sequences: starts[n_sequences+1]. q[T, Hq, D], k,v[T, Hkv, D], o[T, Hq, D], lse[T, Hq] is the
  // natural log-sum-exp of the scaled, capped scores, for backward. Tiled with online softmax (Dao et al. 2022): no [T, T]
  // matrix, and tiles outside the window are skipped.
  void (*attention_forward)(const Run&, const Attention& a, const float* q, const float* k, const float* v,
                            const int32_t* starts, int64_t n_sequences, float* o, float* lse);
  // dq, dk, dv are written (=). Recomputes the probabilities from lse.
  void (*attention_backward)(const Run&, const Attention& a, const float* dout, const float* q, const float* k, const float* v,
                             const float* o, const float* lse, const int32_t* starts, int64_t n_sequences, float* dq, float* dk,
                             float* dv);
  // n new queries q[n, Hq, D] at positions past … past+n-1 against a cache k,v[past+n, Hkv, D]; o[n, Hq, D].
  void (*attention_cached)(const Run&, const Attention& a, const float* q, const float* k, const float* v, int64_t past,
                           int64_t n, float* o);

  // out = activation(gate) · up, all [n]
  void (*gated_forward)(const Run&, Activation activation, const float* gate, const float* up, float* out, int64_t n);
  // dgate, dup are written (=) and may alias gate, up
  void (*gated_backward)(const Run&, Activation activation, const float* dout, const float* gate, const float* up, float* dgate,
                         float* dup, int64_t n);

  // out[T, d] = scale · table[tokens[t]]; table F32 or BF16
  void (*embedding)(const Run&, const Weight& table, const int32_t* tokens, float scale, float* out, int64_t T);

  // Head and cross-entropy over chunks of `chunk` tokens, never [T, vocab] at once. hidden[T, d], head [vocab, d].
  // loss[T] = -log p(target) (0 where target is -100), correct[T] = arg-max is the target. dhidden[T, d] (= , may be null)
  // = grad_scale[t] · ∂loss[t]/∂hidden. Tokens without a target are skipped, not computed. `softcap` as in Attention, on
  // the logits.
  void (*head_loss)(const Run&, const float* hidden, const Weight& head, const int32_t* targets, const float* grad_scale,
                    int64_t chunk, float softcap, float* loss, uint8_t* correct, float* dhidden, int64_t T);
  // x = cap · tanh(x / cap), all [n]
  void (*softcap)(const Run&, float* x, float cap, int64_t n);

  // out = a + b, all [n]; out may alias a
  void (*add)(const Run&, const float* a, const float* b, float* out, int64_t n);
  // Σ x² in double, fixed order
  double (*sum_squares)(const Run&, const float* x, int64_t n);
  // AdamW on n weights; gradient is multiplied by grad_factor first; correction1/2 = 1 - beta^step
  void (*adamw)(const Run&, float* w, const float* g, float* m, float* v, int64_t n, float grad_factor, float lr, float beta1,
                float beta2, float epsilon, float weight_decay, float correction1, float correction2);
};

const Ops& reference_ops();
// The fastest table this machine can run at or below the given lr_isa level (2 AVX2, 3 AVX-512, 4 AVX512-BF16); null when the
// machine lacks it. Level 1 is the reference table.
const Ops* cpu_ops(int isa);
int best_isa();  // highest lr_isa level of this machine

// Philox 4x32-10 (Salmon et al. 2011): element i of the stream `key` as a float in [0, 1), 24 bits.
float philox_uniform(uint64_t key, uint64_t index);

}  // namespace lr
