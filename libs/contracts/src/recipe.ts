import { z } from 'zod';

const positive = z.number().positive();

/** The update of an adapted layer, every field decided. */
const loraSchema = z.strictObject({
  /** Width of the low-rank update. */
  rank: z.int().min(1).max(512),
  /** The update is scaled by alpha / rank. Default: 2 · rank. */
  alpha: positive.max(4096),
  /** Share of an adapted layer's inputs that is zeroed while training. */
  dropout: z.number().min(0).lt(1),
  /** `all-linear`, or last parts of module names such as `q_proj`, or full names. */
  targets: z.union([z.literal('all-linear'), z.array(z.string().min(1).max(200)).min(1).max(4096)]),
});
const { rank, alpha, dropout, targets } = loraSchema.shape;

/**
 * The settings of a run. Parsing fills in every default, so that the stored recipe alone (with the base model's revision and the
 * dataset's hash, which the job stores beside it) reproduces the adapter.
 */
export const recipeSchema = z.strictObject({
  /** What training minimises: next-token loss on answers, or a preference between two answers to one prompt. */
  objective: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.literal('sft') }),
      /** Rafailov et al. 2023, against the frozen base; labelSmoothing above 0: conservative DPO. */
      z.strictObject({
        type: z.literal('dpo'),
        beta: positive.max(100).default(0.1),
        labelSmoothing: z.number().min(0).lt(0.5).default(0),
      }),
      /** Hong et al. 2024: next-token loss on the chosen answer plus lambda times the odds-ratio loss. */
      z.strictObject({ type: z.literal('orpo'), lambda: z.number().min(0).max(100).default(0.1) }),
    ])
    .prefault({ type: 'sft' }),
  lora: z
    .strictObject({
      rank: rank.default(16),
      alpha: alpha.optional(),
      dropout: dropout.default(0),
      targets: targets.default('all-linear'),
    })
    .prefault({})
    .transform((lora) => ({ ...lora, alpha: lora.alpha ?? 2 * lora.rank }))
    .pipe(loraSchema),
  training: z
    .strictObject({
      /** Passes over the data; ignored when `steps` is given. */
      epochs: positive.max(1000).default(3),
      /** Optimizer steps; null: from epochs. */
      steps: z.int().min(1).max(10_000_000).nullable().default(null),
      /** Longest sequence and length of a packed row, in tokens. Both answers of a preference share a row, so each has half of it at least. */
      sequenceLength: z.int().min(16).max(131_072).default(512),
      /** Packed rows in a micro-batch. */
      rows: z.int().min(1).max(1024).default(4),
      /** Micro-batches added up before each optimizer step; the loss is normalised over all their tokens, or pairs. */
      accumulation: z.int().min(1).max(1024).default(1),
      /** What happens to a row of the dataset longer than sequenceLength; of a preference, both answers count. */
      tooLong: z.enum(['truncate', 'drop', 'fail']).default('truncate'),
      /** Keep only layer inputs and recompute the rest in the backward pass: less memory, up to a third more time. */
      checkpointActivations: z.boolean().default(true),
      /** Operand type of matrix products. */
      compute: z.enum(['bf16', 'f32']).default('bf16'),
      /** Share of each target that is spread evenly over the vocabulary; objective `sft` only. The evaluation loss stays plain. */
      labelSmoothing: z.number().min(0).lt(1).default(0),
      /** NEFTune (Jain et al. 2023): noise of up to alpha / √(length · width) on input embeddings while training; 0: none. */
      neftuneAlpha: z.number().min(0).max(1000).default(0),
      seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(42),
    })
    .prefault({}),
  optimizer: z
    .strictObject({
      learningRate: positive.max(1).default(2e-4),
      schedule: z.enum(['constant', 'linear', 'cosine']).default('cosine'),
      /** Share of all steps, taken first, in which the rate rises linearly from 0. */
      warmupRatio: z.number().min(0).max(1).default(0.03),
      beta1: z.number().min(0).lt(1).default(0.9),
      beta2: z.number().min(0).lt(1).default(0.999),
      epsilon: positive.default(1e-8),
      weightDecay: z.number().min(0).max(1).default(0),
      /** Global norm that gradients are clipped to; 0: no clipping. */
      maxGradNorm: z.number().min(0).default(1),
    })
    .prefault({}),
  evaluation: z
    .strictObject({
      /** Share of the rows held out, chosen by the seed. At least one row when above 0. */
      fraction: z.number().min(0).max(0.5).default(0.05),
      /** Steps between evaluations; null: at the start and the end only. */
      everySteps: z.int().min(1).nullable().default(null),
    })
    .prefault({}),
  checkpoints: z
    .strictObject({
      everySteps: z.int().min(1).default(50),
    })
    .prefault({}),
});
/** What a client may send: every field optional. */
export type RecipeInput = z.input<typeof recipeSchema>;
export type Recipe = z.output<typeof recipeSchema>;
