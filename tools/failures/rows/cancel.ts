import { tinyDataset } from '@lowrank/testing';
import { Installation, tinyRecipe } from '../harness/installation';
import { since, until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

/** From the request to the state, while the trainer is in the middle of long native calls. */
export const cancelled: Failure = {
  id: 'cancel',
  broken: 'a running job cancelled',
  required: 'takes effect within 2 s',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const problems = new Problems();
      await lowrank.startApi();
      const { program } = await lowrank.startWorker();
      await lowrank.prepareCatalog(tinyDataset(4000));
      const times: number[] = [];
      for (let i = 0; i < scale.pick(20, 3); i += 1) {
        const job = await lowrank.submit(tinyRecipe(1000, 1000, { rows: 128, sequenceLength: 256 }));
        await lowrank.training(job, { step: 0 });
        const asked = performance.now();
        await lowrank.client.cancel(job.id);
        await until(
          'the job to be cancelled',
          async () => (await lowrank.row(job.id)).state === 'cancelled',
          { everyMs: 10 },
        );
        times.push(since(asked));
        await until('its trainer to be gone', async () => (await program.children()).length === 0);
      }
      const slowest = Math.max(...times);
      const median = times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
      problems.atMost(slowest, 2, 'seconds to cancel');
      return {
        figure: `${times.length} cancellations: ${median.toFixed(2)} s at the median, ${slowest.toFixed(2)} s at most`,
        problems: problems.list,
        values: { count: times.length, medianSeconds: median, slowestSeconds: slowest },
      };
    }),
};
