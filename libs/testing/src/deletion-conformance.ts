import { type AdapterVersion } from '@lowrank/contracts';
import { randomIds, type UnitOfWork } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { makeManifest, putInState } from './factories';
import { codeOf } from './object-store-conformance';
import { type SeededTeam } from './seed';

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** The part of unitOfWorkConformance on deleted adapters and versions. */
export function deletionConformance(seeded: () => Seeded): void {
  describe('what is deleted', () => {
    let run: UnitOfWork['run'];
    let crew: SeededTeam;
    let versions: AdapterVersion[];
    beforeEach(async () => {
      ({ run, crew } = seeded());
      versions = [await publish(), await publish()];
    });

    async function publish(): Promise<AdapterVersion> {
      const manifest = makeManifest(await crew.addJob());
      return run(({ adapters }) =>
        adapters.publish(crew.id, { id: randomIds.make('version'), manifest, at: day(2) }),
      );
    }
    const setVersion = (number: number, at: string | null) =>
      run(({ adapters }) => adapters.setVersionDeleted(crew.id, 'captain', number, at));
    const numbers = async (deleted?: boolean) =>
      (await run(({ adapters }) => adapters.versions(crew.id, 'captain', deleted))).map(
        ({ number }) => number,
      );
    const latest = async () =>
      (await run(({ adapters }) => adapters.find(crew.id, 'captain')))?.latestVersion;

    it('is a version that is not found but by its id, until it is restored', async () => {
      expect(await setVersion(2, day(3))).toBe(true);
      expect(await setVersion(9, day(3))).toBe(false);
      expect([await numbers(), await numbers(true), await latest()]).toEqual([[1], [2], 1]);
      const [, { id = '', revision = '' } = {}] = versions;
      await run(async ({ adapters }) => {
        expect(await adapters.version(crew.id, 'captain', 2)).toBeNull();
        // Both have the same files, so that the revision is now the first one's.
        expect(await adapters.versionByRevision(crew.id, 'captain', revision)).toMatchObject({ number: 1 });
        expect(await adapters.versionById(crew.id, id)).toMatchObject({ number: 2, deletedAt: day(3) });
      });
      await setVersion(1, day(4));
      expect([await numbers(true), await latest()]).toEqual([[2, 1], null]);
      await setVersion(2, null);
      expect([await numbers(), await latest()]).toEqual([[2], 2]);
    });

    it('leaves its number taken', async () => {
      await setVersion(2, day(3));
      expect((await publish()).number).toBe(3);
      await setVersion(3, day(3));
      expect((await publish()).number).toBe(4);
      expect(await latest()).toBe(4);
    });

    it('is an adapter with all that it has', async () => {
      const [first] = versions;
      const set = (at: string | null, name = 'captain') =>
        run(({ adapters }) => adapters.setDeleted(crew.id, name, at));
      expect(await set(day(3))).toBe(true);
      expect(await set(day(3), 'none')).toBe(false);
      await run(async ({ adapters }) => {
        expect(await adapters.find(crew.id, 'captain')).toBeNull();
        expect(await adapters.lock(crew.id, 'captain')).toBeNull();
        expect(await adapters.version(crew.id, 'captain', 1)).toBeNull();
        expect(await adapters.versions(crew.id, 'captain')).toEqual([]);
        expect(await adapters.versionByRevision(crew.id, 'captain', first?.revision ?? '')).toBeNull();
        expect((await adapters.list(crew.id, { limit: 9 })).data).toEqual([]);
        expect((await adapters.list(crew.id, { limit: 9, deleted: true })).data).toMatchObject([
          { name: 'captain', deletedAt: day(3) },
        ]);
      });
      expect(await codeOf(crew.addJob())).toBe('conflict');
      await set(null);
      expect([await numbers(), await latest()]).toEqual([[2, 1], 2]);
    });

    it('is no adapter whose jobs have not ended', async () => {
      const count = (name: string) => run(({ jobs }) => jobs.countUnfinished(crew.id, name));
      expect([await count('captain'), await count('none')]).toEqual([2, 0]);
      const { id } = await crew.addJob();
      await run(({ jobs }) => putInState(jobs, id, 'failed'));
      expect(await count('captain')).toBe(2);
    });
  });
}
