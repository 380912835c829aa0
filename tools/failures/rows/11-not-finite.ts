import { type RecipeInput } from '@lowrank/contracts';
import { Installation } from '../harness/installation';
import { until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

/** Far too fast: after some steps activations overflow, sooner the larger alpha and ratio are. */
const recipeOf = (alpha: number, loraPlusRatio: number, steps: number): RecipeInput => ({
  lora: { rank: 4, alpha },
  training: { steps, sequenceLength: 64, rows: 2, compute: 'f32' },
  optimizer: { learningRate: 1, loraPlusRatio, schedule: 'linear', warmupRatio: 0 },
  evaluation: { fraction: 0 },
  checkpoints: { everySteps: 5 },
});
const runs: [alpha: number, ratio: number, steps: number][] = [
  [256, 2, 12],
  [512, 3, 8],
  [1024, 2, 8],
  [2048, 2, 8],
  [4096, 2, 6],
  [4096, 1000, 20],
];

/** Numbers of a safetensors file of F32 that are not finite: the header's length, the header, the numbers. */
function notFinite(file: Uint8Array): number {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let count = 0;
  for (let at = 8 + Number(view.getBigUint64(0, true)); at < file.byteLength; at += 4)
    if (!Number.isFinite(view.getFloat32(at, true))) count += 1;
  return count;
}

/** Runs that diverge by themselves, some of which half or a quarter of the learning rate saves. */
export const lossNotFinite: Failure = {
  id: '11',
  broken: 'loss that becomes NaN',
  required: 'update discarded, rolled back twice at most, never a non-finite adapter',
  run: () =>
    Installation.with(async (lowrank) => {
      const problems = new Problems();
      await lowrank.startApi();
      await lowrank.startWorker();
      await lowrank.prepareCatalog();
      const rollbacks: number[] = [];
      let discarded = 0;
      const failures: number[] = [];
      let published = 0;
      for (const run of runs) {
        const job = await lowrank.submit(recipeOf(...run));
        await until('the run to end', async () =>
          ['succeeded', 'failed'].includes((await lowrank.row(job.id)).state),
        );
        const messages = (await lowrank.client.events(job.id)).map(({ message }) => message);
        const back = messages.filter((message) => message.includes('with half of the learning rate')).length;
        discarded += messages.filter((message) => message.includes('its update was discarded')).length;
        problems.atMost(back, 2, `rollbacks of alpha ${run[0]}, ratio ${run[1]}`);
        const { state, error } = await lowrank.client.job(job.id);
        const versions = await lowrank.client.versions(job.adapter);
        if (state === 'failed') {
          problems.check(
            error?.code === 'loss_not_finite',
            `it failed with ${error?.code}: ${error?.message}`,
          );
          // Going back does not help a run that got to its end, but with nothing learnt at the last.
          const wasAtItsEnd = error?.message.includes('last tenth of the steps') === true;
          problems.check(back === 2 || wasAtItsEnd, `it failed after ${back} rollbacks: ${error?.message}`);
          failures.push(back);
          problems.none(versions.length, 'versions of a failed run');
          continue;
        }
        published += 1;
        rollbacks.push(back);
        const { body } = await lowrank.client.download(job.adapter, 1, 'files/adapter_model.safetensors');
        problems.none(notFinite(body), `numbers that are not finite in ${job.adapter}`);
      }
      problems.check(discarded > 0, 'no update was discarded: these runs did not diverge');
      problems.check(
        rollbacks.some((count) => count > 0),
        'no run was saved by going back',
      );
      problems.check(failures.length > 0, 'no run was beyond help');
      return {
        figure: `${runs.length} diverging runs, ${discarded} updates discarded: ${published} saved after ${rollbacks.join(', ')} rollbacks, ${failures.length} failed after ${failures.join(', ')}; every published number finite`,
        problems: problems.list,
        values: { runs: runs.length, discarded, published, failed: failures.length },
      };
    }),
};
