import { type Job } from '@lowrank/contracts';
import { tinyDataset } from '@lowrank/testing';
import { Installation, tinyRecipe } from '../harness/installation';
import { since, until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

/** Jobs that train together in one trainer. */
const members = 4;

/** Seconds from the request to the state. */
async function cancel(lowrank: Installation, { id }: Job): Promise<number> {
  const asked = performance.now();
  await lowrank.client.cancel(id);
  await until('the job to be cancelled', async () => (await lowrank.row(id)).state === 'cancelled', {
    everyMs: 10,
  });
  return since(asked);
}

/** One at a time, whose trainer is in the middle of long native calls. */
async function inLongCalls(lowrank: Installation, count: number): Promise<number[]> {
  const { program } = await lowrank.startWorker();
  const times: number[] = [];
  while (times.length < count) {
    const job = await lowrank.submit(tinyRecipe(1000, 1000, { rows: 128, sequenceLength: 256 }));
    await lowrank.training(job, { step: 0 });
    times.push(await cancel(lowrank, job));
    await until('its trainer to be gone', async () => (await program.children()).length === 0);
  }
  await program.stop();
  return times;
}

/**
 * Jobs that train together, cancelled one by one while the others go on. They become a party because they all wait when the slot comes
 * free: the last of those before is cancelled only then.
 */
async function together(lowrank: Installation, count: number, problems: Problems): Promise<number[]> {
  const { program } = await lowrank.startWorker({ env: { LOWRANK_JOBS_PER_TRAINER: '8' } });
  const endless = tinyRecipe(1_000_000, 1_000_000);
  const times: number[] = [];
  let last = await lowrank.submit(endless);
  await lowrank.training(last);
  while (times.length < count) {
    const jobs: Job[] = [];
    for (let i = 0; i < members; i += 1) jobs.push(await lowrank.submit(endless));
    times.push(await cancel(lowrank, last));
    for (const job of jobs) await lowrank.training(job);
    problems.check((await program.children()).length === 1, `${members} jobs did not share a trainer`);
    for (const job of jobs.slice(1)) times.push(await cancel(lowrank, job));
    [last] = jobs as [Job];
    const { step, epoch } = await lowrank.row(last.id);
    await lowrank.training(last, { epoch, step: step + 1 });
    problems.check(epoch === 1, 'a job was disturbed by the cancellation of those beside it');
  }
  await cancel(lowrank, last);
  await program.stop();
  return times;
}

/** Jobs that a worker holds, whose trainers are only starting. */
async function preparing(lowrank: Installation, count: number): Promise<number[]> {
  const { program } = await lowrank.startWorker();
  const times: number[] = [];
  while (times.length < count) {
    const job = await lowrank.submit(tinyRecipe(1_000_000, 1_000_000));
    await until('the job to be taken', async () => (await lowrank.row(job.id)).state !== 'queued', {
      everyMs: 5,
    });
    const seconds = await cancel(lowrank, job);
    const events = await lowrank.client.events(job.id);
    // One that began to train first is none of these.
    if (events.every(({ state }) => state !== 'running')) times.push(seconds);
  }
  await program.stop();
  return times;
}

const medianOf = (times: number[]): number =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;

/** From the request to the state, wherever the trainer is. */
export const cancelled: Failure = {
  id: 'cancel',
  broken: 'a held job cancelled',
  required: 'takes effect within 2 s',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const count = scale.pick(20, 3);
      const problems = new Problems();
      await lowrank.startApi();
      await lowrank.prepareCatalog(tinyDataset(4000));
      const measured = {
        'in native calls': await inLongCalls(lowrank, count),
        [`of ${members} that train together`]: await together(lowrank, count, problems),
        'while preparing': await preparing(lowrank, count),
      };
      const figures: string[] = [];
      const values: Record<string, number> = {};
      for (const [how, times] of Object.entries(measured)) {
        const [median, slowest] = [medianOf(times), Math.max(...times)];
        problems.atMost(slowest, 2, `seconds to cancel ${how}`);
        figures.push(
          `${times.length} ${how}: ${median.toFixed(2)} s at the median, ${slowest.toFixed(2)} s at most`,
        );
        Object.assign(values, {
          [`${how}: count`]: times.length,
          [`${how}: median`]: median,
          [`${how}: slowest`]: slowest,
        });
      }
      return { figure: figures.join('; '), problems: problems.list, values };
    }),
};
