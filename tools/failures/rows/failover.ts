import { Installation, type RunningWorker, tinyRecipe } from '../harness/installation';
import { since, until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

const becameDispatcher = /This worker is the dispatcher now/g;
const timesDispatcher = ({ program }: RunningWorker): number =>
  [...program.log().matchAll(becameDispatcher)].length;

/** The worker that dispatches is killed, or frozen so that it keeps its connections; the others take over. */
export const failover: Failure = {
  id: 'failover',
  broken: 'the dispatcher killed, and frozen',
  required: 'another dispatches within 10 s',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const problems = new Problems();
      await lowrank.startApi();
      let workers = [await lowrank.startWorker(), await lowrank.startWorker()];
      await lowrank.prepareCatalog();
      const seconds: Record<'killed' | 'frozen', number[]> = { killed: [], frozen: [] };
      for (let round = 0; round < scale.pick(10, 1); round += 1) {
        for (const how of ['killed', 'frozen'] as const) {
          const session = await until('a session that holds the lock', async () => {
            const dispatching = workers.filter((worker) => timesDispatcher(worker) > 0);
            return dispatching.at(-1) ?? null;
          });
          const before = new Map(workers.map((worker) => [worker, timesDispatcher(worker)]));
          const broken = performance.now();
          if (how === 'killed') await session.program.kill();
          else session.program.freeze();
          const next = await until(
            'another dispatcher',
            async () =>
              workers.find(
                (worker) => worker !== session && timesDispatcher(worker) > (before.get(worker) ?? 0),
              ) ?? null,
            { everyMs: 20 },
          );
          seconds[how].push(since(broken));
          // It does dispatch: a job gets a worker.
          const job = await lowrank.submit(tinyRecipe(1));
          await lowrank.published(job);
          if (how === 'frozen') {
            session.program.thaw();
            await session.program.stop();
          }
          workers = [next, await lowrank.startWorker()];
        }
      }
      for (const [how, values] of Object.entries(seconds))
        problems.atMost(Math.max(...values), 10, `seconds after it was ${how}`);
      const slowest = (how: keyof typeof seconds): string => Math.max(...seconds[how]).toFixed(1);
      return {
        figure: `${seconds.killed.length} killed: ${slowest('killed')} s at most; ${seconds.frozen.length} frozen: ${slowest('frozen')} s at most`,
        problems: problems.list,
        values: { killedSeconds: Math.max(...seconds.killed), frozenSeconds: Math.max(...seconds.frozen) },
      };
    }),
};
