import {
  errorCodeSchema,
  type ErrorDetail,
  LowrankError,
  type Recipe,
  type TokenLengths,
} from '@lowrank/contracts';
import { type DataPlan } from '@lowrank/domain';
import { extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';

export interface PlanRequest {
  lengths: TokenLengths;
  recipe: Pick<Recipe, 'objective' | 'training' | 'evaluation'>;
  validationRows: number;
}
/** Errors cross threads as plain objects. */
export type PlanReply = { plan: DataPlan } | { code: string; message: string; details?: ErrorDetail[] };

/** planData in a thread of its own, for datasets so large that other requests would wait for it. Throws what that throws. */
export async function planInThread(
  lengths: TokenLengths,
  recipe: PlanRequest['recipe'],
  validationRows = 0,
): Promise<DataPlan> {
  const { objective, training, evaluation } = recipe;
  const request: PlanRequest = { lengths, recipe: { objective, training, evaluation }, validationRows };
  const worker = new Worker(join(__dirname, `plan-worker${extname(__filename)}`), {
    workerData: request,
    env: { NODE_OPTIONS: process.env['NODE_OPTIONS'] },
  });
  try {
    const reply = await new Promise<PlanReply>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', () => reject(new Error('the thread ended without an answer')));
    });
    if ('plan' in reply) return reply.plan;
    throw new LowrankError(errorCodeSchema.parse(reply.code), reply.message, reply.details);
  } finally {
    await worker.terminate();
  }
}
