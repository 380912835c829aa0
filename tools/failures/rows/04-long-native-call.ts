import { Installation, tinyRecipe } from '../harness/installation';
import { since, until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

/** Attention's time grows with the square of a sequence's length: that is how a small model is made to take long. */
const timedLength = 4096;
const longestLength = 65_536;
const longAnswer = 'All work and no play makes a long sequence. '.repeat(Math.ceil(longestLength / 40));
const dataset = Array.from(
  { length: 64 },
  (_, i) =>
    `${JSON.stringify({
      messages: [
        { role: 'user', content: `Number ${i}?` },
        { role: 'assistant', content: longAnswer },
      ],
    })}\n`,
).join('');

/** One step of one micro-batch is one native call. A short one is timed first, which tells how long the long one has to be. */
export const longNativeCall: Failure = {
  id: '4',
  broken: 'a native call of ten minutes',
  required: 'no stalled job, one attempt',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const problems = new Problems();
      await lowrank.startApi();
      const worker = await lowrank.startWorker();
      await lowrank.prepareCatalog(dataset, longestLength);
      const recipe = (steps: number, rows: number, sequenceLength: number) =>
        tinyRecipe(steps, 1000, { rows, sequenceLength, checkpointActivations: true });
      const probe = await lowrank.submit(recipe(3, 1, timedLength));
      await lowrank.published(probe);
      const [{ timed = 0 } = {}] = await lowrank.postgres.query<{ timed: number }>(
        'SELECT min($2 / tokens_per_second)::float AS timed FROM job_metrics WHERE job_id = $1',
        [probe.id, timedLength],
      );
      const wanted = scale.nativeSeconds * 1.5;
      const rows = Math.ceil(wanted / (timed * (longestLength / timedLength) ** 2));
      const length = Math.round(timedLength * Math.sqrt(wanted / (timed * rows)));
      const job = await lowrank.submit(recipe(1, rows, Math.min(longestLength, length)));
      await lowrank.training(job, { step: 0 });
      const began = performance.now();
      await until('the long call to end', async () => (await lowrank.row(job.id)).step === 1, {
        everyMs: 200,
        seconds: scale.nativeSeconds * 10,
      });
      const took = since(began);
      await lowrank.published(job);
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
