/**
 * Lowrank kernel library: QLoRA training and generation on a 4-bit base, behind one C interface.
 *
 * Rules that hold for every function here:
 *  - Returns an lr_status; never exits, aborts or throws. On any status but LR_OK the outputs are unspecified and
 *    lr_context_error(ctx) says what was wrong, where, and what to do.
 *  - No global state. Handles are opaque; a handle is used by one call at a time (lr_cancel_set and
 *    lr_context_error excepted: any thread, any time).
 *  - A context outlives the handles made from it; a base outlives its adapters and sessions.
 *  - Sizes are elements unless the name says bytes. Matrices are row-major. float is IEEE binary32.
 *  - Determinism: for one ISA level, the same inputs give the same bytes at any thread count. Every sum is taken in a
 *    fixed order; random numbers come from a counter-based generator (Philox 4x32-10, Salmon et al. 2011).
 */
#ifndef LOWRANK_KERNELS_H
#define LOWRANK_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LR_API __attribute__((visibility("default")))
#else
#define LR_API
#endif

/** Version of this interface; lr_interface_version() must return the one the caller was compiled with. */
#define LR_INTERFACE_VERSION 1

typedef enum lr_status {
  LR_OK = 0,
  LR_INVALID_ARGUMENT = 1,   /* a parameter is out of range or inconsistent */
  LR_OUT_OF_MEMORY = 2,      /* an allocation failed; nothing was changed */
  LR_IO_ERROR = 3,           /* a file could not be read, written or mapped */
  LR_BAD_FORMAT = 4,         /* a file is not what it claims to be (safetensors, config.json, quantized base) */
  LR_UNSUPPORTED_MODEL = 5,  /* model_type or a setting of it that this library does not know */
  LR_CANCELLED = 6,          /* the cancel flag was set; gradients of this step are to be zeroed by the caller */
  LR_NOT_FINITE = 7,         /* a loss or gradient is NaN or infinite; nothing was updated */
  LR_INTERNAL = 8            /* a broken invariant of the library itself: a bug */
} lr_status;

typedef struct lr_context lr_context; /* thread pool, backend, workspace, last error */
typedef struct lr_base lr_base;       /* a memory-mapped quantized base */
typedef struct lr_adapter lr_adapter; /* LoRA weights with gradients and optimizer state */
typedef struct lr_session lr_session; /* one sequence being generated: KV cache and last logits */
typedef struct lr_cancel lr_cancel;   /* a flag polled by long calls */

/* ------------------------------------------------------------------ context */

typedef enum lr_backend { LR_BACKEND_FAST = 0, LR_BACKEND_REFERENCE = 1 } lr_backend;
typedef enum lr_isa { LR_ISA_AUTO = 0, LR_ISA_SCALAR = 1, LR_ISA_AVX2 = 2, LR_ISA_AVX512 = 3, LR_ISA_AVX512_BF16 = 4 } lr_isa;
/** Type of the operands of the big matrix products; sums are float in both. BF16 rounds operands to nearest even. */
typedef enum lr_compute { LR_COMPUTE_F32 = 0, LR_COMPUTE_BF16 = 1 } lr_compute;

typedef struct lr_context_options {
  uint32_t threads; /* worker threads including the caller's; 0 = number of usable cores */
  uint32_t backend; /* lr_backend */
  uint32_t isa;     /* lr_isa; LR_INVALID_ARGUMENT when the machine lacks it */
  uint32_t compute; /* lr_compute; BF16 works at every ISA level, natively on AVX512_BF16 */
} lr_context_options;

LR_API uint32_t lr_interface_version(void);
/** ctx is set even when creation fails after allocation, so that lr_context_error can be read; destroy it all the same. */
LR_API lr_status lr_context_create(const lr_context_options* options, lr_context** ctx);
LR_API void lr_context_destroy(lr_context* ctx);
/** Message of the last failed call on this context or a handle made from it; "" if none. Valid until the next call. */
LR_API const char* lr_context_error(const lr_context* ctx);
/** JSON {"version","backend","isa","compute","threads"}. Writes at most capacity bytes with a final NUL. */
LR_API lr_status lr_context_info(lr_context* ctx, char* json, size_t capacity);

LR_API lr_status lr_cancel_create(lr_cancel** cancel);
LR_API void lr_cancel_set(lr_cancel* cancel);
LR_API void lr_cancel_destroy(lr_cancel* cancel);

/* ------------------------------------------------------------------ NF4 (bitsandbytes' format, code for code) */

/**
 * Quantizes n floats to NF4 in blocks of 64, block scales double-quantized in blocks of 256
 * (Dettmers et al. 2023, QLoRA; layout of bitsandbytes' quantize_4bit with compress_statistics).
 *  codes          [ceil(n/2)] bytes, first value of a pair in the high nibble
 *  absmax_codes   [ceil(n/64)] 8-bit dynamic codes of (absmax - offset)
 *  nested_absmax  [ceil(ceil(n/64)/256)]
 *  offset         [1] mean of the block scales
 */
LR_API lr_status lr_nf4_quantize(lr_context* ctx, const float* values, uint64_t n, uint8_t* codes, uint8_t* absmax_codes,
                                 float* nested_absmax, float* offset);
/** Inverse of lr_nf4_quantize; out [n]. */
LR_API lr_status lr_nf4_dequantize(lr_context* ctx, const uint8_t* codes, const uint8_t* absmax_codes,
                                   const float* nested_absmax, float offset, uint64_t n, float* out);

/* ------------------------------------------------------------------ base */

typedef void (*lr_progress)(void* user, uint64_t done_bytes, uint64_t total_bytes);

/**
 * Reads a Hugging Face folder (config.json, *.safetensors, sharded or not) and writes a quantized base file: the linear
 * layers of the decoder in NF4 with double quantization, embeddings, head and norms as they are (bf16/f16 → bf16, f32 → f32).
 * Holds at most one tensor in full precision. Writes <file>.tmp-<pid>, fsyncs, renames: readers never see half a file.
 * progress is called from the calling thread. Errors: LR_UNSUPPORTED_MODEL, LR_BAD_FORMAT, LR_IO_ERROR, LR_CANCELLED.
 */
LR_API lr_status lr_base_quantize(lr_context* ctx, const char* model_dir, const char* file, lr_cancel* cancel,
                                  lr_progress progress, void* user);
/** Maps a quantized base file read-only. The header is checked; the weights are read when used. Errors: LR_IO_ERROR, LR_BAD_FORMAT,
 *  LR_UNSUPPORTED_MODEL for a base whose settings this version does not know. */
LR_API lr_status lr_base_open(lr_context* ctx, const char* file, lr_base** base);
LR_API void lr_base_close(lr_base* base);
/**
 * JSON {"modelType","layers","hidden","heads","kvHeads","headDim","intermediate","vocab","maxPositions","tied",
 * "fileBytes","parameters","linears":[{"name":"model.layers.0.self_attn.q_proj","in":256,"out":256}, …]}.
 * *needed receives the size with the final NUL; LR_INVALID_ARGUMENT if capacity is smaller (json may then be NULL).
 */
LR_API lr_status lr_base_info(lr_base* base, char* json, size_t capacity, size_t* needed);

/* ------------------------------------------------------------------ adapter */

/** One linear layer that gets a LoRA pair: y += scale · (dropout(x) Aᵀ) Bᵀ, A [rank, in], B [out, rank]. */
typedef struct lr_lora_target {
  const char* name; /* full module name as in lr_base_info, e.g. "model.layers.0.mlp.up_proj" */
  uint32_t rank;    /* 1 … 512 */
  float scale;      /* alpha / rank (Hu et al. 2021) */
} lr_lora_target;

/** Adapters start as PEFT's do: A Kaiming-uniform with a = √5 (bound 1/√in) from Philox(seed, target index), B zero. */
LR_API lr_status lr_adapter_create(lr_base* base, const lr_lora_target* targets, uint32_t n_targets, float dropout,
                                   uint64_t seed, lr_adapter** adapter);
LR_API void lr_adapter_destroy(lr_adapter* adapter);

/** Which array of an adapter: tensors are numbered A of target 0, B of target 0, A of target 1, … */
typedef enum lr_tensor_kind { LR_WEIGHT = 0, LR_GRADIENT = 1, LR_ADAM_M = 2, LR_ADAM_V = 3 } lr_tensor_kind;
/** Copies tensor `index` (2·target for A, 2·target + 1 for B); count must be its number of elements. */
LR_API lr_status lr_adapter_read(lr_adapter* adapter, uint32_t kind, uint32_t index, float* out, uint64_t count);
LR_API lr_status lr_adapter_write(lr_adapter* adapter, uint32_t kind, uint32_t index, const float* values, uint64_t count);
LR_API lr_status lr_adapter_zero_gradients(lr_adapter* adapter);

/** Everything training changes (weights, Adam moments, Adam step): opaque bytes with a header and CRC-32C. Gradients are not in it. */
LR_API lr_status lr_adapter_state_size(lr_adapter* adapter, uint64_t* bytes);
LR_API lr_status lr_adapter_state_export(lr_adapter* adapter, uint8_t* out, uint64_t bytes);
/** LR_BAD_FORMAT when the bytes are damaged or belong to an adapter of other shapes; the adapter is then unchanged. */
LR_API lr_status lr_adapter_state_import(lr_adapter* adapter, const uint8_t* in, uint64_t bytes);

/* ------------------------------------------------------------------ steps */

/** Packed sequences: token t of sequence s lies at starts[s] ≤ t < starts[s+1] and attends within its sequence only. */
typedef struct lr_batch {
  const int32_t* tokens;  /* [n_tokens] ids in [0, vocab) */
  const int32_t* targets; /* [n_tokens] id of the next token, or -100 where no loss is taken */
  const int32_t* starts;  /* [n_sequences + 1] ascending, starts[0] = 0, last = n_tokens; positions restart at 0 in each */
  uint32_t n_tokens;
  uint32_t n_sequences;
} lr_batch;

/** The tokens [begin, end) go through this adapter (NULL: the bare base). Ends lie on sequence starts; every token of the batch
 *  is in exactly one entry. */
typedef struct lr_rows {
  lr_adapter* adapter;
  uint32_t begin, end;
  float loss_scale;      /* gradients are of loss_scale · Σ loss: 1 / (tokens with loss in the accumulated batch) */
  uint64_t dropout_seed; /* counter-based: differs by optimizer step and micro-batch, the same on resume */
} lr_rows;

typedef struct lr_step_options {
  uint32_t checkpoint_activations; /* 1: keep only each layer's input, recompute the rest (Chen et al. 2016) */
  uint32_t loss_chunk;             /* tokens per chunk of head + cross-entropy; 0 = library's choice */
} lr_step_options;

/** Per entry of rows. */
typedef struct lr_loss {
  double sum;          /* Σ −log p(target), natural logarithm, over tokens with a target */
  uint64_t tokens;     /* how many tokens have a target */
  uint64_t correct;    /* of those, how many the arg-max predicts */
} lr_loss;

/** Forward and backward; adds to the gradients of every adapter in rows. losses [n_rows]. Polls cancel between layers. A loss
 *  that is not finite is returned as it is: that adapter's next optimizer step is LR_NOT_FINITE, the other rows go on. */
LR_API lr_status lr_train_step(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows,
                               const lr_step_options* options, lr_cancel* cancel, lr_loss* losses);
/** Forward only, no dropout. losses [n_rows]. */
LR_API lr_status lr_eval_step(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows, lr_cancel* cancel,
                              lr_loss* losses);
/** Forward only, no dropout; logits [n_tokens, vocab]. For parity checks on small batches, not for training. */
LR_API lr_status lr_logits(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows, float* logits);

/** AdamW (Loshchilov & Hutter 2019), decoupled weight decay, bias correction; gradients clipped to a global norm first. */
typedef struct lr_adamw {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float max_grad_norm; /* 0 = no clipping; factor min(1, max / (norm + 1e-6)) as torch.nn.utils.clip_grad_norm_ */
} lr_adamw;
/** Updates and zeroes the gradients; grad_norm receives the norm before clipping. LR_NOT_FINITE: gradients zeroed, no update. */
LR_API lr_status lr_adapter_optimizer_step(lr_adapter* adapter, const lr_adamw* settings, float* grad_norm);

/** Bytes of anonymous memory held by this context's handles: now, and the most since creation or the last reset. */
LR_API lr_status lr_context_memory(lr_context* ctx, uint64_t* current_bytes, uint64_t* peak_bytes, uint32_t reset_peak);

/* ------------------------------------------------------------------ generation */

/** A sequence of at most capacity tokens over base with adapter (NULL: bare base). */
LR_API lr_status lr_session_create(lr_base* base, lr_adapter* adapter, uint32_t capacity, lr_session** session);
LR_API void lr_session_destroy(lr_session* session);
/** Appends n tokens to the sequence (prefill, or one token a call) and computes the logits after the last of them. A model whose
 *  rotary frequencies change beyond its positions of pre-training computes the whole sequence anew when it gets there. */
LR_API lr_status lr_session_append(lr_session* session, const int32_t* tokens, uint32_t n, lr_cancel* cancel);
/** logits [vocab] after the last appended token. */
LR_API lr_status lr_session_logits(lr_session* session, float* logits);

typedef struct lr_sampling {
  float temperature; /* 0 = greedy: the highest logit, lowest id on a tie */
  float top_p;       /* 0 < top_p ≤ 1; nucleus (Holtzman et al. 2020); 1 = off */
  uint32_t top_k;    /* 0 = off */
  uint64_t seed;     /* with the position in the sequence it fixes the draw */
} lr_sampling;
LR_API lr_status lr_session_sample(lr_session* session, const lr_sampling* sampling, int32_t* token);

#ifdef __cplusplus
}
#endif
#endif
