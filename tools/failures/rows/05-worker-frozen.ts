import { Installation, tinyRecipe, weightsOf } from '../harness/installation';
import { end } from '../harness/program';
import { pause, since, until } from '../harness/wait';
import { compared, type Failure, Problems } from '../suite';

/**
 * A worker and its trainer frozen, as a machine is whose virtual machine is paused, until long after another worker has taken the
 * job over. On waking the trainer goes on with its steps, and its worker tries to write them.
 */
export const workerFrozen: Failure = {
  id: '5',
  broken: 'worker frozen for two minutes (SIGSTOP)',
  required: 'another takes over; every write of the old epoch refused',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const freeze = scale.pick(120, 40);
      const problems = new Problems();
      await lowrank.startApi();
      const frozen = await lowrank.startWorker();
      await lowrank.prepareCatalog();
      const recipe = tinyRecipe(scale.pick(8000, 1500), 50);
      const undisturbed = await lowrank.submit(recipe);
      const [expected] = await lowrank.published(undisturbed);
      const job = await lowrank.submit(recipe);
      await lowrank.training(job, { step: 60 });
      const trainers = await frozen.program.children();
      frozen.program.freeze();
      for (const pid of trainers) end(pid, 'SIGSTOP');
      const froze = performance.now();
      const other = await lowrank.startWorker();
      await until(
        'the other worker to take over',
        async () => (await lowrank.row(job.id)).workerId === other.id,
      );
      const { epoch } = await lowrank.row(job.id);
      await pause(Math.max(0, freeze - since(froze)));
      const slept = since(froze);
      for (const pid of trainers) end(pid, 'SIGCONT');
      frozen.program.thaw();
      await until(
        'the trainer of the old epoch to be ended',
        async () => (await frozen.program.children()).length === 0,
      );
      const versions = await lowrank.published(job);
      // Events and log lines are numbered in the order in which they were written: an epoch that comes back was not refused.
      const late = async (table: string): Promise<number> => {
        const [row] = await lowrank.postgres.query<{ count: string }>(
          `SELECT count(*) FROM ${table} old WHERE job_id = $1 AND epoch < $2
             AND EXISTS (SELECT 1 FROM ${table} new WHERE new.job_id = $1 AND new.epoch >= $2 AND new.seq < old.seq)`,
          [job.id, epoch],
        );
        return Number(row?.count);
      };
      const written = (await late('job_events')) + (await late('job_log'));
      const refused = /"msg":"Fenced/.test(frozen.program.log());
      problems.none(written, 'writes of the old epoch after the take-over');
      problems.check(refused, 'the old worker was not told that it is fenced');
      problems.check(versions.length === 1, `${versions.length} versions were published`);
      const [version] = versions;
      const same =
        version !== undefined && expected !== undefined && weightsOf(version) === weightsOf(expected);
      problems.check(same, 'the adapter differs from the undisturbed one');
      problems.check(
        (await lowrank.lossTrace(job.id)).join() === (await lowrank.lossTrace(undisturbed.id)).join(),
        'the loss trace differs from the undisturbed one',
      );
      return {
        figure: `frozen ${slept.toFixed(0)} s, attempt ${epoch} elsewhere: ${written} writes of the old epoch, ${versions.length} version, ${compared(same)}`,
        problems: problems.list,
        values: { frozenSeconds: slept, lateWrites: written, versions: versions.length },
      };
    }),
};
