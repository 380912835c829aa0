import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Job } from '@lowrank/contracts';
import { tinyDataset } from '@lowrank/testing';
import { Installation, tinyRecipe } from '../harness/installation';
import { type Program } from '../harness/program';
import { pause, until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

const run = promisify(execFile);
const mostRows = 1024;

/** All rows of a micro-batch are in memory at once, and nothing is computed again: memory goes with the rows. */
const recipeOf = (rows: number) =>
  tinyRecipe(2, 1000, { rows, sequenceLength: 256, checkpointActivations: false });

/** Bytes of private memory that a process may write to, which RLIMIT_DATA bounds; 0 when it is gone. */
async function dataBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmData:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

/** The most that a trainer of so many rows takes when nothing limits it. */
async function measure(
  lowrank: Installation,
  children: () => Promise<number[]>,
  rows: number,
): Promise<number> {
  const job = await lowrank.submit(recipeOf(rows));
  let most = 0;
  await until(
    'the measured job to end',
    async () => {
      for (const pid of await children()) most = Math.max(most, await dataBytes(pid));
      return (await lowrank.row(job.id)).state === 'succeeded';
    },
    { everyMs: 5 },
  );
  return most;
}

/** Every trainer that the worker starts while `work` runs gets the limit, long before it has its data. */
async function withLimit<T>(worker: Program, bytes: number, work: () => Promise<T>): Promise<T> {
  let over = false;
  const limiting = (async () => {
    const known = new Set<number>();
    while (!over) {
      for (const pid of await worker.children())
        if (!known.has(pid)) {
          known.add(pid);
          await run('prlimit', ['--pid', String(pid), `--data=${Math.round(bytes)}`]).catch(() => undefined);
        }
      await pause(0.02);
    }
  })();
  try {
    return await work();
  } finally {
    over = true;
    await limiting.catch(() => undefined);
  }
}

async function attemptsOf(
  lowrank: Installation,
  job: Job,
): Promise<{ state: string; epoch: number; code: string }> {
  await until('the job to end', async () =>
    ['succeeded', 'failed'].includes((await lowrank.row(job.id)).state),
  );
  const { state, epoch } = await lowrank.row(job.id);
  return { state, epoch, code: (await lowrank.client.job(job.id)).error?.code ?? 'none' };
}

/** A worker whose kernel library is no library: its job goes to another, and the worker gets no more. */
async function brokenDevice(lowrank: Installation, problems: Problems): Promise<void> {
  const library = join(lowrank.folder, 'broken.so');
  await writeFile(library, 'not a library');
  const broken = await lowrank.startWorker({ env: { LOWRANK_KERNELS_LIB: library } });
  const job = await lowrank.submit(tinyRecipe(2));
  const handed = await until('the job to be handed back', async () => {
    const row = await lowrank.row(job.id);
    return row.epoch === 2 && row;
  });
  const [row] = await lowrank.postgres.query<{ drain: string | null }>(
    'SELECT drain FROM workers WHERE id = $1',
    [broken.id],
  );
  problems.check(handed.fruitless === 0, 'the attempt on the broken device was charged');
  problems.check(row?.drain === 'checkpoint', 'the worker with the broken device was not drained');
  const good = await lowrank.startWorker();
  await lowrank.published(job);
  problems.check((await lowrank.row(job.id)).epoch === 2, 'the broken worker was given the job again');
  await broken.program.stop();
  await good.program.stop();
}

/**
 * Trainers under a limit of memory (RLIMIT_DATA), measured so that a quarter of the rows fits and half does not, and then so that even a
 * quarter does not.
 */
export const outOfMemory: Failure = {
  id: '10',
  broken: 'out of memory; a broken device',
  required: 'two retries at most, smaller micro-batch, same batch; device drained, attempt not charged',
  run: () =>
    Installation.with(async (lowrank) => {
      const problems = new Problems();
      await lowrank.startApi();
      const worker = await lowrank.startWorker();
      await lowrank.prepareCatalog(tinyDataset(20_000));
      const children = () => worker.program.children();
      await measure(lowrank, children, mostRows / 4);
      const quarter = await measure(lowrank, children, mostRows / 4);
      const whole = await measure(lowrank, children, mostRows);
      const sixth = (whole - quarter) / 6;

      const limited = async (bytes: number) => {
        const job = await lowrank.submit(recipeOf(mostRows));
        const ended = await withLimit(worker.program, bytes, () => attemptsOf(lowrank, job));
        return { job, ended };
      };
      const fits = await limited(quarter + sixth);
      const [version] = await lowrank.client.versions(fits.job.adapter);
      const { rows = 0, accumulation = 0 } = version?.recipe.training ?? {};
      problems.check(fits.ended.state === 'succeeded', `it ${fits.ended.state} with ${fits.ended.code}`);
      problems.check(
        rows * accumulation === mostRows,
        `its batch is ${rows} × ${accumulation} rows, not ${mostRows}`,
      );
      problems.check(fits.ended.epoch === 3, `it took ${fits.ended.epoch} attempts, not 3`);
      problems.check((await lowrank.row(fits.job.id)).fruitless <= 1, 'the attempts were charged');
      const never = await limited(quarter - sixth);
      problems.check(
        never.ended.code === 'out_of_memory',
        `what never fits ${never.ended.state} with ${never.ended.code}`,
      );
      problems.check(never.ended.epoch === 3, `what never fits took ${never.ended.epoch} attempts, not 3`);
      await worker.program.stop();
      await brokenDevice(lowrank, problems);
      return {
        figure: `${mostRows} rows fit as ${accumulation} × ${rows} at attempt ${fits.ended.epoch}; what never fits: ${never.ended.code} at attempt ${never.ended.epoch}; broken device: drained, attempt not charged`,
        problems: problems.list,
        values: { rows, accumulation, attempts: fits.ended.epoch, neverAttempts: never.ended.epoch },
      };
    }),
};
