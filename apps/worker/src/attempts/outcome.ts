import { type JobMessage } from '@lowrank/contracts';
import { type AttemptOutcome } from '@lowrank/domain';
import { type SeatExit } from './shared-trainer';

/** What is known of an attempt once its trainer is gone. */
export interface AttemptFacts {
  exit: SeatExit;
  /** The trainer's own closing message, if it sent one. */
  lastWord: Extract<JobMessage, { type: 'stopped' | 'failed' }> | null;
  /** What the worker had asked it to stop for. */
  stopping: 'cancel' | 'drain' | null;
  /** The last message that could not be read. */
  unreadable: string | null;
  /** What is known to be wrong with what it computed on. */
  deviceProblem: string | null;
}

/** How an attempt that published nothing ended. A stop that was asked for counts as obeyed, however the process went. */
export function outcomeOf(facts: AttemptFacts): AttemptOutcome {
  const { lastWord, stopping } = facts;
  if (lastWord?.type === 'failed') {
    const { code, message, retryable } = lastWord;
    if (code === 'device_failed') return { type: code, message };
    return { type: 'failed', code, message, retryable };
  }
  const reason = lastWord?.reason ?? stopping;
  if (reason) return { type: reason === 'cancel' ? 'cancelled' : 'drained' };
  const message = describeCrash(facts);
  const { signal, systemRanOut, killedFor } = facts.exit;
  if (signal === 'SIGKILL' && systemRanOut && killedFor === undefined)
    return { type: 'failed', code: 'out_of_memory', message, retryable: true };
  if (facts.deviceProblem !== null)
    return { type: 'device_failed', message: `${facts.deviceProblem}; ${message}` };
  return { type: deviceSignals.includes(signal) ? 'device_failed' : 'crashed', message };
}

/** An instruction that the processor does not have, and memory or a mapped file that cannot be read: the machine's fault. */
const deviceSignals: readonly (NodeJS.Signals | null)[] = ['SIGILL', 'SIGBUS'];

function describeCrash({ exit, unreadable }: AttemptFacts): string {
  const parts = [exit.killedFor ?? describeExit(exit)];
  if (unreadable !== null) parts.push(`It had sent a message that could not be read: ${unreadable}.`);
  if (exit.stderr.length > 0) parts.push(`Its last output:\n${exit.stderr.join('\n')}`);
  return parts.join(' ');
}

function describeExit({ code, signal, stderr, systemRanOut }: SeatExit): string {
  if (signal === 'SIGKILL' && systemRanOut) return 'the system ran out of memory and killed the trainer.';
  if (signal === 'SIGKILL') return 'the trainer was killed by SIGKILL.';
  if (stderr.some((line) => line.includes('JavaScript heap out of memory')))
    return 'the trainer ran out of JavaScript heap.';
  if (signal !== null) return `the trainer was killed by ${signal}.`;
  if (code === null) return 'the trainer could not be started.';
  if (code === 0) return 'the trainer ended without a result.';
  return `the trainer ended with exit code ${code}.`;
}
