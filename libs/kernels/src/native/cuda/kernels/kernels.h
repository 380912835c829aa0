// The operations of the CUDA backend; what each does is written in ops.h. Pointers to floats, weights and codes lie on the device,
// arrays of integers, PagedSequence, and what head_loss has a value a token of, on the host.
#pragma once
#include "../launch.h"

namespace lr::cuda {

void quantize(const Run&, Storage storage, const float* values, int64_t rows, int64_t cols, const QuantizedParts& out);
void dequantize(const Run&, const Weight& w, float* out);
void linear_forward(const Run&, const float* x, const Weight& w, const float* bias, std::span<const LoraRows> pairs, float* y,
                    int64_t T);
void linear_backward(const Run&, const float* dy, const Weight& w, std::span<const LoraRows> pairs, float* dx, int64_t T,
                     bool accumulate);
void lora_hidden(const Run&, const float* x, std::span<const LoraRows> pairs, int64_t in);
void lora_output(const Run&, const float* h, const Lora& l, int64_t out, float* y, int64_t T);
void lora_gradients(const Run&, const float* dy, const float* x, std::span<const LoraRows> pairs, int64_t in, int64_t out);
void lora_input_gradient(const Run&, const float* dh, const Lora& l, int64_t in, float* dx, int64_t T);
void dropout(const Run&, const float* x, const Lora& l, int64_t in, float* out, int64_t T);
void row_norms(const Run&, const Weight& w, const Lora& l, float* norm);
void column_affine(const Run&, const float* x, const float* before, const float* factor, const float* after, float* y, int64_t T,
                   int64_t n);
void column_sums(const Run&, const float* a, const float* b, const float* factor, float* sums, int64_t T, int64_t n);
void rmsnorm_forward(const Run&, const float* x, const float* w, float eps, float* y, float* rstd, int64_t T, int64_t d);
void rmsnorm_backward(const Run&, const float* dy, const float* x, const float* w, const float* rstd, float* dx, int64_t T,
                      int64_t d);
void rope(const Run&, float* x, const int32_t* rows, const float* cos, const float* sin, int sign, int64_t T,
          int64_t heads, int64_t head_dim, int64_t width);
void attention_forward(const Run&, const Attention& a, const float* q, const float* k, const float* v, const int32_t* starts,
                       int64_t n_sequences, float* o, float* lse);
void attention_backward(const Run&, const Attention& a, const float* dout, const float* q, const float* k, const float* v,
                        const float* o, const float* lse, const int32_t* starts, int64_t n_sequences, float* dq, float* dk,
                        float* dv);
void attention_cached(const Run&, const Attention& a, const float* q, const PagedKeys& cache, const PagedSequence* sequences,
                      const int32_t* starts, int64_t n_sequences, float* o);
void gated_forward(const Run&, Activation activation, const float* gate, const float* up, float* out, int64_t n);
void gated_backward(const Run&, Activation activation, const float* dout, const float* gate, const float* up, float* dgate,
                    float* dup, int64_t n);
void embedding(const Run&, const Weight& table, const int32_t* tokens, float scale, float* out, int64_t T);
void add_noise(const Run&, float* x, int64_t n, float magnitude, uint64_t key, uint64_t first);
void head_loss(const Run&, const float* hidden, const Weight& head, const int32_t* targets, const float* grad_scale,
               const float* smoothing, int64_t chunk, float softcap, float* loss, uint8_t* correct, float* dhidden, int64_t T);
void softcap(const Run&, float* x, float cap, int64_t n);
void scale(const Run&, float* x, float factor, int64_t n);
void add(const Run&, const float* a, const float* b, float* out, int64_t n);
double sum_squares(const Run&, const float* x, int64_t n);
void adamw(const Run&, float* w, const float* g, float* m, float* v, int64_t n, const AdamwStep& step);
void adamw8(const Run&, float* w, const float* g, const Moments8& moments, int64_t n, const AdamwStep& step);

// lora_output and lora_input_gradient of several pairs.
void lora_outputs(const Run&, std::span<const LoraRows> pairs, int64_t out, float* y);
void lora_input_gradients(const Run&, std::span<const LoraRows> pairs, int64_t in, float* dx);

}  // namespace lr::cuda
