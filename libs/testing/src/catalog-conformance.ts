import {
  type AdapterVersion,
  type Dataset,
  finalJobStates,
  jobStateSchema,
  type Manifest,
  type Page,
  type PageQuery,
  type Parent,
} from '@lowrank/contracts';
import { randomIds, type Repositories, revisionOf, type UnitOfWork } from '@lowrank/domain';
import { makeBaseModel, makeCertificate, makeDataset, makeManifest, putInState } from './factories';
import { codeOf } from './object-store-conformance';
import { seedTeam, type SeededTeam } from './seed';

/** What the parts of unitOfWorkConformance stand on, anew for each test. */
export interface Seeded {
  unitOfWork: UnitOfWork;
  run: UnitOfWork['run'];
  crew: SeededTeam;
}

/** What a manifest and its version have in common. */
const factsOf = ({ format: _format, epoch: _epoch, ...facts }: Manifest) => facts;
const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** The part of unitOfWorkConformance on base models, datasets, adapters, and paging through them. */
export function catalogConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  describe('baseModels', () => {
    it('have a name once per team', async () => {
      const twin = makeBaseModel({ name: 'tiny' });
      expect(await codeOf(run(({ baseModels }) => baseModels.insert(crew.id, twin)))).toBe('name_taken');
      expect((await seedTeam(unitOfWork, 'other')).baseModel.name).toBe('tiny');
    });

    it('are found by name or id, and the id wins', async () => {
      const misnamed = makeBaseModel({ name: crew.baseModel.id });
      await run(({ baseModels }) => baseModels.insert(crew.id, misnamed));
      const find = (key: string) => run(({ baseModels }) => baseModels.find(crew.id, key));
      expect(await find('tiny')).toEqual(crew.baseModel);
      expect(await find(crew.baseModel.id)).toEqual(crew.baseModel);
      expect(await find(misnamed.id)).toEqual(misnamed);
      expect(await find('none')).toBeNull();
    });

    it('are found by where they came from, the newest first', async () => {
      const source = 'Owner/Model';
      const rows = [1, 2].map((n) => makeBaseModel({ source, createdAt: day(n) }));
      for (const row of [...rows, makeBaseModel({ source, status: 'importing' })])
        await run(({ baseModels }) => baseModels.insert(crew.id, row));
      const bySource = (text: string) => run(({ baseModels }) => baseModels.bySource(crew.id, text));
      expect(await bySource(source)).toEqual([rows[1], rows[0]]);
      expect(await bySource('owner/model')).toEqual([]);
    });

    it('know the oldest that is ready', async () => {
      const team = await run(({ apiKeys }) => apiKeys.ensureTeam('other'));
      const firstReady = () => run(({ baseModels }) => baseModels.firstReady(team));
      expect(await firstReady()).toBeNull();
      const rows = [
        makeBaseModel({ createdAt: day(3) }),
        makeBaseModel({ createdAt: day(2) }),
        makeBaseModel({ createdAt: day(1), status: 'importing' }),
      ];
      for (const row of rows) await run(({ baseModels }) => baseModels.insert(team, row));
      expect(await firstReady()).toEqual(rows[1]);
    });
  });

  describe('datasets', () => {
    const remove = (team = crew.id) => run(({ datasets }) => datasets.delete(team, crew.dataset.id));

    it.each(jobStateSchema.options)('of a job that is %s', async (state) => {
      const { id } = await crew.addJob();
      await run(({ jobs }) => putInState(jobs, id, state));
      if (!finalJobStates.includes(state)) {
        expect(await codeOf(remove())).toBe('in_use');
        expect(await run(({ datasets }) => datasets.find(crew.id, crew.dataset.id))).not.toBeNull();
        return;
      }
      expect(await remove()).toBe(true);
      expect(await remove()).toBe(false);
      expect((await crew.job(id)).dataset.sha256).toBe(crew.dataset.sha256);
    });

    it('expire when their time has come, but not under an unfinished job', async () => {
      const [past, used, future] = [day(2), day(1), day(4)].map((expiresAt) => makeDataset({ expiresAt }));
      for (const dataset of [past, used, future] as Dataset[])
        await run(({ datasets }) => datasets.insert(crew.id, dataset));
      const { id } = await crew.addJob({ dataset: used });
      const expired = () => run(({ datasets }) => datasets.expired(day(3), 9));
      expect(await expired()).toEqual([{ teamId: crew.id, id: past?.id }]);
      await run(({ jobs }) => putInState(jobs, id, 'failed'));
      expect((await expired()).map((one) => one.id).sort()).toEqual([past?.id, used?.id].sort());
      expect(await run(({ datasets }) => datasets.expired(day(3), 1))).toHaveLength(1);
      expect(await run(({ datasets }) => datasets.find(crew.id, past?.id ?? ''))).toEqual(past);
    });

    it('are listed from the oldest on too', async () => {
      const rows = [1, 3, 2].map((n) => makeDataset({ createdAt: day(n) }));
      const other = await run(({ apiKeys }) => apiKeys.ensureTeam('other'));
      for (const row of rows) await run(({ datasets }) => datasets.insert(other, row));
      const list = (after?: string) =>
        run(({ datasets }) => datasets.list(other, { after, limit: 2, order: 'asc' }));
      expect(await list()).toEqual({ data: [rows[0], rows[2]], hasMore: true });
      expect(await list(rows[2]?.id)).toEqual({ data: [rows[1]], hasMore: false });
    });

    it('are found by several ids, those of the team that are there', async () => {
      const rows = [makeDataset(), makeDataset()];
      for (const row of rows) await run(({ datasets }) => datasets.insert(crew.id, row));
      const ids = [...rows.map(({ id }) => id), 'data_none'];
      const found = await run(({ datasets }) => datasets.withIds(crew.id, ids));
      expect(found.map(({ id }) => id).sort()).toEqual(rows.map(({ id }) => id).sort());
      expect(await run(({ datasets }) => datasets.withIds('team_none', ids))).toEqual([]);
    });

    it('keep counts beyond 32 bits and names of every script', async () => {
      const dataset = makeDataset({
        filename: "Füße 数据 🏴‍☠️ o'\\n%.jsonl",
        bytes: Number.MAX_SAFE_INTEGER,
        rows: 2 ** 31,
        tokens: 2 ** 40,
        lossTokens: null,
        tokensOf: null,
      });
      await run(({ datasets }) => datasets.insert(crew.id, dataset));
      expect(await run(({ datasets }) => datasets.find(crew.id, dataset.id))).toEqual(dataset);
    });
  });

  describe('lists', () => {
    type List = (repositories: Repositories, page: PageQuery, team?: string) => Promise<Page<{ id: string }>>;
    const lists: [string, List, (team: SeededTeam, createdAt: string) => Promise<string>][] = [
      [
        'baseModels',
        ({ baseModels }, page, team = crew.id) => baseModels.list(team, page),
        async (team, createdAt) => {
          const row = makeBaseModel({ createdAt });
          await run(({ baseModels }) => baseModels.insert(team.id, row));
          return row.id;
        },
      ],
      [
        'datasets',
        ({ datasets }, page, team = crew.id) => datasets.list(team, page),
        async (team, createdAt) => {
          const row = makeDataset({ createdAt });
          await run(({ datasets }) => datasets.insert(team.id, row));
          return row.id;
        },
      ],
      [
        'jobs',
        ({ jobs }, page, team = crew.id) => jobs.list(team, page),
        async (team, createdAt) => (await team.addJob({ createdAt })).id,
      ],
      [
        'adapters',
        ({ adapters }, page, team = crew.id) => adapters.list(team, page),
        async (team, at) => {
          const id = randomIds.make('adapter');
          await run(({ adapters }) => adapters.ensure(team.id, { id, name: id, baseModelName: 'tiny', at }));
          return id;
        },
      ],
    ];

    it.each(lists)('of %s go newest first in pages, equal times by id', async (_name, list, add) => {
      const times = [day(32), day(34), day(34), day(33), day(34)];
      const added: [string, string][] = [];
      for (const time of times) added.push([time, await add(crew, time)]);
      const expected = added.sort((a, b) => (a.join() < b.join() ? 1 : -1)).map(([, id]) => id);
      const seen: string[] = [];
      for (let after: string | undefined; seen.length < 4; after = seen.at(-1)) {
        const page = await run((repositories) => list(repositories, { after, limit: 2 }));
        expect(page).toMatchObject({ data: [{}, {}], hasMore: true });
        seen.push(...page.data.map((row) => row.id));
      }
      const rest = await run((repositories) => list(repositories, { after: seen[3], limit: 200 }));
      expect(rest.hasMore).toBe(false);
      expect([...seen, ...rest.data.map((row) => row.id)].slice(0, 5)).toEqual(expected);
      const end = { after: rest.data.at(-1)?.id, limit: rest.data.length };
      expect(await run((repositories) => list(repositories, end))).toEqual({ data: [], hasMore: false });
      const exactly = { limit: 4 + rest.data.length };
      expect((await run((repositories) => list(repositories, exactly))).hasMore).toBe(false);
    });

    it.each(lists)(
      "of %s refuse to go on from what is not there or another team's",
      async (_n, list, add) => {
        await add(crew, day(32));
        const other = await seedTeam(unitOfWork, 'other');
        const foreign = await add(other, day(33));
        for (const after of [foreign, 'nothing', ''])
          expect(await codeOf(run((repositories) => list(repositories, { after, limit: 10 })))).toBe(
            'validation_failed',
          );
      },
    );

    it('refuse to go on from a row that was deleted', async () => {
      await run(({ datasets }) => datasets.delete(crew.id, crew.dataset.id));
      const page = { after: crew.dataset.id, limit: 10 };
      expect(await codeOf(run(({ datasets }) => datasets.list(crew.id, page)))).toBe('validation_failed');
    });
  });

  describe('adapters', () => {
    const ensure = (name: string, baseModelName = 'tiny', at = day(1)) =>
      run(({ adapters }) =>
        adapters.ensure(crew.id, { id: randomIds.make('adapter'), name, baseModelName, at }),
      );
    const publish = (manifest: ReturnType<typeof makeManifest>, at = day(2), team = crew.id) =>
      run(({ adapters }) => adapters.publish(team, { id: randomIds.make('version'), manifest, at }));

    it('are made once and stay with their base model', async () => {
      const made = await ensure('captain');
      expect(made).toMatchObject({ name: 'captain', baseModel: 'tiny', latestVersion: null });
      expect(await ensure('captain', 'tiny', day(5))).toEqual(made);
      expect(await codeOf(ensure('captain', 'large'))).toBe('conflict');
      expect(await run(({ adapters }) => adapters.find(crew.id, 'captain'))).toEqual(made);
    });

    it('are searched by a part of their name, which is taken literally', async () => {
      for (const [index, name] of ['a_b', 'acb', 'xa_bx', 'other'].entries())
        await ensure(name, 'tiny', day(index + 1));
      const search = async (query: string) =>
        (await run(({ adapters }) => adapters.list(crew.id, { query, limit: 10 }))).data.map((a) => a.name);
      expect(await search('A_B')).toEqual(['xa_bx', 'a_b']);
      expect(await search('%')).toEqual([]);
      expect(await search('')).toHaveLength(4);
    });

    it('number their versions and are updated by them', async () => {
      const first = makeManifest(await crew.addJob());
      const second = makeManifest(await crew.addJob());
      const v1 = await publish(first, day(2));
      expect(v1).toEqual({
        ...factsOf(first),
        id: v1.id,
        number: 1,
        revision: revisionOf(first.files),
        bytes: 4_000_000_700,
        createdAt: day(2),
        deletedAt: null,
      });
      const v2 = await publish(second, day(3));
      await run(async ({ adapters }) => {
        expect(await adapters.versions(crew.id, 'captain')).toEqual([v2, v1]);
        expect(await adapters.version(crew.id, 'captain', 2)).toEqual(v2);
        expect(await adapters.version(crew.id, 'captain', 3)).toBeNull();
        expect(await adapters.allVersions(crew.id, 9)).toEqual(
          [2, 1].map((number) => ({ adapter: 'captain', number, createdAt: day(number + 1) })),
        );
        expect(await adapters.allVersions(crew.id, 1)).toHaveLength(1);
        expect(await adapters.allVersions('team_other', 9)).toEqual([]);
        expect(await adapters.find(crew.id, 'captain')).toMatchObject({
          latestVersion: 2,
          createdAt: day(1),
          updatedAt: day(3),
        });
      });
    });

    it('are found by id, and remember what they were made from when that is gone', async () => {
      const v1 = await publish(makeManifest(await crew.addJob()), day(2));
      const gone = { versionId: randomIds.make('version'), adapter: 'gone', number: 7 };
      const parents: Parent[] = [
        { versionId: v1.id, adapter: 'captain', number: 1, kind: 'continued' },
        { ...gone, kind: 'combined' },
      ];
      const sum = { klMean: 0.25, klMax: 2, agreement: 0.5 };
      const certificate = { ...makeCertificate(), reference: 'method' as const, sum };
      const v2 = await publish(makeManifest(await crew.addJob(), { parents, certificate }), day(3));
      expect([v1.certificate, v2.certificate]).toEqual([null, certificate]);
      expect(v2.parents).toEqual(parents);
      const other = await seedTeam(unitOfWork, 'other');
      await run(async ({ adapters }) => {
        expect(await adapters.versionById(crew.id, v2.id)).toEqual(v2);
        expect(await adapters.versionById(crew.id, v1.id)).toEqual(v1);
        expect(await adapters.versionById(other.id, v2.id)).toBeNull();
      });
    });

    it('know what they come from and what came of them, over any number of steps', async () => {
      const made = async (from: AdapterVersion[]): Promise<AdapterVersion> => {
        const parents = from.map(({ id: versionId, adapter, number }) => ({
          ...{ versionId, adapter, number, kind: 'combined' as const },
        }));
        return publish(makeManifest(await crew.addJob(), { parents }), day(2));
      };
      const a = await made([]);
      const b = await made([]);
      const ab = await made([a, b]);
      const last = await made([ab, a]);
      const sibling = await made([b]);
      const other = await seedTeam(unitOfWork, 'other');
      const related = async (of: AdapterVersion, limit = 10, team = crew.id) =>
        (await run(({ adapters }) => adapters.related(team, of.id, limit)))
          .map(({ number }) => number)
          .sort();
      expect(await related(ab)).toEqual([1, 2, 3, 4]);
      expect(await related(a)).toEqual([1, 3, 4]);
      expect(await related(last)).toEqual([1, 2, 3, 4]);
      expect(await related(sibling)).toEqual([2, 5]);
      expect(await related(ab, 3)).toHaveLength(3);
      expect(await related(ab, 10, other.id)).toEqual([]);
    });

    it('publish once per job', async () => {
      const manifest = makeManifest(await crew.addJob());
      const first = await publish(manifest, day(2));
      expect(await publish(manifest, day(3))).toEqual(first);
      const adapter = await run(({ adapters }) => adapters.find(crew.id, 'captain'));
      expect(adapter).toMatchObject({ latestVersion: 1, updatedAt: day(2) });
    });

    it('publish under no name that is not there, and a job of one adapter in no other', async () => {
      const job = await crew.addJob();
      expect(await codeOf(publish(makeManifest({ ...job, adapter: 'none' })))).toBe('not_found');
      await publish(makeManifest(job));
      await ensure('second');
      expect(await codeOf(publish(makeManifest({ ...job, adapter: 'second' })))).toBe('conflict');
      const other = await seedTeam(unitOfWork, 'other');
      await other.addJob();
      expect(await codeOf(publish(makeManifest(job), day(3), other.id))).toBe('conflict');
    });
  });
}
