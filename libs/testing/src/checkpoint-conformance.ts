import { randomIds } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { makeManifest, makeVersionMetrics, sha256 } from './factories';

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** The part of unitOfWorkConformance on states of adapters that jobs keep. */
export function checkpointConformance(seeded: () => Seeded): void {
  let { run, crew } = {} as Seeded;
  beforeEach(() => ({ run, crew } = seeded()));

  describe('checkpoints', () => {
    const manifestOf = async (steps: number, content = `weights of ${steps}`) => ({
      ...makeManifest(await crew.addJob()),
      checkpointStep: steps,
      metrics: makeVersionMetrics({ steps }),
      files: [{ path: 'adapter_model.safetensors', sha256: sha256(content), bytes: 10 }],
    });

    it('are listed from the newest, one a step, and removed by step', async () => {
      const { jobId, ...rest } = await manifestOf(3);
      const manifest = { ...rest, jobId };
      const other = await manifestOf(4);
      await run(async ({ checkpoints }) => {
        for (const step of [3, 9, 6]) await checkpoints.put(jobId, step, manifest, day(step));
        await checkpoints.put(jobId, 6, { ...manifest, epoch: 2 }, day(7));
        await checkpoints.put(other.jobId, 4, other, day(1));
      });
      const list = () => run(({ checkpoints }) => checkpoints.list(jobId));
      const row = (step: number, at: number, epoch = 1) => ({
        ...{ step, at: day(at), version: null },
        manifest: { ...manifest, epoch },
      });
      expect(await list()).toEqual([row(9, 9), row(6, 7, 2), row(3, 3)]);
      expect(await run(({ checkpoints }) => checkpoints.lock(jobId, 3))).toEqual(row(3, 3));
      expect(await run(({ checkpoints }) => checkpoints.lock(jobId, 4))).toBeNull();
      await run(async ({ checkpoints }) => {
        await checkpoints.remove(jobId, [3, 6]);
        await checkpoints.remove(jobId, []);
      });
      expect(await list()).toEqual([row(9, 9)]);
      expect(await run(({ checkpoints }) => checkpoints.list(other.jobId))).toHaveLength(1);
    });

    it('stay the version that they were made while their files are the same', async () => {
      const manifest = await manifestOf(5);
      const { jobId } = manifest;
      const id = randomIds.make('version');
      const version = await run(({ adapters }) => adapters.publish(crew.id, { id, manifest, at: day(2) }));
      expect(version).toMatchObject({ jobId, checkpointStep: 5 });
      const put = (changed: Partial<typeof manifest>) =>
        run(({ checkpoints }) => checkpoints.put(jobId, 5, { ...manifest, ...changed }, day(3)));
      const lock = () => run(({ checkpoints }) => checkpoints.lock(jobId, 5));
      await put({});
      await run(({ checkpoints }) => checkpoints.setVersion(jobId, 5, id));
      await put({ epoch: 2 });
      expect((await lock())?.version).toEqual({ id, number: version.number, isDeleted: false });
      await run(({ adapters }) =>
        adapters.setVersionDeleted(crew.id, version.adapter, version.number, day(4)),
      );
      expect((await lock())?.version).toEqual({ id, number: version.number, isDeleted: true });
      await put({ files: (await manifestOf(5, 'other weights')).files });
      expect((await lock())?.version).toBeNull();
    });

    it('do not keep a job from publishing what it comes to', async () => {
      const manifest = await manifestOf(5);
      const publish = (changed: Partial<typeof manifest>) =>
        run(({ adapters }) =>
          adapters.publish(crew.id, {
            id: randomIds.make('version'),
            manifest: { ...manifest, ...changed },
            at: day(2),
          }),
        );
      const numbers: number[] = [];
      for (const checkpointStep of [5, null, null, 6])
        numbers.push((await publish({ checkpointStep } as Partial<typeof manifest>)).number);
      expect(numbers).toEqual([1, 2, 2, 3]);
    });
  });
}
