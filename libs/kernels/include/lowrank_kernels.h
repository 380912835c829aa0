/**
 * Lowrank kernel library: QLoRA training and generation on a quantized base, behind one C interface.
 *
 * Rules that hold for every function here:
 *  - Returns an lr_status; never exits, aborts or throws. On any status but LR_OK the outputs are unspecified and
 *    lr_context_error(ctx) says what was wrong, where, and what to do.
 *  - No global state. Handles are opaque; a handle is used by one call at a time (lr_cancel_set and
 *    lr_context_error excepted: any thread, any time).
 *  - A context outlives the handles made from it; a base outlives its adapters, caches and sessions.
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
#define LR_INTERFACE_VERSION 5

typedef enum lr_status {
  LR_OK = 0,
  LR_INVALID_ARGUMENT = 1,   /* a parameter is out of range or inconsistent */
  LR_OUT_OF_MEMORY = 2,      /* memory or a thread was refused; nothing was changed, except by a training step: see LR_CANCELLED */
  LR_IO_ERROR = 3,           /* a file could not be read, written or mapped */
  LR_BAD_FORMAT = 4,         /* a file is not what it claims to be (safetensors, config.json, quantized base) */
  LR_UNSUPPORTED_MODEL = 5,  /* model_type or a setting of it that this library does not know */
  LR_CANCELLED = 6,          /* the cancel flag was set. A training step that ends so may leave a part of itself in the gradients:
                                zero them and accumulate anew; until then lr_adapter_optimizer_step refuses (LR_NOT_FINITE) */
  LR_NOT_FINITE = 7,         /* a loss or gradient is NaN or infinite; nothing was updated */
  LR_INTERNAL = 8,           /* a broken invariant of the library itself: a bug */
  LR_DEVICE_FAILED = 9       /* the GPU or its driver failed. Every further call on it fails so: end the process and start another */
} lr_status;

typedef struct lr_context lr_context; /* thread pool, backend, workspace, last error */
typedef struct lr_base lr_base;       /* a memory-mapped quantized base */
typedef struct lr_adapter lr_adapter; /* LoRA weights with gradients and optimizer state */
typedef struct lr_cache lr_cache;     /* keys and values of many sequences, in pages */
typedef struct lr_group lr_group;     /* one rank's end of GPUs that train one adapter together */
typedef struct lr_session lr_session; /* one sequence being generated: KV cache and last logits */
typedef struct lr_cancel lr_cancel;   /* a flag polled by long calls */

/* ------------------------------------------------------------------ context */

typedef enum lr_backend { LR_BACKEND_FAST = 0, LR_BACKEND_REFERENCE = 1 } lr_backend;
typedef enum lr_isa {
  LR_ISA_AUTO = 0,
  LR_ISA_SCALAR = 1,
  LR_ISA_AVX2 = 2,
  LR_ISA_AVX512 = 3, /* with VNNI */
  LR_ISA_AVX512_BF16 = 4,
  LR_ISA_AMX_BF16 = 5
} lr_isa;
/** Type of the operands of the big matrix products; sums are float in both. BF16 rounds operands to nearest even; below AVX512_BF16 it rounds
    them to integers of 13 bits that share a scale, which are multiplied twice as fast as floats and are finer. */
typedef enum lr_compute { LR_COMPUTE_F32 = 0, LR_COMPUTE_BF16 = 1 } lr_compute;

typedef struct lr_context_options {
  uint32_t threads; /* worker threads including the caller's; 0 = number of usable cores; never more are started.
                       Kept to one hardware thread a core where there are that many cores */
  uint32_t backend; /* lr_backend */
  uint32_t isa;     /* lr_isa; LR_INVALID_ARGUMENT when the machine lacks it */
  uint32_t compute; /* lr_compute; BF16 works at every ISA level, in bfloat16 itself from AVX512_BF16 on */
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

/* ------------------------------------------------------------------ quantization (bitsandbytes' formats, code for code) */

/** How the linear layers of a base are kept. */
typedef enum lr_format {
  LR_NF4 = 0,  /* 4 bits, quantiles of the normal distribution, blocks of 64 (Dettmers et al. 2023, QLoRA) */
  LR_FP4 = 1,  /* 4 bits, sign, exponent, mantissa, blocks of 64 */
  LR_INT8 = 2, /* 8 bits, a scale for each row: the weights of LLM.int8() (Dettmers et al. 2022) */
  LR_BF16 = 3, /* bfloat16, rounded to nearest even where the checkpoint has more */
  LR_F32 = 4   /* float; exact for every dtype of a checkpoint */
} lr_format;

typedef struct lr_quantization {
  uint32_t format;       /* lr_format */
  uint32_t double_quant; /* 1: the block scales of LR_NF4 and LR_FP4 are quantized too; no matter for the others */
} lr_quantization;

/**
 * The parts of a quantized matrix [rows, cols] of n = rows · cols values; blocks run over the flattened matrix. Layout of
 * bitsandbytes' quantize_4bit (with compress_statistics when double_quant) and int8_vectorwise_quant.
 *  codes          NF4, FP4: [ceil(n/2)] bytes, first value of a pair in the high half; INT8: [n] int8_t
 *  absmax         NF4, FP4 without double_quant: [ceil(n/64)]; INT8: [rows], the code 127 stands for it
 *  absmax_codes   with double_quant: [ceil(n/64)] 8-bit dynamic codes of (absmax - offset)
 *  nested_absmax  with double_quant: [ceil(ceil(n/64)/256)]
 *  offset         with double_quant: [1] mean of the block scales
 * Parts that a format has not are not looked at and may be NULL.
 */
typedef struct lr_quantized {
  uint8_t* codes;
  float* absmax;
  uint8_t* absmax_codes;
  float* nested_absmax;
  float* offset;
} lr_quantized;

/** values [rows, cols] → out. LR_NF4, LR_FP4 and LR_INT8 only. INT8: the scale of a row with a value that IEEE half precision
 *  cannot hold is NaN. */
LR_API lr_status lr_quantize(lr_context* ctx, const lr_quantization* quantization, const float* values, uint64_t rows, uint64_t cols,
                             const lr_quantized* out);
/** Inverse of lr_quantize; out [rows, cols]. */
LR_API lr_status lr_dequantize(lr_context* ctx, const lr_quantization* quantization, const lr_quantized* in, uint64_t rows,
                               uint64_t cols, float* out);

/* ------------------------------------------------------------------ base */

typedef void (*lr_progress)(void* user, uint64_t done_bytes, uint64_t total_bytes);

/**
 * Reads a Hugging Face folder (config.json, *.safetensors, sharded or not) and writes a quantized base file: the linear layers
 * of the decoder as `quantization` says (NULL: LR_NF4 with double_quant), embeddings, head and norms as they are (bf16 → bf16,
 * f32 → f32; f16 → f32 under LR_F32, else bf16).
 * A checkpoint that bitsandbytes has quantized (config.json has "quantization_config") keeps its own codes and scales byte for
 * byte, whatever `quantization` says; linear layers it left alone stay as they are.
 * Holds at most one tensor in full precision. Writes <file>.tmp-<random>, fsyncs, renames: readers never see half a file.
 * progress is called from the calling thread. Errors: LR_UNSUPPORTED_MODEL, LR_BAD_FORMAT, LR_IO_ERROR, LR_CANCELLED.
 */
LR_API lr_status lr_base_quantize(lr_context* ctx, const char* model_dir, const char* file, const lr_quantization* quantization,
                                  lr_cancel* cancel, lr_progress progress, void* user);
/** Maps a quantized base file read-only. The header is checked; the weights are read when used. Errors: LR_IO_ERROR, LR_BAD_FORMAT,
 *  LR_UNSUPPORTED_MODEL for a base whose settings this version does not know. */
LR_API lr_status lr_base_open(lr_context* ctx, const char* file, lr_base** base);
LR_API void lr_base_close(lr_base* base);
/**
 * JSON {"modelType","layers","hidden","heads","kvHeads","headDim","intermediate","vocab","maxPositions","tied",
 * "fileBytes","parameters","quantization":{"format":"nf4","doubleQuantization":true},"prequantized":false,
 * "bytesPerParameter":0.516 (of the linear layers), "linears":[{"name":"model.layers.0.self_attn.q_proj","in":256,"out":256,
 * "bias":false,"storage":"nf4"}, …]}. prequantized: bitsandbytes had quantized the checkpoint, and `quantization` is what it did; linear
 * layers that it left alone have another storage.
 * *needed receives the size with the final NUL; LR_INVALID_ARGUMENT if capacity is smaller (json may then be NULL).
 */
LR_API lr_status lr_base_info(lr_base* base, char* json, size_t capacity, size_t* needed);

/* ------------------------------------------------------------------ adapter */

/** One linear layer that gets a LoRA pair: y += scale · (dropout(x) Aᵀ) Bᵀ, A [rank, in], B [out, rank]. */
typedef struct lr_lora_target {
  const char* name; /* full module name as in lr_base_info, e.g. "model.layers.0.mlp.up_proj" */
  uint32_t rank;    /* 1 … 512; with LR_INIT_PISSA 1 … 256 */
  float scale;      /* alpha / rank (Hu et al. 2021), alpha / √rank (Kalajdzievski 2023, rsLoRA) */
  uint32_t dora;    /* 1: a magnitude for each output, over the norm of its row of W + scale · B A (Liu et al. 2024, DoRA) */
  uint32_t bf16;    /* 1: A and B are kept in bfloat16, where the backend has products of such pairs: half of the memory, and of what decoding
                       reads. What is written is rounded to it, to nearest even; values that it holds give the bytes that floats give. Such an adapter
                       only answers: training it, and its state, are refused */
} lr_lora_target;

/** Which biases of the base's linear layers are trained; they start as the base's. As PEFT's `bias`. */
typedef enum lr_bias { LR_BIAS_NONE = 0, LR_BIAS_LORA_ONLY = 1, LR_BIAS_ALL = 2 } lr_bias;
/** How AdamW's moments are kept: as floats, or in 8 bits by blocks of 256 for tensors of 4096 elements and more (Dettmers et al.
 *  2022, as bitsandbytes). */
typedef enum lr_optimizer { LR_OPTIMIZER_ADAMW = 0, LR_OPTIMIZER_ADAMW8 = 1 } lr_optimizer;
/**
 * DEFAULT, as PEFT: A Kaiming-uniform with a = √5 (bound 1/√in) from Philox(seed, target index), B zero.
 * PISSA (Meng et al. 2024): A₀ and B₀ from the principal singular vectors of the weight, and W - scale · B₀A₀ takes the place of
 * W, by computation: the base stays as it is. Not together with dora.
 */
typedef enum lr_init { LR_INIT_DEFAULT = 0, LR_INIT_PISSA = 1 } lr_init;

typedef struct lr_adapter_options {
  float dropout;            /* in [0, 1) */
  uint32_t bias;            /* lr_bias */
  uint32_t optimizer;       /* lr_optimizer */
  uint32_t init;            /* lr_init */
  uint32_t init_iterations; /* PISSA: rounds of randomized subspace iteration (Halko et al. 2011); more are more exact. ≤ 1000 */
  uint64_t seed;
} lr_adapter_options;

LR_API lr_status lr_adapter_create(lr_base* base, const lr_lora_target* targets, uint32_t n_targets,
                                   const lr_adapter_options* options, lr_adapter** adapter);
LR_API void lr_adapter_destroy(lr_adapter* adapter);
/**
 * JSON {"tensors":[{"module":"model.layers.0.mlp.up_proj","role":"lora_A","rows":16,"cols":256,"dtype":"f32"}, …]}: the tensors by index, and
 * what they are kept in, "f32" or "bf16". For each target `lora_A` [rank, in], `lora_B` [out, rank] and with dora `lora_magnitude_vector` [out, 1]; then every `bias` [out, 1];
 * then, not trained, `initial_A` and `initial_B` of each target with PISSA. *needed as in lr_base_info.
 */
LR_API lr_status lr_adapter_info(lr_adapter* adapter, char* json, size_t capacity, size_t* needed);

/** Which array of an adapter. Tensors that are not trained have weights only. */
typedef enum lr_tensor_kind { LR_WEIGHT = 0, LR_GRADIENT = 1, LR_ADAM_M = 2, LR_ADAM_V = 3 } lr_tensor_kind;
/** Copies tensor `index` of lr_adapter_info; count must be its number of elements. */
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
  float label_smoothing; /* ε in [0, 1); lr_train_step with an adapter only: see lr_loss */
  float neftune_alpha;   /* ≥ 0, 0 = off; training an adapter only: noise uniform in ±α/√(L·d) on the input embeddings of each sequence of
                            L tokens (Jain et al. 2023), d the width of the model; keyed by dropout_seed */
} lr_rows;

typedef struct lr_step_options {
  uint32_t checkpoint_activations; /* 1: keep each layer's input and attention's output, recompute the rest (Chen et al. 2016) */
  uint32_t loss_chunk;             /* tokens per chunk of head + cross-entropy; 0 = library's choice */
} lr_step_options;

/** Per entry of rows. */
typedef struct lr_loss {
  double sum;          /* Σ over tokens with a target, natural logarithm: −log p(target) in lr_eval_step; in lr_train_step
                          (1−ε) · −log p(target) + ε · mean over the vocabulary of −log p, ε = label_smoothing, as torch does */
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
/** Log-probability of every sequence; forward only, no dropout. logps [n_sequences] receives Σ log p(target) over the tokens of each sequence that have one, counts [n_sequences] how many
 *  those are (may be NULL). */
LR_API lr_status lr_sequence_logps(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows,
                                   lr_cancel* cancel, double* logps, uint32_t* counts);

/**
 * Objectives over pairs of answers to one prompt. Below, c and r are Σ log p of the chosen and of the rejected answer's tokens,
 * c̄ and r̄ their means per token, σ the logistic function.
 *  LR_DPO   Rafailov et al. 2023, eq. 7: −(1−ε) log σ(h) − ε log σ(−h), h = β · ((c − c₀) − (r − r₀)) with c₀, r₀ those of the
 *           frozen base; ε > 0 is the conservative variant (Mitchell 2023). Rewards: β (c − c₀) and β (r − r₀).
 *  LR_ORPO  Hong et al. 2024, eq. 6 and 7: −c̄ − λ log σ(z), z = log odds(e^c̄) − log odds(e^r̄), odds(p) = p / (1 − p).
 *           Rewards: λ c̄ and λ r̄. No reference model.
 */
typedef enum lr_objective { LR_DPO = 0, LR_ORPO = 1 } lr_objective;
typedef struct lr_preference {
  uint32_t objective;      /* lr_objective */
  float beta;              /* DPO: β > 0; ORPO: λ ≥ 0 */
  float label_smoothing;   /* DPO: ε in [0, 0.5); ORPO: 0 */
  const double* reference; /* DPO: c₀ and r₀, [sequences of this entry of rows], from lr_sequence_logps of the bare base */
} lr_preference;

/** Per entry of rows. */
typedef struct lr_preference_loss {
  double sum;              /* Σ of the objective over pairs */
  double chosen_reward;    /* Σ over pairs */
  double rejected_reward;
  double chosen_nll;       /* Σ −log p over the chosen answers' tokens */
  uint64_t chosen_tokens;
  uint64_t pairs;
  uint64_t correct;        /* pairs whose chosen answer has the higher reward */
} lr_preference_loss;

/**
 * Forward and backward of a preference objective; adds the gradients of loss_scale · Σ objective to every adapter in rows (loss_scale:
 * 1 / (pairs in the accumulated batch)). Within each entry of rows the sequences come in pairs, chosen then rejected, each with
 * at least one target. preferences, losses [n_rows]. label_smoothing of rows has to be 0. Otherwise as lr_train_step.
 */
LR_API lr_status lr_preference_step(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows,
                                    const lr_preference* preferences, const lr_step_options* options, lr_cancel* cancel,
                                    lr_preference_loss* losses);
/** Forward only, no dropout. preferences, losses [n_rows]. */
LR_API lr_status lr_preference_eval(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows,
                                    const lr_preference* preferences, lr_cancel* cancel, lr_preference_loss* losses);
/** Forward only, no dropout; logits [n_tokens, vocab]. For parity checks on small batches, not for training. */
LR_API lr_status lr_logits(lr_base* base, const lr_batch* batch, const lr_rows* rows, uint32_t n_rows, float* logits);

/** AdamW (Loshchilov & Hutter 2019), decoupled weight decay (not of biases), bias correction; gradients clipped to a global norm
 *  first. */
typedef struct lr_adamw {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float max_grad_norm; /* 0 = no clipping; factor min(1, max / (norm + 1e-6)) as torch.nn.utils.clip_grad_norm_ */
  float b_rate_ratio;  /* learning rate of everything but A, over that of A (Hayou et al. 2024, LoRA+); 0 or 1 = the same */
} lr_adamw;
/** Updates and zeroes the gradients; grad_norm receives the norm before clipping. LR_NOT_FINITE: gradients zeroed, no update. */
LR_API lr_status lr_adapter_optimizer_step(lr_adapter* adapter, const lr_adamw* settings, float* grad_norm);

/* ------------------------------------------------------------------ GPUs that train one adapter together */

/**
 * Data parallelism over the GPUs of one machine, through NVIDIA's NCCL (libnccl.so.2, looked for when the first group is made; LOWRANK_NCCL may be
 * its path). Each rank is a context on a GPU of its own, usually in a process of its own, with the same base and an adapter of the same
 * options, seed and state. The micro-batches of an optimizer step go to the ranks in turns; after each turn every rank calls
 * lr_adapter_sum_gradients, and after the last every rank calls lr_adapter_optimizer_step, with the same settings:
 *   for (k = 0; k < micro_batches; k += ranks) {
 *     if (k + rank < micro_batches) lr_train_step(… micro-batch k + rank …);
 *     lr_adapter_sum_gradients(adapter, group, k + ranks >= micro_batches, cancel);
 *   }
 *   lr_adapter_optimizer_step(…);
 * Gradients are added in the order of the micro-batches: gradients, norm, update and weights are, on every rank, the bytes that one GPU gets
 * from all micro-batches one after the other, as long as an adapter is in one entry of rows in each lr_train_step and the GPUs compute a
 * micro-batch to the same bytes (same kind, same libraries).
 */
#define LR_GROUP_ID_BYTES 128
/** What ranks find each other by: made by one of them, given to all. Errors: LR_INVALID_ARGUMENT where the context computes on processors;
 *  LR_IO_ERROR where there is no NCCL, or no version of it that is known here; LR_DEVICE_FAILED. */
LR_API lr_status lr_group_id(lr_context* ctx, uint8_t id[LR_GROUP_ID_BYTES]);
/** Joins as one of the ranks 0 … ranks - 1, at most 64. Waits for the others, and nothing but the end of the process ends the wait. Errors as
 *  lr_group_id; LR_INVALID_ARGUMENT when two ranks are on one GPU. */
LR_API lr_status lr_group_join(lr_context* ctx, const uint8_t id[LR_GROUP_ID_BYTES], uint32_t rank, uint32_t ranks, lr_group** group);
/** Every rank leaves; may wait for the others. Before the context is destroyed. */
LR_API void lr_group_leave(lr_group* group);
/**
 * Adds the ranks' gradients, in the order of ranks. last = 0: rank 0 has the sum, to which its next lr_train_step adds, and the others' gradients
 * are zero; last = 1: all ranks have the same bytes of it. A gradient that is not finite, or was left by a step that ended
 * early, makes the optimizer's step LR_NOT_FINITE on all of them. Waits for all ranks; polls cancel while it waits. LR_CANCELLED and
 * LR_DEVICE_FAILED end the group, and on this rank leave gradients that no update takes; the other ranks wait until they are cancelled.
 * LR_OUT_OF_MEMORY: nothing is changed, and the others wait for this rank. Scratch of min(1 Mi, trained values) · ranks floats.
 */
LR_API lr_status lr_adapter_sum_gradients(lr_adapter* adapter, lr_group* group, uint32_t last, lr_cancel* cancel);

/** Bytes of anonymous memory held by this context's handles: now, and the most since creation or the last reset. */
LR_API lr_status lr_context_memory(lr_context* ctx, uint64_t* current_bytes, uint64_t* peak_bytes, uint32_t reset_peak);

/* ------------------------------------------------------------------ generation */

/**
 * Keys and values of every layer for `pages` pages of `page_tokens` tokens each, as floats: 2 · layers · pages · page_tokens · kvHeads ·
 * headDim of them, counted in lr_context_memory. Which sequence owns which page is the caller's business, and so is sharing: pages
 * that sequences only read may be in several page tables. Errors: LR_INVALID_ARGUMENT, LR_OUT_OF_MEMORY.
 */
LR_API lr_status lr_cache_create(lr_base* base, uint32_t page_tokens, uint32_t pages, lr_cache** cache);
LR_API void lr_cache_destroy(lr_cache* cache);

/**
 * How new tokens go through the model. The logits of a sequence are the same bytes whatever else is in the batch, in any order, on
 * any number of threads, with pages of any size, shared or its own, and however its prompt was split into calls of LR_PREFILL.
 * Between the two kinds sums are taken in another order, so logits differ by rounding: prompts, also those of one token, go through
 * LR_PREFILL, generated tokens through LR_DECODE.
 */
typedef enum lr_run_kind {
  LR_PREFILL = 0, /* any number of tokens a sequence */
  LR_DECODE = 1   /* exactly one token a sequence */
} lr_run_kind;

/** New tokens of sequences, packed as in lr_batch. Token i of a sequence lies in token i % page_tokens of page pages[page_starts[s] +
 *  i / page_tokens]. */
typedef struct lr_cached_batch {
  const int32_t* tokens;       /* [n_tokens] ids in [0, vocab) */
  const int32_t* starts;       /* [n_sequences + 1] as in lr_batch */
  const int32_t* past;         /* [n_sequences] tokens of the sequence that are in the cache; past + new ones ≤ positions of the model */
  const int32_t* pages;        /* [page_starts[n_sequences]] page ids in [0, pages) */
  const int32_t* page_starts;  /* [n_sequences + 1] ascending from 0; pages for past and new tokens, more are not looked at */
  const int32_t* rope_lengths; /* [n_sequences] or NULL. Where rotary frequencies depend on a sequence's length (longrope, dynamic): the
                                  length that they are of, at least past + new tokens. Keys in the cache stay as they were turned, so a
                                  sequence keeps one length (with longrope one side of the positions of pre-training), or is computed
                                  anew. 0 or NULL: the length so far, which is refused beyond these positions */
  const uint8_t* wanted;       /* [n_sequences] 1: logits are wanted; NULL: of every sequence */
  uint32_t n_tokens;
  uint32_t n_sequences;
} lr_cached_batch;

/**
 * Runs new tokens through the model and keeps their keys and values. kind: lr_run_kind. rows: which adapter each sequence goes
 * through, as in steps; only adapter, begin and end matter. A page that receives tokens must be in the call once, in the table of one
 * sequence. logits [sequences wanted, vocab], in the order of the batch, each after its sequence's last token; NULL: none are wanted.
 * Polls cancel between layers. Whatever ends a call early, tokens that were in the cache stay as they are: the same call can be made
 * again. Errors: LR_INVALID_ARGUMENT, LR_OUT_OF_MEMORY, LR_CANCELLED.
 */
LR_API lr_status lr_cache_run(lr_cache* cache, uint32_t kind, const lr_cached_batch* batch, const lr_rows* rows, uint32_t n_rows,
                              lr_cancel* cancel, float* logits);

/**
 * How a token is drawn from logits. In this order: biases are added; penalties lower what history has; tokens that are not allowed go;
 * logits are divided by the temperature; top_k, top_p and min_p leave tokens out. 0 or NULL switches a field off, but for top_p.
 */
typedef struct lr_sampling {
  float temperature;        /* 0 = greedy: the highest logit, lowest id on a tie */
  float top_p;              /* 0 < top_p ≤ 1; nucleus (Holtzman et al. 2020); 1 = off */
  uint32_t top_k;
  uint64_t seed;            /* with the position it fixes the draw */
  uint64_t position;        /* of the token that is drawn; lr_session_sample takes the length of its sequence */
  float min_p;              /* in [0, 1]: tokens of less than min_p times the highest probability go (Nguyen et al. 2024) */
  float repetition_penalty; /* > 0, 1 = off: logits above 0 of tokens in history are divided by it, others multiplied (Keskar et al.
                               2019, CTRL) */
  float presence_penalty;   /* taken off the logits of generated tokens; */
  float frequency_penalty;  /* times how often each was generated (OpenAI's API) */
  const int32_t* history;   /* [n_history] the sequence so far; from n_prompt on it was generated */
  uint32_t n_history, n_prompt;
  const int32_t* bias_tokens; /* [n_biases] */
  const float* biases;        /* [n_biases] */
  uint32_t n_biases;
  const uint32_t* allowed;  /* [ceil(vocab / 32)] token t may be drawn when bit t % 32 of word t / 32 is set; NULL: every token */
} lr_sampling;
/**
 * Draws a token from each row of logits [n, vocab], by sampling [n], into tokens [n]. With logprobs [n, 1 + n_top], unless NULL: the
 * log-probability of the token that was drawn, and those of the n_top most probable ones, top_tokens [n, n_top], falling (lowest id
 * first on a tie), all as the model has them: of the logits as they came. Errors: LR_INVALID_ARGUMENT, LR_OUT_OF_MEMORY,
 * LR_NOT_FINITE.
 */
LR_API lr_status lr_sample(lr_context* ctx, const float* logits, uint32_t vocab, const lr_sampling* sampling, uint32_t n, int32_t* tokens,
                           uint32_t n_top, int32_t* top_tokens, float* logprobs);

/** A sequence of at most capacity tokens over base with adapter (NULL: bare base). */
LR_API lr_status lr_session_create(lr_base* base, lr_adapter* adapter, uint32_t capacity, lr_session** session);
LR_API void lr_session_destroy(lr_session* session);
/** Appends n tokens to the sequence and computes the logits after the last of them: one token as LR_DECODE does, unless it is the
 *  first, several as LR_PREFILL does. A model whose
 *  rotary frequencies change beyond its positions of pre-training computes the whole sequence anew when it gets there. */
LR_API lr_status lr_session_append(lr_session* session, const int32_t* tokens, uint32_t n, lr_cancel* cancel);
/** logits [vocab] after the last appended token. */
LR_API lr_status lr_session_logits(lr_session* session, float* logits);

/** Draws from the last logits as lr_sample does; the token is not appended. */
LR_API lr_status lr_session_sample(lr_session* session, const lr_sampling* sampling, int32_t* token);

#ifdef __cplusplus
}
#endif
#endif
