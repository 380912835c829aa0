import { type AliasMove, type Manifest } from '@lowrank/contracts';
import { randomIds, revisionOf } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { makeManifest } from './factories';
import { seedTeam } from './seed';

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** The part of unitOfWorkConformance on aliases, what is said of adapters, and versions by their revision. */
export function aliasConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  const publish = async (overrides: Pick<Partial<Manifest>, 'files'> = {}) => {
    const manifest = makeManifest(await crew.addJob(), overrides);
    return run(({ adapters }) =>
      adapters.publish(crew.id, { id: randomIds.make('version'), manifest, at: day(2) }),
    );
  };
  const step = (overrides: Partial<AliasMove>): AliasMove => ({
    seq: 1,
    action: 'move',
    from: null,
    to: 1,
    returnsTo: null,
    gate: null,
    at: day(3),
    by: 'key_a',
    ...overrides,
  });
  const record = (alias: string, move: AliasMove) =>
    run(({ aliases }) => aliases.record(crew.id, 'captain', alias, move));

  describe('aliases', () => {
    it('stand where their last move has put them, and keep their history', async () => {
      for (let i = 0; i < 2; i++) await publish();
      const first = step({});
      const second = step({ seq: 2, from: 1, to: 2, returnsTo: 1, gate: 'passed', at: day(4), by: 'key_b' });
      await record('prod', first);
      await record('canary', step({ to: 2 }));
      await record('prod', second);
      await run(async ({ adapters, aliases }) => {
        const prod = { name: 'prod', version: 2, movedAt: day(4), movedBy: 'key_b' };
        expect(await aliases.find(crew.id, 'captain', 'prod')).toEqual(prod);
        expect((await aliases.list(crew.id, 'captain')).map(({ name }) => name)).toEqual(['canary', 'prod']);
        const page = await aliases.moves(crew.id, 'captain', 'prod', { limit: 10 });
        expect(page).toEqual([second, first]);
        expect(await aliases.moves(crew.id, 'captain', 'prod', { limit: 1 })).toEqual([second]);
        expect(await aliases.moves(crew.id, 'captain', 'prod', { before: 2, limit: 10 })).toEqual([first]);
        expect(await aliases.move(crew.id, 'captain', 'prod', 1)).toEqual(first);
        expect(await aliases.move(crew.id, 'captain', 'prod', 3)).toBeNull();
        const shown = [
          { name: 'canary', version: 2 },
          { name: 'prod', version: 2 },
        ];
        expect((await adapters.find(crew.id, 'captain'))?.aliases).toEqual(shown);
        expect((await adapters.lock(crew.id, 'captain'))?.aliases).toEqual(shown);
        expect((await adapters.list(crew.id, { limit: 9 })).data[0]?.aliases).toEqual(shown);
      });
    });

    it('are gone when removed, with their history there', async () => {
      await publish();
      await record('prod', step({}));
      await record('prod', step({ seq: 2, action: 'remove', from: 1, to: null }));
      await run(async ({ aliases }) => {
        expect(await aliases.find(crew.id, 'captain', 'prod')).toBeNull();
        expect(await aliases.list(crew.id, 'captain')).toEqual([]);
        expect(await aliases.moves(crew.id, 'captain', 'prod', { limit: 9 })).toHaveLength(2);
      });
    });

    it('are of one team', async () => {
      await publish();
      await record('prod', step({}));
      const other = await seedTeam(unitOfWork, 'other');
      await other.addJob();
      await run(async ({ adapters, aliases }) => {
        expect(await aliases.find(other.id, 'captain', 'prod')).toBeNull();
        expect(await aliases.list(other.id, 'captain')).toEqual([]);
        expect(await aliases.moves(other.id, 'captain', 'prod', { limit: 9 })).toEqual([]);
        expect((await adapters.find(other.id, 'captain'))?.aliases).toEqual([]);
      });
    });
  });

  describe('what is said of adapters', () => {
    it('is kept, and what is not named stays', async () => {
      await crew.addJob();
      const describe = (changes: { description?: string; tags?: string[]; card?: string | null }) =>
        run(({ adapters }) => adapters.describe(crew.id, 'captain', { ...changes, at: day(5) }));
      const read = () =>
        run(async ({ adapters }) => [
          await adapters.find(crew.id, 'captain'),
          await adapters.card(crew.id, 'captain'),
        ]);
      expect(await read()).toEqual([expect.objectContaining({ description: '', tags: [] }), null]);
      await describe({ description: 'Füße', tags: ['prod', 'de'] });
      await describe({ card: '# Captain' });
      const said = { description: 'Füße', tags: ['prod', 'de'], updatedAt: day(5) };
      expect(await read()).toEqual([expect.objectContaining(said), '# Captain']);
      await describe({ card: null, tags: [] });
      expect(await read()).toEqual([expect.objectContaining({ description: 'Füße', tags: [] }), null]);
      expect(await run(({ adapters }) => adapters.card(crew.id, 'none'))).toBeNull();
    });
  });

  describe('revisions of versions', () => {
    it('are of their files, in whatever order and script', async () => {
      const files = ['b.json', 'B.json', 'a-b.json', 'a.json', '0.json', 'a_b.json'].map((path, index) => ({
        path,
        sha256: String(index).repeat(64),
        bytes: index,
      }));
      const version = await publish({ files });
      expect(version.revision).toBe(revisionOf(files));
      const twin = await publish({ files: [...files].reverse() });
      expect(twin.revision).toBe(version.revision);
      const other = await publish({ files: files.slice(1) });
      expect(other.revision).not.toBe(version.revision);
      await run(async ({ adapters }) => {
        expect(await adapters.versionByRevision(crew.id, 'captain', version.revision)).toEqual(twin);
        expect(await adapters.versionByRevision(crew.id, 'captain', other.revision)).toEqual(other);
        expect(await adapters.versionByRevision(crew.id, 'captain', '0'.repeat(40))).toBeNull();
      });
    });
  });
}
