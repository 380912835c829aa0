import { type Job } from '@lowrank/contracts';
import { type Api } from '../client/api';
import { CliError, exitCodes } from '../errors';
import { JobProgress } from './job-progress';
import { makeView } from './view';

/** Shows a job until it is final, or the signal aborts, and resolves to it. */
export async function watchJob(api: Api, id: string, signal: AbortSignal): Promise<Job> {
  const progress = new JobProgress();
  const view = makeView();
  try {
    for await (const item of api.stream(id, signal)) {
      progress.take(item);
      if (item.event === 'event' && item.data.type !== 'checkpoint') view.event(item.data);
      else if (item.event !== 'log') view.update(progress);
    }
  } finally {
    view.close();
  }
  if (progress.job === null) throw new CliError(`the server told nothing about job ${id}`);
  return progress.job;
}

/** watchJob for a command of its own: Ctrl-C ends the watching, not the job. */
export const watchUntilInterrupted = (api: Api, id: string): Promise<Job> =>
  untilInterrupted((signal) => watchJob(api, id, signal), {
    what: `job ${id}`,
    again: `lowrank watch ${id}`,
  });

/** Runs what watches something with a signal that Ctrl-C aborts; `what` goes on, which the error then says. */
export async function untilInterrupted<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { what, again }: { what: string; again: string },
): Promise<T> {
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.once('SIGINT', interrupt);
  try {
    return await work(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    throw new CliError(`stopped watching; ${what} goes on`, {
      help: `Look again with: ${again}`,
      exitCode: exitCodes.interrupted,
    });
  } finally {
    process.off('SIGINT', interrupt);
  }
}

/** What a job has come to; of a trial, its sweep publishes the best. */
export function describeSuccess({ adapter, version, sweep, work }: Job): string {
  if (work.kind === 'export')
    return `Exported ${adapter} v${work.version.number} as ${work.format}: lowrank exports ${adapter}@v${work.version.number}`;
  if (work.kind === 'evaluate')
    return `Evaluated ${adapter} v${work.version.number}: lowrank evaluations ${adapter}@v${work.version.number}`;
  return version === null && sweep !== null
    ? `Trial ${sweep.trial} of sweep ${sweep.id} is done.`
    : `Published ${adapter} v${version}.`;
}

/** Throws unless the job succeeded; the error carries the job's own reason. */
export function assertSucceeded(job: Job): void {
  if (job.state === 'succeeded') return;
  throw new CliError(
    job.error
      ? `job ${job.id} failed (${job.error.code}): ${job.error.message}`
      : `job ${job.id} is ${job.state}`,
    { help: job.error?.help ?? `See what happened with: lowrank jobs show ${job.id}` },
  );
}
