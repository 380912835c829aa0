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
  untilInterrupted(id, (signal) => watchJob(api, id, signal));

/** Runs what watches a job with a signal that Ctrl-C aborts; the job goes on, which the error then says. */
export async function untilInterrupted<T>(id: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.once('SIGINT', interrupt);
  try {
    return await work(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    throw new CliError(`stopped watching; job ${id} goes on`, {
      help: `Look again with: lowrank watch ${id}`,
      exitCode: exitCodes.interrupted,
    });
  } finally {
    process.off('SIGINT', interrupt);
  }
}

/** Throws unless the job published a version; the error carries the job's own reason. */
export function assertSucceeded(job: Job): asserts job is Job & { version: number } {
  if (job.state === 'succeeded' && job.version !== null) return;
  throw new CliError(
    job.error
      ? `job ${job.id} failed (${job.error.code}): ${job.error.message}`
      : `job ${job.id} is ${job.state}`,
    { help: job.error?.help ?? `See what happened with: lowrank jobs show ${job.id}` },
  );
}
