// The operations a backend provides. model/ composes them into a decoder; reference/ holds the plain readable truth, cpu/ the
// fast one. Both fill the same table, so one table of test cases checks both, and the model never knows which it runs on.
//
// Conventions: row-major; T = tokens in the batch, d = width, r = rank. "+=" in a comment means the operation adds to its
// output. Operations write every element of their output in a fixed order that does not depend on the number of threads.
// They do not allocate, except through Scratch; they check nothing: the callers do.
//
// Floats, weights, codes and scratch lie in the memory of the backend, which may be a device's. Arrays of integers (tokens, targets,
// starts, rows, pages), PagedSequence, and what head_loss takes or gives a value a token of, lie in the machine's own.
#pragma once
#include <cstdint>
#include <cstddef>
#include <span>

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

enum class Storage : uint32_t { F32 = 0, BF16 = 1, NF4 = 2, FP4 = 3, INT8 = 4 };

// The scales of a quantized matrix of n values, as in bitsandbytes (lowrank_kernels.h, lr_quantized): floats, or, when absmax is
// null, double-quantized. Blocks of the 4-bit storages run over the flattened matrix.
struct Scales {
  const float* absmax;          // NF4, FP4: [ceil(n/64)]; INT8: [rows]
  const uint8_t* absmax_codes;  // [ceil(n/64)]
  const float* nested_absmax;   // [ceil(ceil(n/64)/256)]
  float offset;
};

// A frozen weight matrix [rows, cols] in one of the storages.
struct Weight {
  Storage storage;
  int64_t rows, cols;      // rows = out features, cols = in features
  const void* data;        // F32: float, BF16: uint16_t, INT8: int8_t, all [rows, cols]; NF4, FP4: uint8_t [ceil(n/2)]
  Scales scales;
};

// Where `quantize` writes; the parts of a Weight. Double quantization when absmax is null.
struct QuantizedParts {
  void* data;
  float* absmax;
  uint8_t* absmax_codes;
  float* nested_absmax;
  float* offset;           // [1]
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
  float* grad_a;           // [r, in], += ; null: the pair is frozen
  float* grad_b;           // [out, r], +=
  // The same as a and b in bfloat16, or null. Then a and b are null and the pair is frozen: only lora_hidden, linear_forward and row_norms of a
  // backend with bf16_pairs take it, and compute what they would from the same values as floats.
  const uint16_t* a_bf16 = nullptr;
  const uint16_t* b_bf16 = nullptr;
  // What `round_pairs` made of a [r, in] and b, turned [r, out], or null. Products in bfloat16 may read them instead.
  const uint16_t* a_rounded = nullptr;
  const uint16_t* b_rounded = nullptr;
};

// A pair's matrices a [rank, in] and b [out, rank], and where they are wanted in bfloat16, at multiples of 16 bytes: a [rank, in] and
// b turned [rank, out].
struct RoundedPair {
  const float *a, *b;
  int64_t rank, in, out;
  uint16_t *a_rounded, *b_rounded;
};

// Tokens [begin, end) of a product with a frozen weight go through this pair too.
struct LoraRows {
  Lora pair;
  int64_t begin, end;
  float* hidden;           // [end - begin, r]: drop(x) Aᵀ
  float* hidden_gradient;  // [end - begin, r]: dy B
};

// Rows of values that products read. A table with `bf16_operands` keeps them in bfloat16 where a run computes so and does not decode: rounded where
// they are written, in rows that are multiples of eight wide and lie at multiples of 16 bytes, `stride` elements apart. What lies between the end of
// a row and the next one is room: a product may write there. Otherwise they are floats, one row after the other.
struct Operand {
  Operand() = default;
  Operand(const float* values) : floats(values) {}
  Operand(uint16_t* values, int64_t apart) : halves(values), stride(apart) {}
  // From this row on.
  Operand at(int64_t row, int64_t width) const {
    return halves == nullptr ? Operand(floats + row * width) : Operand(halves + row * stride, stride);
  }

  const float* floats = nullptr;
  uint16_t* halves = nullptr;  // null: floats
  int64_t stride = 0;
};
// One that is written.
struct OperandOut {
  OperandOut() = default;
  OperandOut(float* values) : floats(values) {}
  OperandOut(uint16_t* values, int64_t apart) : halves(values), stride(apart) {}
  OperandOut at(int64_t row, int64_t width) const {
    return halves == nullptr ? OperandOut(floats + row * width) : OperandOut(halves + row * stride, stride);
  }
  operator Operand() const { return halves == nullptr ? Operand(floats) : Operand(halves, stride); }

  float* floats = nullptr;
  uint16_t* halves = nullptr;
  int64_t stride = 0;
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

// Keys and values of a layer that are kept between calls, in pages of page_tokens tokens: k, v [pages, page_tokens, Hkv, D].
struct PagedKeys {
  const float *k, *v;
  int64_t page_tokens;
};
// A sequence in them: token t is token t % page_tokens of page pages[t / page_tokens]. `past` of its tokens were there before.
struct PagedSequence {
  int64_t past;
  const int32_t* pages;
};

// 8-bit moments of AdamW (Dettmers et al. 2022): dynamic codes of blocks of 256 values, each block scaled by its largest
// magnitude. First moments use the signed map, second moments the unsigned one (adamw8.h).
struct Moments8 {
  uint8_t *m, *v;                // [n]
  float *m_absmax, *v_absmax;    // [ceil(n/256)]
};

// What every weight of one AdamW update shares.
struct AdamwStep {
  float grad_factor;       // multiplies the gradient first
  float lr, beta1, beta2, epsilon, weight_decay;
  float correction1, correction2;  // 1 - beta^step
};

// One tensor of an update with moments in floats: weights w, their gradient g, moments m and v, all [n]. Tensors share no memory.
struct AdamwTensor {
  float* w;
  const float* g;
  float *m, *v;
  int64_t n;
  AdamwStep step;
};

struct Device;             // the queue of work of a backend that runs on one (cuda/device.cu)

struct Run {               // what every operation needs
  Pool* pool;
  Scratch* scratch;
  Compute compute;         // operand type of linear_*, attention and head products (a backend may take floats instead)
  // Every token is the next one of a sequence of its own. Products with weights, those of pairs and attention then take a way that
  // suits few tokens, and sum in the order of that way however many there are: what a token gets depends neither on how many go with
  // it here nor, in the order of all other passes, on how many go with it there.
  bool decoding = false;
  Device* device = nullptr;
};

struct Ops {
  const char* name;        // "reference", "avx2", "avx512", "avx512_bf16", "amx_bf16"
  bool bf16_pairs = false; // whether pairs may be in bfloat16
  bool bf16_operands = false;  // whether operands may be
  bool pair_room = false;  // whether products write hidden values of pairs behind the rows of operands, and want room there
  // Rounds trained pairs, once for all products until their weights change. Null: products read floats.
  void (*round_pairs)(const Run&, std::span<const RoundedPair> pairs) = nullptr;

  // values[rows, cols] to NF4, FP4 or INT8, and back to out[rows, cols]; see lr_quantize.
  void (*quantize)(const Run&, Storage storage, const float* values, int64_t rows, int64_t cols, const QuantizedParts& out);
  void (*dequantize)(const Run&, const Weight& w, float* out);

  // y[T, out] = x[T, in] · Wᵀ + bias (bias may be null) + scale · hidden Bᵀ in the rows of each pair: it rides on the product,
  // so that y is not read and written again.
  void (*linear_forward)(const Run&, Operand x, const Weight& w, const float* bias, std::span<const LoraRows> pairs, OperandOut y,
                         int64_t T);
  // dx[T, in] = dy[T, out] · W, or += when accumulate, to floats; + scale · hidden_gradient A in the rows of each pair (without dropout)
  void (*linear_backward)(const Run&, Operand dy, const Weight& w, std::span<const LoraRows> pairs, OperandOut dx, int64_t T,
                          bool accumulate);

  // The products of a LoRA pair y = scale · (drop(x) Aᵀ) Bᵀ; drop(x) = x · mask / (1 - p). Dropout numbers tokens from 0 within the
  // rows of a pair, so that they compute the same alone or in a larger batch. Where several pairs are given, each with rows of its
  // own, small ones share the threads; no two of them write the same memory.
  // hidden = drop(x)[T, in] Aᵀ of each pair
  void (*lora_hidden)(const Run&, Operand x, std::span<const LoraRows> pairs, int64_t in);
  // y[T, out] += scale · h Bᵀ
  void (*lora_output)(const Run&, const float* h, const Lora& l, int64_t out, float* y, int64_t T);
  // hidden_gradient = dy[T, out] B of each pair; grad_a += scale · hidden_gradientᵀ drop(x), grad_b += scale · dyᵀ hidden, unless
  // they are null
  void (*lora_gradients)(const Run&, Operand dy, Operand x, std::span<const LoraRows> pairs, int64_t in, int64_t out);
  // dx[T, in] += mask / (1 - p) · (scale · dh A)
  void (*lora_input_gradient)(const Run&, const float* dh, const Lora& l, int64_t in, float* dx, int64_t T);
  // out[T, in] = drop(x), as a pair drops it; out may alias x. Its transpose is the same operation.
  void (*dropout)(const Run&, Operand x, const Lora& l, int64_t in, float* out, int64_t T);
  // norm[out] = Euclidean norm of each row of W + scale · B A (a rank of 0: of W); never more than a few rows are held.
  void (*row_norms)(const Run&, const Weight& w, const Lora& l, float* norm);
  // y[T, n] = (x - before) · factor + after, with vectors [n] of which any may be null; y may alias x.
  void (*column_affine)(const Run&, Operand x, const float* before, const float* factor, const float* after, OperandOut y,
                        int64_t T, int64_t n);
  // sums[n] += factor · Σ_t a[t] · b[t]; b [T, n] null: of a alone; factor [n] null: 1
  void (*column_sums)(const Run&, Operand a, const float* b, const float* factor, float* sums, int64_t T, int64_t n);

  // y = x / rms(x) · w, rms over d with eps inside the root (Zhang & Sennrich 2019). rstd[T] = 1 / rms for backward.
  void (*rmsnorm_forward)(const Run&, Operand x, const float* w, float eps, OperandOut y, float* rstd, int64_t T, int64_t d);
  // dx[T, d] += gradient through the norm (w is frozen)
  void (*rmsnorm_backward)(const Run&, const float* dy, Operand x, const float* w, const float* rstd, float* dx, int64_t T, int64_t d);

  // y[T, heads · head_dim] = x[T, heads, head_dim] with the first `width` elements of each head turned by rotate-half RoPE: pairs
  // (i, i + width/2). y may be x. Token t uses row rows[t] of cos/sin [.., width/2]; sign +1 forward, -1 backward (the transpose: the
  // inverse rotation, times whatever factor the tables hold).
  void (*rope)(const Run&, const float* x, OperandOut y, const int32_t* rows, const float* cos, const float* sin, int sign, int64_t T,
               int64_t heads, int64_t head_dim, int64_t width);

  // Causal attention within sequences: starts[n_sequences+1]. q[T, Hq, D], k,v[T, Hkv, D], o[T, Hq, D], lse[T, Hq] is the
  // natural log-sum-exp of the scaled, capped scores, for backward. Tiled with online softmax (Dao et al. 2022): no [T, T]
  // matrix, and tiles outside the window are skipped. q, k and v are in bfloat16 together, and only for heads up to 128 wide.
  void (*attention_forward)(const Run&, const Attention& a, Operand q, Operand k, Operand v, const int32_t* starts, int64_t n_sequences,
                            OperandOut o, float* lse);
  // dq, dk, dv are written (=). Recomputes the probabilities from lse. dout is in bfloat16 where q, k and v are.
  void (*attention_backward)(const Run&, const Attention& a, Operand dout, Operand q, Operand k, Operand v, Operand o, const float* lse,
                             const int32_t* starts, int64_t n_sequences, float* dq, float* dk, OperandOut dv);
  // The same for tokens whose sequences began before: q[T, Hq, D] are those at positions past, past + 1, … of sequence s for
  // starts[s] ≤ t < starts[s+1]; their keys and values, and all before them, lie in `cache`. o[T, Hq, D].
  void (*attention_cached)(const Run&, const Attention& a, const float* q, const PagedKeys& cache, const PagedSequence* sequences,
                           const int32_t* starts, int64_t n_sequences, OperandOut o);

  // New keys and values take their places in a cache: row rows[t] of keys and values [.., width] becomes row t of k and v [T, width]. No two
  // tokens have one row.
  void (*store_keys)(const Run&, const float* k, const float* v, const int64_t* rows, float* keys, float* values, int64_t T, int64_t width);

  // out = activation(gate) · up, all [T, n]; all operands of a call are in bfloat16 or none is
  void (*gated_forward)(const Run&, Activation activation, Operand gate, Operand up, OperandOut out, int64_t T, int64_t n);
  // dgate, dup are written (=) and may alias gate, up
  void (*gated_backward)(const Run&, Activation activation, Operand dout, Operand gate, Operand up, OperandOut dgate, OperandOut dup,
                         int64_t T, int64_t n);

  // out[T, d] = scale · table[tokens[t]]; table F32 or BF16
  void (*embedding)(const Run&, const Weight& table, const int32_t* tokens, float scale, float* out, int64_t T);

  // x += magnitude · u, all [n]; u uniform in [-1, 1) is element first + i of the stream `key`.
  void (*add_noise)(const Run&, float* x, int64_t n, float magnitude, uint64_t key, uint64_t first);

  // Head and cross-entropy over chunks of `chunk` tokens, never [T, vocab] at once. hidden[T, d], head [vocab, d].
  // loss[T] = (1 - ε) · -log p(target) + ε · mean over the vocabulary of -log p (0 where target is -100), ε = smoothing[t] or 0
  // when smoothing is null; correct[T] = arg-max is the target. dhidden[T, d] (= , may be null)
  // = grad_scale[t] · ∂loss[t]/∂hidden. Tokens without a target are skipped, not computed. `softcap` as in Attention, on
  // the logits.
  void (*head_loss)(const Run&, Operand hidden, const Weight& head, const int32_t* targets, const float* grad_scale,
                    const float* smoothing, int64_t chunk, float softcap, float* loss, uint8_t* correct, float* dhidden, int64_t T);
  // x = cap · tanh(x / cap), all [n]
  void (*softcap)(const Run&, float* x, float cap, int64_t n);

  // x *= factor, all [n]
  void (*scale)(const Run&, float* x, float factor, int64_t n);
  // out = a + b, all [n]; out may alias a
  void (*add)(const Run&, const float* a, const float* b, float* out, int64_t n);
  // Σ x² in double, fixed order
  double (*sum_squares)(const Run&, const float* x, int64_t n);
  // AdamW on tensors with moments in floats, and on n weights with 8-bit moments
  void (*adamw)(const Run&, std::span<const AdamwTensor> tensors);
  void (*adamw8)(const Run&, float* w, const float* g, const Moments8& moments, int64_t n, const AdamwStep& step);
};

const Ops& reference_ops();
// The fastest table this machine can run at or below the given lr_isa level (2 AVX2, 3 AVX-512 with VNNI, 4 AVX512-BF16, 5 AMX-BF16);
// null when the machine lacks it. Level 1 is the reference table.
const Ops* cpu_ops(int isa);
int best_isa();  // highest lr_isa level of this machine

// Philox 4x32-10 (Salmon et al. 2011): element i of the stream `key` as a float in [0, 1), 24 bits.
float philox_uniform(uint64_t key, uint64_t index);

}  // namespace lr
