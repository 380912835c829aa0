import { watch } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Job } from '@lowrank/contracts';
import { drawsOf } from '../../draws';
import { Installation, type RunningWorker, tinyRecipe, weightsOf } from '../harness/installation';
import { end } from '../harness/program';
import { pause, until } from '../harness/wait';
import { compared, type Failure, Problems } from '../suite';

const everySteps = 20;
const steps = 1500;

/** Resolves when a trainer has begun to write a checkpoint, whose folder has another name until it is whole; to false if none comes. */
async function midCheckpoint(folder: string, isOver: () => Promise<boolean>): Promise<boolean> {
  await mkdir(folder, { recursive: true });
  const stop = new AbortController();
  let begun = false;
  const begins = new Promise<void>((resolve) => {
    watch(folder, { signal: stop.signal }, (_event, name) => {
      if (!name?.startsWith('tmp-')) return;
      begun = true;
      resolve();
    });
  });
  try {
    while (!begun && !(await isOver())) await Promise.race([begins, pause(1)]);
  } finally {
    stop.abort();
  }
  return begun;
}

interface Kills {
  made: number;
  midCheckpoint: number;
  mostLost: number;
}

/**
 * Kills the job's trainer again and again until it ends. Three attempts in a row without a new checkpoint fail a job, as they should;
 * so after two such the next is let live until it has written one.
 */
async function harass(
  lowrank: Installation,
  worker: RunningWorker,
  job: Job,
  left: () => boolean,
  kills: Kills,
  draw: () => number,
): Promise<void> {
  const folder = join(lowrank.dataDir, 'jobs', job.id, 'checkpoints');
  for (let epoch = 1; left(); epoch += 1) {
    const at = await until('an attempt or the end', async () => {
      const row = await lowrank.row(job.id);
      return (row.state === 'succeeded' || (row.epoch === epoch && row.workerId !== null)) && row;
    });
    if (at.state === 'succeeded') return;
    if (at.fruitless >= 3) await lowrank.training(job, { epoch, step: at.checkpointStep + everySteps + 1 });
    const aimed =
      kills.made % 3 === 0 &&
      (await midCheckpoint(folder, async () => (await lowrank.row(job.id)).state === 'succeeded'));
    if (!aimed) await pause(draw() * 3);
    const pids = await worker.program.children();
    if (pids.filter((pid) => end(pid)).length === 0) continue;
    kills.made += 1;
    if (aimed) kills.midCheckpoint += 1;
    const after = await until('the attempt to be over', async () => {
      const row = await lowrank.row(job.id);
      return (row.epoch > epoch || row.state === 'succeeded') && row;
    });
    if (after.state === 'succeeded') return;
    const next = await until('the next plan, or its end', async () => {
      const row = await lowrank.row(job.id);
      const plan = (await lowrank.client.events(job.id)).find(
        (event) => event.epoch === epoch + 1 && event.type === 'attempt',
      );
      return row.epoch > epoch + 1 || row.state === 'succeeded' ? 'gone' : (plan ?? false);
    });
    if (next === 'gone') continue;
    const resumed = Number(/checkpoint of step (\d+)/.exec(next.message)?.[1] ?? 0);
    kills.mostLost = Math.max(kills.mostLost, after.step - resumed);
  }
}

/** Trainers killed at random times of their lives: while they start, train, write a checkpoint, or publish. */
export const trainersKilled: Failure = {
  id: '6',
  broken: 'trainers SIGKILLed at random, mid-checkpoint included',
  required: 'at most one checkpoint interval lost, no partial checkpoint loaded',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const wanted = scale.kills(200, 6);
      const problems = new Problems();
      await lowrank.startApi();
      const workers = [await lowrank.startWorker(), await lowrank.startWorker()];
      await lowrank.prepareCatalog();
      const recipe = tinyRecipe(steps, everySteps);
      const undisturbed = await lowrank.submit(recipe);
      const [expected] = await lowrank.published(undisturbed);
      const draw = drawsOf(scale.seed);
      const kills: Kills = { made: 0, midCheckpoint: 0, mostLost: 0 };
      let runs = 0;
      let others = 0;
      while (kills.made < wanted) {
        const job = await lowrank.submit(recipe);
        const { workerId } = await until('the job to be taken', async () => {
          const row = await lowrank.row(job.id);
          return row.workerId !== null && row;
        });
        const worker = workers.find(({ id }) => id === workerId) as RunningWorker;
        await harass(lowrank, worker, job, () => kills.made < wanted, kills, draw);
        const [version] = await lowrank.published(job);
        runs += 1;
        if (version === undefined || expected === undefined || weightsOf(version) !== weightsOf(expected))
          others += 1;
      }
      const [{ damaged = '0' } = {}] = await lowrank.postgres.query<{ damaged: string }>(
        `SELECT count(*) AS damaged FROM job_events WHERE message LIKE 'checkpoint % is damaged%'`,
      );
      problems.atMost(kills.mostLost, everySteps, 'steps lost by a kill');
      problems.none(others, 'runs published another adapter');
      problems.none(Number(damaged), 'partial checkpoints met');
      problems.check(kills.midCheckpoint > 0, 'no kill hit a checkpoint while it was written');
      return {
        figure: `seed ${scale.seed}: ${kills.made} kills, ${kills.midCheckpoint} of them mid-checkpoint: at most ${kills.mostLost} of ${everySteps} steps lost, ${damaged} partial checkpoints met, ${runs} runs, ${compared(others === 0)}`,
        problems: problems.list,
        values: { seed: scale.seed, ...kills, interval: everySteps, damaged: Number(damaged), runs },
      };
    }),
};
