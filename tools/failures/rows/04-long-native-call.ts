import { Installation, tinyRecipe } from '../harness/installation';
import { since, until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

const tokensOfRow = 256;
const mostRows = 1024;

/** Packed rows that one micro-batch of a timed step has. */
const timedRows = 64;

/**
 * One step of one micro-batch is one native call. A short one is timed first, and the long one gets as many rows as it takes; when a
 * micro-batch cannot have so many, its step is made of several calls, and the figure says so.
 */
export const longNativeCall: Failure = {
  id: '4',
  broken: 'a native call of ten minutes',
  required: 'no stalled job, one attempt',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const problems = new Problems();
      await lowrank.startApi();
      const worker = await lowrank.startWorker();
      await lowrank.prepareCatalog(20_000);
      const recipe = (steps: number, rows: number) =>
        tinyRecipe(steps, 1000, { rows, sequenceLength: tokensOfRow, checkpointActivations: true });
      const probe = await lowrank.submit(recipe(3, timedRows));
      await lowrank.published(probe, 300);
      const [{ seconds = 0 } = {}] = await lowrank.postgres.query<{ seconds: number }>(
        `SELECT min(${timedRows * tokensOfRow} / tokens_per_second)::float AS seconds FROM job_metrics WHERE job_id = $1`,
        [probe.id],
      );
      const rows = Math.ceil((timedRows * scale.nativeSeconds * 1.15) / seconds);
      problems.check(rows <= mostRows, `${rows} rows are more than a micro-batch can have`);
      const job = await lowrank.submit(recipe(1, Math.min(rows, mostRows)));
      await lowrank.training(job, { step: 0 }, 300);
      const began = performance.now();
      await until(
        'the long call to end',
        scale.nativeSeconds * 10,
        async () => (await lowrank.row(job.id)).step === 1,
        200,
      );
      const took = since(began);
      await lowrank.published(job, 300);
      const { epoch } = await lowrank.row(job.id);
      const streams = (await lowrank.redis.ask('--scan', '--pattern', '*:events'))
        .split('\n')
        .filter(Boolean);
      const events = await Promise.all(
        streams.map((stream) => lowrank.redis.ask('XRANGE', stream, '-', '+')),
      );
      const stalled = events
        .join('\n')
        .split('\n')
        .filter((line) => line.trim() === 'stalled').length;
      problems.check(
        took >= scale.nativeSeconds * 0.9,
        `the call took ${took.toFixed(0)} s, not ${scale.nativeSeconds}`,
      );
      problems.check(epoch === 1, `it took ${epoch} attempts`);
      problems.none(stalled, 'entries stalled in the queue');
      problems.check(worker.program.isAlive, 'the worker ended');
      return {
        figure: `one call of ${took.toFixed(0)} s: ${epoch} attempt, ${stalled} stalled`,
        problems: problems.list,
        values: { seconds: took, attempts: epoch, stalled },
      };
    }),
};
