import { Installation, type RunningWorker, tinyRecipe } from '../harness/installation';
import { pause, since, until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

/** Redis killed, with all it held, and started again after some time; the workers' processes stay as they are. */
export const redisGone: Failure = {
  id: '3',
  broken: 'Redis gone for 3, 20 and 120 s',
  required: 'every worker consumes again within 30 s by itself',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const outages = scale.quick ? [3, 20] : [3, 20, 120];
      const problems = new Problems();
      await lowrank.startApi();
      const workers: RunningWorker[] = [];
      for (let i = 0; i < scale.pick(3, 2); i += 1) workers.push(await lowrank.startWorker());
      await lowrank.prepareCatalog();
      const claims = (since: string): Promise<{ message: string }[]> =>
        lowrank.postgres.query(`SELECT message FROM job_events WHERE state = 'preparing' AND at > $1`, [
          since,
        ]);
      const seconds: number[] = [];
      for (const outage of outages) {
        await lowrank.redis.kill();
        // Accepted all the same: one for each worker, long enough that no worker takes two.
        const jobs = [];
        for (let i = 0; i < workers.length; i += 1) jobs.push(await lowrank.submit(tinyRecipe(100_000)));
        await pause(outage);
        await lowrank.redis.start();
        const back = performance.now();
        const at = new Date().toISOString();
        await until('every worker to take a job', async () => {
          const messages = (await claims(at)).map(({ message }) => message).join('\n');
          return workers.every(({ id }) => messages.includes(id));
        });
        seconds.push(since(back));
        for (const { id } of jobs) await lowrank.client.cancel(id);
        await until(
          'their jobs to end',
          async () => (await lowrank.countByState()).cancelled === jobs.length * seconds.length,
        );
      }
      problems.none(workers.filter(({ program }) => !program.isAlive).length, 'workers ended');
      for (const [i, value] of seconds.entries()) problems.atMost(value, 30, `seconds after ${outages[i]} s`);
      return {
        figure: `${workers.length} workers consume again after ${seconds.map((value, i) => `${value.toFixed(1)} s (gone ${outages[i]} s)`).join(', ')}`,
        problems: problems.list,
        values: Object.fromEntries(seconds.map((value, i) => [`backSecondsAfter${outages[i]}`, value])),
      };
    }),
};
