import { z } from 'zod';

const positive = z.number().positive();

/** Part of a module's name as PEFT's patterns write it: a regular expression that JavaScript and Python read alike. */
const patternSchema = z
  .string()
  .min(1)
  .max(1000)
  .refine(compiles, { error: 'not a regular expression (of the syntax that Python and JavaScript share)' });

function compiles(pattern: string): boolean {
  try {
    new RegExp(pattern, 'u');
    return true;
  } catch {
    return false;
  }
}

const namesSchema = z.array(z.string().min(1).max(200)).max(4096);
const rankSchema = z.int().min(1).max(512);
const alphaSchema = positive.max(4096);

/** The update of adapted layers, every field decided. Names, patterns and layers mean what they mean to PEFT. */
const loraSchema = z.strictObject({
  /** Width of the low-rank update. */
  rank: rankSchema,
  /** The update is scaled by alpha / rank, with rsLora by alpha / √rank. Default: 2 · rank. */
  alpha: alphaSchema,
  /** Share of an adapted layer's inputs that is zeroed while training. */
  dropout: z.number().min(0).lt(1),
  /** `all-linear`; last parts of module names such as `q_proj`, or full names; or a pattern that full names have to match. */
  targets: z.union([z.literal('all-linear'), namesSchema.min(1), patternSchema]),
  /** Modules left out again, named as in targets. */
  exclude: z.union([namesSchema, patternSchema]),
  /** Numbers of the decoder layers to adapt, from 0; null: all. Not beside targets that are a pattern. */
  layers: z.array(z.int().min(0).max(100_000)).min(1).max(4096).nullable(),
  /** Other ranks for some modules: pattern of the end of a name → rank. */
  rankPattern: z.record(patternSchema, rankSchema),
  /** Other alphas for some modules: pattern of the end of a name → alpha. */
  alphaPattern: z.record(patternSchema, alphaSchema),
  /** Scale by alpha / √rank (Kalajdzievski 2023, rsLoRA). */
  rsLora: z.boolean(),
  /** A trained magnitude for each output (Liu et al. 2024, DoRA): often better at low ranks, half as long again a step. */
  dora: z.boolean(),
  /** Biases trained too: none, those of adapted layers, or all of the model's linear layers. */
  bias: z.enum(['none', 'lora_only', 'all']),
  /**
   * Where A and B start: at random and zero; or as the principal part of the weight (Meng et al. 2024, PiSSA), which is then
   * published as plain LoRA of twice the rank.
   */
  init: z.enum(['default', 'pissa']),
  /** Rounds that PiSSA takes to find the principal part: more are more exact. */
  initIterations: z.int().min(0).max(1000),
  /**
   * What A and B are published in (ADR 50). They are trained as floats; rounded to bfloat16 they are half as large, and a server that answers with
   * hundreds of adapters reads half as much.
   */
  dtype: z.enum(['f32', 'bf16']),
});
export type Lora = z.output<typeof loraSchema>;
const lora = loraSchema.shape;

/** Fields of `lora` that exclude each other. */
const loraConflicts: ((chosen: LoraChoice) => { path: string; message: string } | false)[] = [
  ({ layers, targets }) =>
    layers !== null &&
    targets !== 'all-linear' &&
    !Array.isArray(targets) && {
      path: 'layers',
      message: 'targets is a pattern, which has to choose the layers itself',
    },
  ({ init, dora }) =>
    init === 'pissa' && dora && { path: 'dora', message: 'DoRA and PiSSA exclude each other' },
  ({ init, rank, rankPattern }) =>
    init === 'pissa' &&
    Math.max(rank, ...Object.values(rankPattern)) > 256 && {
      path: 'rank',
      message: 'PiSSA is published with twice the rank, which can be 512 at most',
    },
];
type LoraChoice = Pick<Lora, 'layers' | 'targets' | 'init' | 'dora' | 'rank' | 'rankPattern'>;

const loraDefaults: Omit<Lora, 'alpha'> = {
  rank: 16,
  dropout: 0,
  targets: 'all-linear',
  exclude: [],
  layers: null,
  rankPattern: {},
  alphaPattern: {},
  rsLora: false,
  dora: false,
  bias: 'none',
  init: 'default',
  initIterations: 8,
  dtype: 'bf16',
};

/** A field that may be left out; the description of the API says what it is then. */
const field = <T extends z.ZodType>(schema: T, byDefault?: unknown) =>
  schema.optional().meta(byDefault === undefined ? {} : { default: byDefault });

/** What a client asks for of `lora`: what is left out is decided later, by default or by the version that training starts from. */
export const loraRequestSchema = z
  .strictObject({
    rank: field(lora.rank, loraDefaults.rank),
    alpha: field(lora.alpha),
    dropout: field(lora.dropout, loraDefaults.dropout),
    targets: field(lora.targets, loraDefaults.targets),
    exclude: field(lora.exclude, loraDefaults.exclude),
    layers: field(lora.layers, loraDefaults.layers),
    rankPattern: field(lora.rankPattern, loraDefaults.rankPattern),
    alphaPattern: field(lora.alphaPattern, loraDefaults.alphaPattern),
    rsLora: field(lora.rsLora, loraDefaults.rsLora),
    dora: field(lora.dora, loraDefaults.dora),
    bias: field(lora.bias, loraDefaults.bias),
    init: field(lora.init, loraDefaults.init),
    initIterations: field(lora.initIterations, loraDefaults.initIterations),
    dtype: field(lora.dtype, loraDefaults.dtype),
  })
  .superRefine((asked, context) => {
    for (const conflict of loraConflicts) {
      const found = conflict(loraOf(asked));
      if (found) context.addIssue({ code: 'custom', path: [found.path], message: found.message });
    }
  });
export type LoraRequest = z.output<typeof loraRequestSchema>;

/** Decides every field that was left out. */
function loraOf(asked: LoraRequest): Lora {
  const given = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined));
  const chosen = { ...structuredClone(loraDefaults), ...(given as Partial<Lora>) };
  return { ...chosen, alpha: chosen.alpha ?? 2 * chosen.rank };
}

/** Where an evaluation is made: after so many steps or, below 1, after that share of all steps. */
export const evaluationPointSchema = z.union([z.int().min(1).max(10_000_000), z.number().gt(0).lt(1)]);
/** The step of a point. Shares are rounded up, but 0.7 of 10 steps are 7, whatever the last bit of the product says. */
export const evaluationStep = (point: number, totalSteps: number): number =>
  point < 1 ? Math.ceil(Number((point * totalSteps).toPrecision(12))) : point;

/** What training can minimise: next-token loss on answers, or a preference between two answers. */
export const objectiveTypeSchema = z.enum(['sft', 'dpo', 'orpo']);

/** How the frozen linear layers of a base model are kept. */
export const baseStorageSchema = z.strictObject({
  /** 4 bits (QLoRA), 8 bits, or as numbers of 16 or 32 bits (plain LoRA). A checkpoint that is quantized already stays as it is. */
  quantization: z.enum(['nf4', 'fp4', 'int8', 'bf16', 'f32']),
  /** Whether the scales of `nf4` and `fp4` are quantized too, which saves 0.37 bits a parameter; no matter for the others. */
  doubleQuantization: z.boolean(),
});
export type BaseStorage = z.output<typeof baseStorageSchema>;
const { quantization, doubleQuantization } = baseStorageSchema.shape;

/**
 * The settings of a run. Parsing fills in every default, so that the stored recipe alone (with the base model's revision and the
 * dataset's hash, which the job stores beside it) reproduces the adapter.
 */
export const recipeSchema = z.strictObject({
  base: z
    .strictObject({
      quantization: quantization.default('nf4'),
      doubleQuantization: doubleQuantization.default(true),
    })
    .prefault({}),
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
  lora: loraRequestSchema.prefault({}).transform(loraOf).pipe(loraSchema),
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
      /** Keep a few results of each layer and recompute the rest in the backward pass: less memory, up to a third more time. */
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
      /** AdamW with moments as floats, or in 8 bits (Dettmers et al. 2022): a quarter of their memory. */
      name: z.enum(['adamw', 'adamw8bit']).default('adamw'),
      /** Learning rate of B, magnitudes and biases over that of A (Hayou et al. 2024, LoRA+); 1: the same. */
      loraPlusRatio: positive.max(1000).default(1),
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
      /** More places for one: steps or, below 1, shares of all steps. */
      at: z.array(evaluationPointSchema).max(64).default([]),
    })
    .prefault({}),
  checkpoints: z
    .strictObject({
      everySteps: z.int().min(1).default(50),
      /** States of the adapter that stay as they can be published: of checkpoints and evaluations the newest so many, and the best; 0: none. */
      keep: z.int().min(0).max(20).default(2),
    })
    .prefault({}),
  /** Answers that are kept while it trains: before, at evaluations, and after. */
  samples: z
    .strictObject({
      /** What a user says; null: the first rows held out. */
      prompts: z.array(z.string().min(1).max(4000)).min(1).max(16).nullable().default(null),
      /** How many of the rows held out are answered; 0: none. */
      count: z.int().min(0).max(16).default(3),
      /** Most evaluations between the first and the last at which they are. */
      times: z.int().min(0).max(100).default(5),
      maxTokens: z.int().min(1).max(1024).default(48),
    })
    .prefault({}),
});
/** What a client may send: every field optional. */
export type RecipeInput = z.input<typeof recipeSchema>;
export type Recipe = z.output<typeof recipeSchema>;

/** A recipe as a job asks for it: `lora` as it was sent, because a version to start from decides what it leaves out. */
export const recipeRequestSchema = recipeSchema.extend({ lora: loraRequestSchema.optional() });
export type RecipeRequest = z.output<typeof recipeRequestSchema>;
