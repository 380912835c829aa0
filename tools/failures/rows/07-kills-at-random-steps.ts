import { drawsOf } from '../../draws';
import { Installation, tinyRecipe, weightsOf } from '../harness/installation';
import { end } from '../harness/program';
import { until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

const steps = 400;
const everySteps = 10;

/** Trainers killed at random steps of several runs, each compared with a run that nobody disturbed. */
export const killsAtRandomSteps: Failure = {
  id: '7',
  broken: 'trainer killed at random steps',
  required: 'loss trace and adapter SHA-256 as undisturbed',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const runs = scale.pick(10, 2);
      const problems = new Problems();
      await lowrank.startApi();
      const { program } = await lowrank.startWorker();
      await lowrank.prepareCatalog();
      const recipe = tinyRecipe(steps, everySteps);
      const undisturbed = await lowrank.submit(recipe);
      const [expected] = await lowrank.published(undisturbed);
      const trace = (await lowrank.lossTrace(undisturbed.id)).join('\n');
      problems.check(trace.split('\n').length === steps, 'the undisturbed run lacks steps in its trace');
      const draw = drawsOf(scale.seed);
      let kills = 0;
      for (let run = 0; run < runs; run += 1) {
        const job = await lowrank.submit(recipe);
        for (let epoch = 1; epoch <= 3; epoch += 1) {
          const { step } = await lowrank.training(job, { epoch });
          const target = Math.min(steps - 20, step + everySteps + Math.floor((draw() * steps) / 4));
          await lowrank.training(job, { epoch, step: target });
          for (const pid of await program.children()) kills += Number(end(pid));
          const isOver = async () => {
            const row = await lowrank.row(job.id);
            return row.epoch > epoch || row.state === 'succeeded';
          };
          await until('the attempt to be over', isOver);
          // The steps are short: a run may come to its end before it could be killed again.
          if ((await lowrank.row(job.id)).state === 'succeeded') break;
        }
        const [version] = await lowrank.published(job);
        problems.check(
          version !== undefined && expected !== undefined && weightsOf(version) === weightsOf(expected),
          `run ${run + 1} published another adapter`,
        );
        problems.check(
          (await lowrank.lossTrace(job.id)).join('\n') === trace,
          `run ${run + 1} has another loss trace`,
        );
      }
      problems.check(kills >= 2 * runs, `only ${kills} kills in ${runs} runs`);
      return {
        figure: `seed ${scale.seed}: ${runs} runs of ${steps} steps, ${kills} kills: traces and SHA-256 ${problems.list.length === 0 ? 'identical' : 'differ'}`,
        problems: problems.list,
        values: { seed: scale.seed, runs, kills },
      };
    }),
};
