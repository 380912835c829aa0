import { join } from 'node:path';
import { tinyRecipe, weightsOf } from '../harness/installation';
import { withStore } from '../harness/store-proxy';
import { since, until } from '../harness/wait';
import { compared, type Failure, Problems } from '../suite';

/** Two workers whose folders are apart, as on two machines that share nothing but Postgres, Redis and the object store. */
export const sigterm: Failure = {
  id: '9',
  broken: 'SIGTERM with notice (spot, deploy)',
  required: 'checkpoint, hand back, resume elsewhere; attempt not charged',
  run: () =>
    withStore(async (lowrank) => {
      const problems = new Problems();
      await lowrank.startApi();
      const leaving = await lowrank.startWorker({ dataDir: join(lowrank.folder, 'machine-1') });
      await lowrank.prepareCatalog();
      const recipe = tinyRecipe(1500, 1000);
      const undisturbed = await lowrank.submit(recipe);
      const [expected] = await lowrank.published(undisturbed);
      const job = await lowrank.submit(recipe);
      await lowrank.training(job, { step: 100 });
      const told = performance.now();
      leaving.program.signal('SIGTERM');
      await until('the worker to end', async () => !leaving.program.isAlive);
      const left = since(told);
      const handed = await lowrank.row(job.id);
      problems.check(leaving.program.exitCode === 0, `the worker ended with ${leaving.program.exitCode}`);
      problems.check(
        handed.state === 'queued' && handed.epoch === 2,
        `the job is ${handed.state}, attempt ${handed.epoch}`,
      );
      problems.check(handed.fruitless === 0, 'the attempt was charged');
      await lowrank.startWorker({ dataDir: join(lowrank.folder, 'machine-2') });
      const [version] = await lowrank.published(job);
      const events = await lowrank.client.events(job.id);
      const resumed =
        events.find(({ type, epoch }) => type === 'attempt' && epoch === 2)?.message ?? 'nothing';
      problems.check(
        resumed.includes(`checkpoint of step ${handed.step} `),
        `stopped after step ${handed.step}; then: ${resumed}`,
      );
      const same =
        version !== undefined && expected !== undefined && weightsOf(version) === weightsOf(expected);
      problems.check(same, 'the adapter differs from the undisturbed one');
      return {
        figure: `gone after ${left.toFixed(1)} s at step ${handed.step}; elsewhere: "${resumed}"; charged ${handed.fruitless}; ${compared(same)}`,
        problems: problems.list,
        values: { leftSeconds: left, step: handed.step, charged: handed.fruitless },
      };
    }),
};
