import { execFileSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Installation, tinyRecipe, weightsOf } from '../harness/installation';
import { until } from '../harness/wait';
import { compared, type Failure, Problems, Skipped } from '../suite';

/** Room for some checkpoints of the tiny model, which have 200 kB each. */
const diskBytes = 4 * 2 ** 20;

/** A disk of its own for a folder: a file system in memory, of a fixed size. */
async function withSmallDisk<T>(folder: string, work: () => Promise<T>): Promise<T> {
  await mkdir(folder, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes}`, 'tmpfs', folder], { stdio: 'pipe' });
  } catch {
    throw new Skipped(
      'needs to mount a small file system: run it as root, with CAP_SYS_ADMIN in a container',
    );
  }
  try {
    return await work();
  } finally {
    execFileSync('umount', ['--lazy', folder], { stdio: 'pipe' });
  }
}

/** Writes until nothing fits any more. */
const fill = (file: string): Promise<void> =>
  new Promise((resolve) => {
    const ballast = createWriteStream(file);
    const chunk = Buffer.alloc(4096);
    const write = () => ballast.write(chunk, (error) => (error ? resolve() : write()));
    ballast.on('error', () => resolve());
    write();
  });

/** The disk of the checkpoints fills up after the first ones, and has room again later. */
export const diskFull: Failure = {
  id: '8',
  broken: 'disk full while checkpointing',
  required: 'the previous checkpoint loads, the error is typed',
  run: () =>
    Installation.with((lowrank) => {
      const jobs = join(lowrank.dataDir, 'jobs');
      return withSmallDisk(jobs, async () => {
        const problems = new Problems();
        await lowrank.startApi();
        await lowrank.startWorker();
        await lowrank.prepareCatalog();
        const recipe = tinyRecipe(400, 20);
        const undisturbed = await lowrank.submit(recipe);
        const [expected] = await lowrank.published(undisturbed);
        const job = await lowrank.submit(recipe);
        await until('a checkpoint', async () => (await lowrank.row(job.id)).checkpointStep >= 40, {
          everyMs: 10,
        });
        const ballast = join(jobs, 'ballast');
        await fill(ballast);
        const { checkpointStep, epoch } = await until('the attempt to end', async () => {
          const row = await lowrank.row(job.id);
          return (row.epoch > 1 || row.state !== 'running') && row;
        });
        await rm(ballast);
        const [version] = await lowrank.published(job);
        const events = await lowrank.client.events(job.id);
        const ended = events.find(({ message }) => message.startsWith('Attempt 1 ended'));
        const typed = ended?.message.includes('disk_full') ?? false;
        const resumed =
          events.find(({ type, epoch: of }) => type === 'attempt' && of === epoch)?.message ?? 'nothing';
        problems.check(typed, `the event does not name the error: ${ended?.message ?? 'there is none'}`);
        problems.check(
          resumed.includes(`checkpoint of step ${checkpointStep} `),
          `it went on from ${resumed}`,
        );
        const same =
          version !== undefined && expected !== undefined && weightsOf(version) === weightsOf(expected);
        problems.check(same, 'the adapter differs from the undisturbed one');
        return {
          figure: `full after step ${checkpointStep}: ${typed ? 'disk_full' : 'an untyped error'}, went on from step ${/step (\d+)/.exec(resumed)?.[1]}, ${compared(same)}`,
          problems: problems.list,
          values: { checkpointStep },
        };
      });
    }),
};
