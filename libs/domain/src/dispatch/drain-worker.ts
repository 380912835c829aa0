import { type DrainMode } from '@lowrank/contracts';
import { found, notFound } from '../not-found';
import { bySlot } from '../parties/party';
import { type Ports } from '../ports';
import { type PlacedRecord } from '../ports/repositories';
import { type WorkerRecord } from '../ports/workers';

/** A worker and how many of its slots are taken. */
export type WorkerWithJobs = WorkerRecord & { busy: number };

const busyOf = (id: string, placed: PlacedRecord[]): number =>
  bySlot(placed.filter((job) => (job.workerId ?? job.assignedTo) === id)).length;

/** Workers seen since `since`, in order of their hosts. */
export async function listWorkers(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  since: string,
): Promise<WorkerWithJobs[]> {
  return unitOfWork.acrossTeams.run(async ({ workers, jobs }) => {
    const placed = await jobs.placed();
    return (await workers.seenSince(since)).map((worker) => ({ ...worker, busy: busyOf(worker.id, placed) }));
  });
}

/**
 * Has a worker take no new jobs, and finish those that it runs or, by `checkpoint`, hand them to others; null: it works again. It acts
 * on that when it next writes its row, within seconds. Error: not_found.
 */
export async function drainWorker(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  id: string,
  drain: DrainMode | null,
): Promise<WorkerWithJobs> {
  return unitOfWork.acrossTeams.run(async ({ workers, jobs, audit }) => {
    if (!(await workers.setDrain(id, drain))) throw notFound('worker', id);
    const worker = found(await workers.find(id), 'worker', id);
    await audit.add(
      drain === null ? 'undrain' : 'drain',
      { kind: 'worker', id, name: worker.hostname },
      { mode: drain },
    );
    return { ...worker, busy: busyOf(id, await jobs.placed()) };
  });
}
