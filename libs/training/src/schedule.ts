import { type Recipe } from '@lowrank/contracts';

/** Steps of linear warm-up: ceil(totalSteps · warmupRatio), as transformers' TrainingArguments.get_warmup_steps. */
export function warmupSteps(totalSteps: number, warmupRatio: number): number {
  return Math.ceil(totalSteps * warmupRatio);
}

/**
 * Learning rate of optimizer step `step` (0-based) of `totalSteps`, with w warm-up steps and s = (step − w) / max(1, total − w):
 *  - step < w:  peak · step / w
 *  - constant:  peak
 *  - linear:    peak · max(0, 1 − s)
 *  - cosine:    peak · max(0, ½ (1 + cos(π s)))
 * as transformers' get_constant_schedule_with_warmup, get_linear_… and get_cosine_schedule_with_warmup (half a cycle).
 */
export function learningRate(step: number, totalSteps: number, optimizer: Recipe['optimizer']): number {
  const { learningRate: peak, schedule, warmupRatio } = optimizer;
  const warmup = warmupSteps(totalSteps, warmupRatio);
  if (step < warmup) return (peak * step) / warmup;
  const progress = (step - warmup) / Math.max(1, totalSteps - warmup);
  switch (schedule) {
    case 'constant':
      return peak;
    case 'linear':
      return peak * Math.max(0, 1 - progress);
    case 'cosine':
      return peak * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
  }
}
