import { Installation, type RunningWorker, tinyRecipe } from '../harness/installation';
import { since, until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

const slots = 10;
/** Of those that run, so many are cancelled afterwards: the worker whose queue went while it trained has to fill their slots. */
const freed = 5;

/**
 * FLUSHALL while one worker trains ten jobs, whose entries are locked in Redis, and another has ten wake-ups waiting that it has not
 * seen: it is frozen for a moment so that they lie there. All others wait in Postgres.
 */
export const redisFlushed: Failure = {
  id: '1',
  broken: 'Redis FLUSHALL under full queues',
  required: 'all back within 60 s, none lost, none published twice',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const queued = scale.pick(1000, 20);
      const problems = new Problems();
      await lowrank.startApi();
      const busy = await lowrank.startWorker({ slots });
      await lowrank.prepareCatalog();
      // Long enough to be running when Redis is flushed, however slow the machine is.
      const long = tinyRecipe(scale.pick(3000, 600), 1000);
      const running: string[] = [];
      const endless = tinyRecipe(1_000_000, 1_000_000);
      for (let i = 0; i < slots; i += 1) running.push((await lowrank.submit(i < freed ? endless : long)).id);
      await until('ten jobs to run', async () => (await lowrank.countByState()).running === slots);
      const idle = await lowrank.startWorker({ slots });
      idle.program.freeze();
      // However long it is frozen, it counts as there.
      await lowrank.postgres.query(`UPDATE workers SET seen_at = now() + interval '1 hour' WHERE id = $1`, [
        idle.id,
      ]);
      for (let i = 0; i < queued; i += 1) await lowrank.submit(tinyRecipe(1));
      const before = await until('wake-ups to wait', async () => {
        const entries = await lowrank.redis.entries();
        return entries.waiting > 0 && entries;
      });
      const all = queued + slots;

      const takenBy = async ({ id }: RunningWorker) =>
        (await lowrank.rows(`WHERE worker_id = $1 AND state <> 'queued' AND id <> ALL($2)`, [id, running]))
          .length;
      const takenBefore = await takenBy(busy);
      const flushed = performance.now();
      await lowrank.redis.ask('FLUSHALL');
      idle.program.thaw();
      for (const id of running.slice(0, freed)) await lowrank.client.cancel(id);
      // Back: each worker has taken as many jobs as it has free slots, jobs that nobody had to submit twice.
      await until(
        'every free slot to be taken again',
        async () => (await takenBy(idle)) >= slots && (await takenBy(busy)) >= takenBefore + freed,
      );
      const back = since(flushed);
      problems.atMost(back, 60, 'seconds until all were back');

      await until(
        'all jobs to end',
        async () => {
          const { succeeded = 0, failed = 0, cancelled = 0 } = await lowrank.countByState();
          return succeeded + failed + cancelled === all;
        },
        { everyMs: 1000, seconds: 3600 },
      );
      const { succeeded = 0 } = await lowrank.countByState();
      problems.check(busy.program.isAlive, 'the worker that was training ended');
      const twice = await lowrank.publishedTwice();
      const lost = all - freed - succeeded;
      problems.none(lost, 'jobs lost');
      problems.none(twice, 'versions published twice');
      problems.check(before.active >= slots, `only ${before.active} entries were locked in Redis`);
      return {
        figure: `${queued} queued + ${slots} running, ${before.waiting} wake-ups wiped: both workers back in ${back.toFixed(1)} s; lost ${lost}; published twice ${twice}`,
        problems: problems.list,
        values: {
          queued,
          running: slots,
          wiped: before.waiting,
          backSeconds: back,
          lost,
          twice,
        },
      };
    }),
};
