import { type Manifest } from '@lowrank/contracts';
import { type AttemptRef } from '../attempts/attempt';
import { reportKept, reportPhase, reportPlan } from '../attempts/report-progress';
import { publishVersion } from '../attempts/publish-version';
import { deleteVersion } from '../catalog/deletion';
import { findModel } from '../catalog/find-model';
import { readLineage } from '../catalog/lineage';
import { team, World } from '../test/world';
import { listCheckpoints, promoteCheckpoint } from './checkpoints';

let world: World;
let attempt: AttemptRef;
beforeEach(async () => {
  world = new World();
  attempt = await world.claimed();
});

const manifestOf = (step: number, evalLossAfter: number | null = null): Manifest => {
  const manifest = world.manifest(attempt.jobId);
  return {
    ...manifest,
    checkpointStep: step,
    metrics: { ...manifest.metrics, steps: step, evalLossAfter },
    files: [{ path: 'adapter_model.safetensors', sha256: String(step % 10).repeat(64), bytes: 10 }],
  };
};
const keep = (step: number, loss: number | null = null) => reportKept(world, attempt, manifestOf(step, loss));
const list = () => listCheckpoints(world, team, attempt.jobId);
const steps = async () => (await list()).map(({ step, isBest }) => (isBest ? `${step} best` : `${step}`));
const verify = jest.fn(() => Promise.resolve());
const promote = (step: number) => promoteCheckpoint(world, team, { jobId: attempt.jobId, step, verify });

describe('what is kept', () => {
  it('are the newest, and the best on the rows held out', async () => {
    await keep(10, 3);
    await keep(20, 1);
    for (const [step, loss] of [
      [30, 2],
      [40, null],
      [50, 1],
    ] as const)
      await keep(step, loss);
    expect(await steps()).toEqual(['50', '40', '20 best']);
    await keep(60, 0.5);
    expect(await steps()).toEqual(['60 best', '50']);
  });

  it('is nothing beyond the checkpoint that an attempt goes on from, but what is a version', async () => {
    await keep(10);
    await keep(20);
    await promote(10);
    await reportPlan(world, attempt, { totalSteps: 100, resumedFromStep: 5 });
    expect(await steps()).toEqual(['10']);
  });

  it('is not what an attempt says that is fenced', async () => {
    attempt = { ...attempt, epoch: attempt.epoch + 1 };
    expect(await reportKept(world, attempt, { ...manifestOf(10), epoch: 1 })).toBe(false);
    expect(await list()).toEqual([]);
  });
});

describe('promoteCheckpoint', () => {
  it('makes the next version of the adapter, once, and says so', async () => {
    await keep(10, 2);
    verify.mockClear();
    const version = await promote(10);
    expect(version).toMatchObject({
      adapter: 'captain',
      number: 1,
      jobId: attempt.jobId,
      checkpointStep: 10,
    });
    expect(verify).toHaveBeenCalledWith(manifestOf(10).files);
    expect(await Promise.all([promote(10), promote(10)])).toEqual([version, version]);
    expect(verify).toHaveBeenCalledTimes(1);
    expect(await list()).toMatchObject([{ step: 10, version: 1, evalLoss: 2, bytes: 10 }]);
    expect(world.tables.events.at(-1)).toMatchObject({
      type: 'message',
      message: 'The checkpoint of step 10 was published as captain v1.',
    });
    expect((await readLineage(world, team, 'captain', 'v1')).edges).toContainEqual({
      ...{ from: attempt.jobId, to: version.id, kind: 'job', step: 10 },
    });
    for (const step of [20, 30, 40]) await keep(step);
    expect(await steps()).toEqual(['40', '30', '10 best']);
  });

  it('leaves the number of the job for what it comes to, which is promoted already', async () => {
    await keep(10, 2);
    await promote(10);
    const manifest = { ...manifestOf(20, 1), checkpointStep: null };
    await reportPhase(world, attempt, 'running');
    await reportPhase(world, attempt, 'publishing');
    await publishVersion(world, attempt, manifest);
    expect(world.job(attempt.jobId)).toMatchObject({ state: 'succeeded', version: 2 });
    expect(await list()).toMatchObject([
      { step: 20, version: 2, isBest: true },
      { step: 10, version: 1, isBest: false },
    ]);
    expect(await promote(20)).toMatchObject({ number: 2, checkpointStep: null });
  });

  it('names the version for completions', async () => {
    await keep(10);
    const name = `captain@${attempt.jobId}-step-10`;
    const find = () => world.unitOfWork.look((repositories) => findModel(repositories, team, name));
    await expect(find()).rejects.toMatchObject({ code: 'not_found' });
    const version = await promote(10);
    expect(await find()).toEqual({ version });
  });

  it('refuses what is not kept, what is damaged, and what was deleted', async () => {
    await expect(promote(10)).rejects.toMatchObject({ code: 'not_found' });
    await keep(10);
    verify.mockRejectedValueOnce(new Error('damaged'));
    await expect(promote(10)).rejects.toThrow('damaged');
    expect(await list()).toMatchObject([{ version: null }]);
    await promote(10);
    await deleteVersion(world, team, 'captain', 'v1');
    expect(await list()).toMatchObject([{ version: null }]);
    await expect(promote(10)).rejects.toMatchObject({
      code: 'conflict',
      help: 'Restore version 1 of captain.',
    });
    const other = promoteCheckpoint(world, 'team_none', { jobId: attempt.jobId, step: 10, verify });
    await expect(other).rejects.toMatchObject({ code: 'not_found' });
  });
});
