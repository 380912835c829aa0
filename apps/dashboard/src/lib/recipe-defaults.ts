import { type Recipe } from '@lowrank/contracts';

/** The recipe that a job gets when it asks for nothing: recipeSchema's defaults, without zod. A test holds the two together. */
export const recipeDefaults: Recipe = {
  base: { quantization: 'nf4', doubleQuantization: true },
  objective: { type: 'sft' },
  lora: {
    ...{ rank: 16, alpha: 32, dropout: 0, targets: 'all-linear', exclude: [], layers: null },
    ...{ rankPattern: {}, alphaPattern: {}, rsLora: false, dora: false, bias: 'none' },
    ...{ init: 'default', initIterations: 8, dtype: 'bf16' },
  },
  training: {
    ...{ epochs: 3, steps: null, sequenceLength: 512, rows: 4, accumulation: 1, tooLong: 'truncate' },
    ...{ checkpointActivations: true, compute: 'bf16', labelSmoothing: 0, neftuneAlpha: 0, seed: 42 },
  },
  optimizer: {
    ...{ learningRate: 2e-4, schedule: 'cosine', warmupRatio: 0.03, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    ...{ weightDecay: 0, name: 'adamw', loraPlusRatio: 1, maxGradNorm: 1 },
  },
  evaluation: { fraction: 0.05, everySteps: null, at: [] },
  checkpoints: { everySteps: 50, keep: 2 },
  samples: { prompts: null, count: 3, times: 5, maxTokens: 48 },
};
