import { sharedQueueName, workerQueueName } from '@lowrank/contracts';
import { createUnitOfWork } from '@lowrank/db';
import { locks } from '@lowrank/domain';
import { Queue } from 'bullmq';
import { Installation, tinyRecipe } from '../harness/installation';
import { until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

/** Nobody has this device class: neither the dispatcher nor an old payload may start these jobs. */
const nobody = { deviceClasses: ['of-no-worker'] };

/** Puts an entry into a queue as another version of the programs would. */
async function put(
  lowrank: Installation,
  queueName: string,
  jobId: string,
  payload: Record<string, unknown>,
): Promise<void> {
  const { hostname: host, port } = new URL(lowrank.redis.url);
  const queue = new Queue(queueName, { connection: { host, port: Number(port) }, prefix: 'lowrank' });
  await queue.add('wake-up', payload, { jobId: `${jobId}-1` });
  await queue.close();
}

/** Runs `work` while nothing dispatches: as the one that could, it holds the dispatcher's lock. */
async function undispatched<T>(lowrank: Installation, work: () => Promise<T>): Promise<T> {
  const unitOfWork = createUnitOfWork(lowrank.postgres.url, { max: 1 });
  try {
    const done = await unitOfWork.exclusively(locks.dispatcher, async () => ({ result: await work() }));
    if (done === undefined) throw new Error('somebody else dispatches');
    return done.result;
  } finally {
    await unitOfWork.close();
  }
}

/** Wakes queued jobs by old payloads until so many have ended; resolves to how many. */
function trainOld(lowrank: Installation, count: number): Promise<number> {
  const queued = `WHERE state = 'queued' AND placement -> 'deviceClasses' = 'null'`;
  let asked = 0;
  return until(
    'the jobs of old payloads to end',
    async () => {
      const { succeeded = 0, preparing = 0, running = 0, publishing = 0 } = await lowrank.countByState();
      if (succeeded === count) return succeeded;
      // The old version hands out a wake-up again when it was lost, and so does this: a worker takes no more than it has slots.
      if (asked === 0 || preparing + running + publishing === 0)
        for (const { id } of await lowrank.rows(queued)) {
          await put(lowrank, sharedQueueName, id, { jobId: id, epoch: 1 });
          asked += 1;
        }
      return null;
    },
    { everyMs: 500 },
  );
}

/**
 * Payloads of the version before lie in the queue that all its workers shared; a worker of that version is still registered; and a
 * payload of a version to come reaches a worker, as after a deploy that was undone.
 */
export const rollingDeploy: Failure = {
  id: '15',
  broken: 'old and new version side by side',
  required: 'queued payloads of the version before still parse',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const count = scale.pick(50, 4);
      const problems = new Problems();
      await lowrank.startApi();
      await lowrank.prepareCatalog();
      const { worker, ended, unfit } = await undispatched(lowrank, async () => {
        const worker = await lowrank.startWorker({ slots: 2 });
        const unfit = await lowrank.submit(tinyRecipe(1), { placement: nobody });
        await put(lowrank, sharedQueueName, unfit.id, { jobId: unfit.id, epoch: 1 });
        for (let i = 0; i < count; i += 1) await lowrank.submit(tinyRecipe(1));
        return { worker, unfit, ended: await trainOld(lowrank, count) };
      });
      problems.check(
        (await lowrank.row(unfit.id)).state === 'queued',
        'an old payload started a job of a class that its worker is not of',
      );

      await lowrank.postgres.query(
        `INSERT INTO workers (id, hostname, slots, device, seen_at) VALUES ('wrk_oldoldoldoldoldoldoldol', 'old', 64, 'cpu', now() + interval '1 hour')`,
      );
      const fresh = [];
      for (let i = 0; i < count; i += 1) fresh.push(await lowrank.submit(tinyRecipe(1)));
      const strange = await lowrank.submit(tinyRecipe(1), { placement: nobody });
      await put(lowrank, workerQueueName(worker.id), strange.id, {
        v: 99,
        jobId: strange.id,
        epoch: 1,
        workerId: worker.id,
        more: {},
      });
      for (const job of fresh) await lowrank.published(job);
      const toOld = await lowrank.rows(
        `WHERE assigned_to = 'wrk_oldoldoldoldoldoldoldol' OR worker_id = 'wrk_oldoldoldoldoldoldoldol'`,
      );
      problems.none(toOld.length, 'jobs were given to the worker of the old version');
      problems.check(worker.program.isAlive, 'a payload of a version to come ended the worker');
      problems.check(
        (await lowrank.row(strange.id)).epoch === 1,
        'a payload of a version to come cost an attempt',
      );
      problems.none(await lowrank.publishedTwice(), 'versions published twice');
      return {
        figure: `${ended} of ${count} payloads of the version before trained; ${fresh.length} new jobs beside an old worker, ${toOld.length} given to it; a payload of a later version refused, the worker goes on`,
        problems: problems.list,
        values: { oldPayloads: count, trained: ended, fresh: fresh.length, toOld: toOld.length },
      };
    }),
};
