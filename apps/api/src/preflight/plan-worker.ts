// Entry of the thread that plan-thread.ts starts: plans once, answers once, and ends.
import { LowrankError } from '@lowrank/contracts';
import { planData } from '@lowrank/domain';
import { parentPort, workerData } from 'node:worker_threads';
import { type PlanReply, type PlanRequest } from './plan-thread';

function answer({ lengths, recipe, validationRows }: PlanRequest): PlanReply {
  try {
    return { plan: planData(lengths, recipe, validationRows) };
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error;
    const { code, message, details } = error;
    return { code, message, details };
  }
}

parentPort?.postMessage(answer(workerData as PlanRequest));
