import { type SweepMetric, type SweepTrial } from '@lowrank/contracts';
import { tell } from '../jobs/with-job';
import { found } from '../not-found';
import { type Repositories } from '../ports/repositories';
import { type SweepRecord } from '../ports/sweeps';
import { announceEnd } from '../webhooks/announce';
import { isBetter, valueOf } from './asha';

export type SweepRepositories = Pick<Repositories, 'jobs' | 'sweeps' | 'adapters' | 'webhooks'>;

/** The trial with the best result, of equal ones the first; null when none has one. */
export function bestTrial(
  trials: readonly Pick<SweepTrial, 'number' | 'result'>[],
  metric: SweepMetric,
): number | null {
  let best: { number: number; value: number } | null = null;
  for (const { number, result } of trials) {
    const value = result && valueOf(metric, result);
    if (value === null || (best !== null && !isBetter(metric, value, best.value))) continue;
    best = { number, value };
  }
  return best?.number ?? null;
}

/**
 * Ends a sweep whose last trial has just ended, in the transaction of that: the best trial becomes the next version of the adapter. The
 * sweep's lock puts trials that end together in a row, so that exactly one of them is the last.
 */
export async function settleSweep(repositories: SweepRepositories, id: string, at: string): Promise<void> {
  const { sweeps } = repositories;
  const sweep = found(await sweeps.lock(id), 'sweep', id);
  if (sweep.state !== 'running' || sweep.finishedCount < sweep.trialCount) return;
  const best = sweep.cancelRequested ? null : bestTrial(await sweeps.trials(id), sweep.metric);
  if (best !== null) return promote(repositories, sweep, best, at);
  const state = sweep.cancelRequested ? 'cancelled' : 'failed';
  await sweeps.update(id, { state, finishedAt: at });
  await announceEnd(repositories, sweep.teamId, sweep, { state, at });
}

/** Makes a trial's adapter a version, of a sweep that is locked. Once for each trial: again, it is the version that it was. */
export async function promote(
  repositories: SweepRepositories,
  sweep: SweepRecord,
  trial: number,
  at: string,
): Promise<void> {
  const { sweeps, adapters, jobs } = repositories;
  const { versionId, manifest } = found(await sweeps.result(sweep.id, trial), 'trial', String(trial));
  const version = await adapters.publish(sweep.teamId, { id: versionId, manifest, at });
  const job = found(await jobs.lock(manifest.jobId), 'job', manifest.jobId);
  await jobs.update(job.id, job.epoch, { version: version.number });
  await tell(repositories, job, at, `Promoted: published as ${version.adapter} v${version.number}.`);
  const [state, promoted] = ['succeeded' as const, { trial, version: version.number }];
  await sweeps.update(sweep.id, { state, promoted, finishedAt: sweep.finishedAt ?? at });
  if (sweep.state === 'running')
    await announceEnd(repositories, sweep.teamId, { ...sweep, promoted }, { state, at });
}
