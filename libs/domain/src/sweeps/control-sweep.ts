import { LowrankError, type SweepWithTrials } from '@lowrank/contracts';
import { cancel } from '../jobs/cancel-job';
import { found, notFound } from '../not-found';
import { type Ports } from '../ports';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { isFinal } from '../state-machine';
import { promote } from './settle-sweep';

/** A sweep and its trials as they are. Error: not_found. */
export async function sweepWithTrials(
  { sweeps }: Pick<Repositories, 'sweeps'>,
  teamId: string,
  id: string,
): Promise<SweepWithTrials> {
  const sweep = found(await sweeps.find(teamId, id), 'sweep', id);
  return { ...sweep, trials: await sweeps.trials(id) };
}

/**
 * Cancels every trial that is not over, each as cancelJob does; asking again changes nothing. Nothing is promoted then; what trials
 * have published can still be.
 * Errors: not_found; illegal_transition when the sweep is over.
 */
export function cancelSweep(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  teamId: string,
  id: string,
): Promise<SweepWithTrials> {
  const at = clock.now();
  return unitOfWork.run(async (repositories) => {
    const { sweeps, jobs } = repositories;
    const { trials } = await sweepWithTrials(repositories, teamId, id);
    // Jobs before their sweep, as everybody else locks them.
    const locked: JobRecord[] = [];
    for (const { jobId } of trials.filter(({ state }) => !isFinal(state)))
      locked.push(found(await jobs.lock(jobId), 'job', jobId));
    const sweep = found(await sweeps.lock(id), 'sweep', id);
    if (sweep.state !== 'running')
      throw new LowrankError(
        'illegal_transition',
        `Sweep ${id} is ${sweep.state}; there is nothing left to cancel.`,
      );
    await sweeps.update(id, { cancelRequested: true });
    for (const job of locked) if (!isFinal(job.state)) await cancel(repositories, job, at);
    return sweepWithTrials(repositories, teamId, id);
  });
}

/**
 * Makes the adapter of a trial of the user's choice the next version; one that is a version already stays that one.
 * Errors: not_found (sweep, trial); illegal_transition while the sweep runs, or when the trial has published nothing.
 */
export function promoteTrial(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  teamId: string,
  id: string,
  trial: number,
): Promise<SweepWithTrials> {
  const at = clock.now();
  return unitOfWork.run(async (repositories) => {
    const { sweeps } = repositories;
    const sweep = await sweeps.lock(id);
    if (sweep?.teamId !== teamId) throw notFound('sweep', id);
    if (sweep.state === 'running')
      throw new LowrankError(
        'illegal_transition',
        `Sweep ${id} is running; its best trial is promoted when all are over. Cancel it to choose now.`,
      );
    if ((await sweeps.result(id, trial)) === null) {
      const chosen = (await sweeps.trials(id)).find(({ number }) => number === trial);
      if (!chosen) throw notFound('trial', String(trial), 'trial');
      throw new LowrankError(
        'illegal_transition',
        `Trial ${trial} has no adapter to promote: its job ${chosen.jobId} is ${chosen.state}.`,
        [{ path: 'trial', message: 'has published nothing' }],
      );
    }
    await promote(repositories, sweep, trial, at);
    return sweepWithTrials(repositories, teamId, id);
  });
}
