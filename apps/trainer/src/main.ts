// The trainer: a child process of a worker that runs one attempt, or those of several jobs that train together. The worker sends the
// assignments over IPC and is told everything over IPC (libs/contracts/src/trainer.ts); standard output is for the log only.
import { loadConfig } from '@lowrank/config';
import { type Assignment, type JobMessage } from '@lowrank/contracts';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { spanned, startTracing } from '@lowrank/telemetry';
import { SharedBases, TrainingStopped, type StopReason } from '@lowrank/training';
import { join } from 'node:path';
import { failureOf, runAttempt } from './attempt';
import { openChannel } from './channel';
import { ranksOn } from './ranks/rank-processes';

const tracing = startTracing('lowrank-trainer');
/** Of each job that was assigned. */
const stops = new Map<string, AbortController>();
const writtenSteps = new Map<string, number>();

/** The first reason counts. */
function stop(jobId: string, reason: StopReason): void {
  const controller = stops.get(jobId);
  if (controller?.signal.aborted === false) controller.abort(reason);
}

function stopAll(reason: StopReason): void {
  if (stops.size === 0) process.exit(0);
  for (const jobId of stops.keys()) stop(jobId, reason);
}

/** One attempt. Resolves to the last message about it. */
async function attempt(
  assignment: Assignment,
  signal: AbortSignal,
  bases?: SharedBases,
): Promise<JobMessage> {
  const { jobId } = assignment;
  const send = (message: JobMessage) => channel.send({ type: 'job', jobId, message });
  try {
    const { s3, dataDir, mirrorSeconds } = loadConfig();
    // Jobs that train together share one GPU.
    const ranks = bases ? undefined : ranksOn(process.env.LOWRANK_RANKS, assignment.jobDir);
    const store = createObjectStore({ s3, folder: join(dataDir, 'objects') });
    const blobs = new Blobs(store);
    const work = () =>
      runAttempt({
        ...{ assignment, store, blobs, bases, ranks, signal, send },
        writtenStep: () => writtenSteps.get(jobId) ?? 0,
        mirrorIntervalMs: mirrorSeconds === null ? null : 1000 * mirrorSeconds,
        log: (level, message) => send({ type: 'log', level, message }),
      });
    return await spanned('trainer', work, { parent: assignment.traceparent });
  } catch (error) {
    if (error instanceof TrainingStopped) return { type: 'stopped', reason: error.reason };
    if (signal.aborted && error === signal.reason) return { type: 'stopped', reason: error as StopReason };
    return failureOf(error);
  }
}

/** All attempts, until the last has ended. The process's exit code is 1 when one has failed. */
async function run(assignments: Assignment[]): Promise<never> {
  const bases = assignments.length > 1 ? new SharedBases() : undefined;
  const signals = assignments.map(({ jobId }) => {
    const controller = new AbortController();
    stops.set(jobId, controller);
    return controller.signal;
  });
  const ends = assignments.map(async (assignment, i) => {
    const last = await attempt(assignment, signals[i] as AbortSignal, bases);
    channel.send({ type: 'job', jobId: assignment.jobId, message: last });
    return last.type === 'failed';
  });
  const failed = (await Promise.all(ends)).includes(true);
  await channel.flush();
  await tracing.stop();
  process.exit(failed ? 1 : 0);
}

const channel = openChannel({
  onMessage(message) {
    if (message.type === 'stop') return stop(message.jobId, message.reason);
    if (message.type === 'written') return void writtenSteps.set(message.jobId, message.step);
    if (stops.size === 0) void run(message.assignments);
  },
  onLost(problem) {
    process.stderr.write(`${problem}\n`);
    stopAll('drain');
  },
});

// A terminal's Ctrl-C and a service manager's SIGTERM may reach the trainer too: both mean what the worker's drain means.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopAll('drain'));

if (!process.connected) {
  process.stderr.write('The trainer is started by a worker, not by hand.\n');
  process.exit(2);
}
