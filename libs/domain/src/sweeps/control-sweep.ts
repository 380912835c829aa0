import { LowrankError, type SweepWithTrials } from '@lowrank/contracts';
import { cancel } from '../jobs/cancel-job';
import { found, notFound } from '../not-found';
import { type Ports } from '../ports';
import { type Repositories } from '../ports/repositories';
import { isFinal, isHeld } from '../state-machine';
import { promote, settleSweep } from './settle-sweep';

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
export async function cancelSweep(
  ports: Omit<Ports, 'ids'>,
  teamId: string,
  id: string,
): Promise<SweepWithTrials> {
  const { unitOfWork } = ports;
  await unitOfWork.run(async ({ sweeps, audit }) => {
    const sweep = await sweeps.lock(id);
    if (sweep?.teamId !== teamId) throw notFound('sweep', id);
    if (sweep.state !== 'running')
      throw new LowrankError(
        'illegal_transition',
        `Sweep ${id} is ${sweep.state}; there is nothing left to cancel.`,
      );
    await sweeps.update(id, { cancelRequested: true });
    await audit.add('cancel', { kind: 'sweep', id }, { adapter: sweep.adapter });
  });
  await cancelTrials(ports, id);
  return unitOfWork.run((repositories) => sweepWithTrials(repositories, teamId, id));
}

/** One transaction a trial, those that hold a slot first: many at once would hold many locks. The reconciler goes on where this breaks off. */
async function cancelTrials({ unitOfWork, clock }: Omit<Ports, 'ids'>, id: string): Promise<void> {
  const trials = await unitOfWork.run(({ sweeps }) => sweeps.trials(id));
  const open = trials.filter(({ state }) => !isFinal(state));
  const inOrder = [
    ...open.filter(({ state }) => isHeld(state)),
    ...open.filter(({ state }) => !isHeld(state)),
  ];
  for (const { jobId } of inOrder)
    await unitOfWork.run(async (repositories) => {
      const job = await repositories.jobs.lock(jobId);
      if (job !== null && !isFinal(job.state)) await cancel(repositories, job, clock.now());
    });
}

/** Brings to their end the sweeps that were left half-way: by a cancellation that broke off, or by a worker of a release without sweeps. */
export async function settleSweeps(ports: Omit<Ports, 'ids'>, limit: number): Promise<void> {
  const { unitOfWork, clock } = ports;
  for (const id of await unitOfWork.run(({ sweeps }) => sweeps.unsettled(limit))) {
    const sweep = await unitOfWork.run(({ sweeps }) => sweeps.lock(id));
    if (sweep?.cancelRequested) await cancelTrials(ports, id);
    await unitOfWork.run((repositories) => settleSweep(repositories, id, clock.now()));
  }
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
    await repositories.audit.add('promote', { kind: 'sweep', id }, { adapter: sweep.adapter, trial });
    return sweepWithTrials(repositories, teamId, id);
  });
}
