// The trainer: a child process of a worker that runs one attempt. The worker sends the assignment over IPC and is told everything
// over IPC (libs/contracts/src/trainer.ts); standard output is for the log only.
import { loadConfig } from '@lowrank/config';
import { type Assignment, type FromTrainer } from '@lowrank/contracts';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { spanned, startTracing } from '@lowrank/telemetry';
import { TrainingStopped, type StopReason } from '@lowrank/training';
import { join } from 'node:path';
import { failureOf, runAttempt } from './attempt';
import { openChannel } from './channel';

const tracing = startTracing('lowrank-trainer');
const stop = new AbortController();
let assigned = false;

const stopFor = (reason: StopReason): void => {
  if (!assigned) process.exit(0);
  // The first reason counts, but a cancelled job needs no checkpoint.
  if (!stop.signal.aborted) stop.abort(reason);
};

async function run(assignment: Assignment): Promise<FromTrainer> {
  try {
    const { s3, dataDir, mirrorSeconds } = loadConfig();
    const store = createObjectStore({ s3, folder: join(dataDir, 'objects') });
    const blobs = new Blobs(store);
    const work = () =>
      runAttempt({
        ...{ assignment, store, blobs, signal: stop.signal },
        mirrorIntervalMs: mirrorSeconds === null ? null : 1000 * mirrorSeconds,
        send: channel.send,
        log: (level, message) => channel.send({ type: 'log', level, message }),
      });
    const manifest = await spanned('trainer', work, { parent: assignment.traceparent });
    return { type: 'published', manifest };
  } catch (error) {
    if (error instanceof TrainingStopped) return { type: 'stopped', reason: error.reason };
    if (stop.signal.aborted && error === stop.signal.reason)
      return { type: 'stopped', reason: error as StopReason };
    return failureOf(error);
  }
}

async function finish(last: FromTrainer): Promise<void> {
  channel.send(last);
  await channel.flush();
  await tracing.stop();
  process.exit(last.type === 'failed' ? 1 : 0);
}

const channel = openChannel({
  onMessage(message) {
    if (message.type === 'stop') return stopFor(message.reason);
    if (assigned) return;
    assigned = true;
    void run(message.assignment).then(finish);
  },
  onLost(problem) {
    process.stderr.write(`${problem}\n`);
    stopFor('drain');
  },
});

// A terminal's Ctrl-C and a service manager's SIGTERM may reach the trainer too: both mean what the worker's drain means.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopFor('drain'));

if (!process.connected) {
  process.stderr.write('The trainer is started by a worker, not by hand.\n');
  process.exit(2);
}
