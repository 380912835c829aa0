import { LowrankError, type VersionMetrics } from '@lowrank/contracts';
import { readFileSync } from 'node:fs';
import { type Evaluation, type Progress } from './loop';

/** Most memory that this process had at one time. Of a child process, resourceUsage().maxRSS is its parent's where that had more. */
export function peakMemoryBytes(): number {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}

/** What a version says of the run that made it. Throws loss_not_finite when none of its last steps counted. */
export function versionMetrics(progress: Progress): VersionMetrics {
  if (progress.lossTokens === 0)
    throw new LowrankError('loss_not_finite', 'every update of the last tenth of the steps was discarded');
  return metricsOf(progress, progress.lossSum / progress.lossTokens, progress.evalAfter);
}

/** The same of a state before the end, with the loss of the step that it is the state after. */
export function checkpointMetrics(progress: Progress, trainLoss: number | null): VersionMetrics {
  return metricsOf(progress, trainLoss, progress.evaluatedAt === progress.step ? progress.evalAfter : null);
}

function metricsOf(
  progress: Progress,
  trainLoss: number | null,
  evalAfter: Evaluation | null,
): VersionMetrics {
  const { evalBefore } = progress;
  return {
    steps: progress.step,
    skippedSteps: progress.skippedSteps,
    rollbacks: progress.rollbacks,
    trainedTokens: progress.trainedTokens,
    trainLoss,
    evalLossBefore: evalBefore?.loss ?? null,
    evalLossAfter: evalAfter?.loss ?? null,
    evalAccuracyBefore: evalBefore?.accuracy ?? null,
    evalAccuracyAfter: evalAfter?.accuracy ?? null,
    seconds: progress.seconds,
    peakMemoryBytes: peakMemoryBytes(),
  };
}
