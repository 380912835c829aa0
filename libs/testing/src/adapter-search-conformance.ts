import { type AdapterQuery, type RecipeInput } from '@lowrank/contracts';
import { randomIds, type UnitOfWork } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { makeManifest, makeRecipe, makeVersionMetrics } from './factories';
import { codeOf } from './object-store-conformance';
import { seedTeam, type SeededTeam } from './seed';

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** The part of unitOfWorkConformance on finding adapters. */
export function adapterSearchConformance(seeded: () => Seeded): void {
  describe('finding adapters', () => {
    let run: UnitOfWork['run'];
    let crew: SeededTeam;
    beforeEach(async () => {
      ({ run, crew } = seeded());
      await publish('captain', 1, { evalLossAfter: 0.5, evalAccuracyAfter: 0.6 });
      await publish('captain', 2, { evalLossAfter: 2, evalAccuracyAfter: 0.9 }, { lora: { dora: true } });
      await publish('mate', 3, { evalLossAfter: 1, evalAccuracyAfter: 0.7 }, { lora: { init: 'pissa' } });
      await publish('cook', 4, { evalLossAfter: 1, evalAccuracyAfter: null }, { objective: { type: 'dpo' } });
      await publish('boy', 5, { evalLossAfter: null }, { lora: { rsLora: true } });
      await crew.addJob({ adapter: 'unborn', createdAt: day(6) });
      await run(async ({ adapters }) => {
        const said = { description: 'Steers the Ship, 100%', tags: ['sea', 'de'], card: '# Über Bord\nship' };
        await adapters.describe(crew.id, 'mate', { ...said, at: day(9) });
        await adapters.describe(crew.id, 'cook', { description: 'Soup', tags: ['sea-food'], at: day(8) });
      });
    });

    async function publish(adapter: string, at: number, metrics: object, recipe: RecipeInput = {}) {
      const job = await crew.addJob({ adapter, createdAt: day(at), recipe: makeRecipe(recipe) });
      const manifest = makeManifest(job, { metrics: makeVersionMetrics(metrics) });
      const version = { id: randomIds.make('version'), manifest, at: day(at) };
      await run(({ adapters }) => adapters.publish(crew.id, version));
    }
    const find = async (query: Partial<AdapterQuery>, team = crew.id): Promise<string> => {
      const page = await run(({ adapters }) => adapters.list(team, { limit: 100, ...query }));
      return page.data.map(({ name }) => name).join();
    };

    it('says of each what its newest version is', async () => {
      const { data } = await run(({ adapters }) => adapters.list(crew.id, { limit: 100, sort: 'name' }));
      expect(Object.fromEntries(data.map(({ name, latest }) => [name, latest]))).toMatchObject({
        captain: { objective: 'sft', method: 'dora', loss: 2, accuracy: 0.9 },
        mate: { method: 'pissa' },
        cook: { objective: 'dpo', accuracy: null },
        boy: { method: 'rslora', loss: null },
        unborn: null,
      });
      expect(await run(({ adapters }) => adapters.find(crew.id, 'captain'))).toEqual(data[1]);
    });

    it('finds those that somebody made, by id or name, and says who that is', async () => {
      const actor = { type: 'user' as const, id: 'usr_ada', name: 'Ada' };
      const deed = { teamId: crew.id, actor, action: 'jobs.submit' as const, requestId: 'r' };
      const { unitOfWork } = seeded();
      const made = { id: randomIds.make('adapter'), name: 'hers', baseModelName: crew.baseModel.name };
      await unitOfWork.forDeed(deed).run(async ({ adapters }) => {
        await adapters.ensure(crew.id, { ...made, at: day(7) });
        // One that is there stays whose it is.
        await adapters.ensure(crew.id, { ...made, name: 'captain', at: day(7) });
      });
      expect(await find({ owner: 'usr_ada' })).toBe('hers');
      expect(await find({ owner: 'Ada' })).toBe('hers');
      expect(await find({ owner: 'nobody' })).toBe('');
      expect(await run(({ adapters }) => adapters.find(crew.id, 'hers'))).toMatchObject({ createdBy: actor });
      expect(await run(({ adapters }) => adapters.find(crew.id, 'captain'))).toMatchObject({
        createdBy: null,
      });
    });

    it('counts what a key of their own has made as made by the member', async () => {
      const [user, id] = [randomIds.make('user'), randomIds.make('apiKey')];
      await run(async ({ members, apiKeys }) => {
        const person = { email: null, passwordHash: null, isService: true, createdAt: day(1) };
        await members.insertUser({ id: user, name: 'Grace', ...person });
        await members.add(crew.id, { userId: user, role: 'member', at: day(1) });
        await apiKeys.insert({
          ...{ id, teamId: crew.id, name: 'ci', role: 'member', scopes: null, hint: 'lrk_aaaa' },
          ...{ createdAt: day(1), expiresAt: null, revokedAt: null, memberId: user },
          secretSha256: 'a'.repeat(64),
        });
      });
      const actor = { type: 'key' as const, id, name: 'ci' };
      const deed = { teamId: crew.id, actor, action: 'jobs.submit' as const, requestId: 'r' };
      const made = { id: randomIds.make('adapter'), name: 'keyed', baseModelName: crew.baseModel.name };
      await seeded()
        .unitOfWork.forDeed(deed)
        .run(({ adapters }) => adapters.ensure(crew.id, { ...made, at: day(7) }));
      for (const owner of [user, 'Grace', id, 'ci']) expect(await find({ owner })).toBe('keyed');
      // Within the team, as its requests see it.
      const seen = await seeded()
        .unitOfWork.forTeam(crew.id)
        .run(({ adapters }) => adapters.list(crew.id, { limit: 100, owner: 'Grace' }));
      expect(seen.data.map(({ name }) => name)).toEqual(['keyed']);
    });

    it.each<[Partial<AdapterQuery>, string]>([
      [{}, 'unborn,boy,cook,mate,captain'],
      [{ q: 'SHIP' }, 'mate'],
      [{ q: 'Über  steers MATE' }, 'mate'],
      [{ q: 'sea' }, 'cook,mate'],
      [{ q: '100%' }, 'mate'],
      [{ q: '%' }, 'mate'],
      [{ q: '_' }, ''],
      [{ q: 'ship soup' }, ''],
      [{ tag: 'sea' }, 'mate'],
      [{ baseModel: 'tiny', query: 'CO' }, 'cook'],
      [{ baseModel: 'other' }, ''],
      [{ objective: 'sft' }, 'boy,mate,captain'],
      [{ method: 'lora' }, 'cook'],
      [{ method: 'rslora' }, 'boy'],
      [{ method: 'dora' }, 'captain'],
      [{ method: 'pissa' }, 'mate'],
      [{ maxLoss: 1 }, 'cook,mate'],
      [{ minAccuracy: 0.7 }, 'boy,mate,captain'],
      [{ minAccuracy: 0.7, maxLoss: 1 }, 'mate'],
      [{ sort: 'updated' }, 'mate,cook,unborn,boy,captain'],
      [{ sort: 'name' }, 'boy,captain,cook,mate,unborn'],
    ])('%j: %s', async (query, names) => {
      expect(await find(query)).toBe(names);
      const other = await seedTeam(seeded().unitOfWork, 'other');
      expect(await find(query, other.id)).toBe('');
    });

    it('sorts by metrics, those without last and equal ones always the same way', async () => {
      expect(await find({ sort: 'loss' })).toMatch(/^(cook,mate|mate,cook),captain,(boy,unborn|unborn,boy)$/);
      expect(await find({ sort: 'accuracy' })).toMatch(/^captain,(mate,boy|boy,mate),/);
    });

    it.each(['created', 'updated', 'name', 'loss', 'accuracy'] as const)(
      'goes page by page through what is sorted by %s, each adapter once',
      async (sort) => {
        const seen: string[] = [];
        for (let after: string | undefined, hasMore = true; hasMore; after = seen.at(-1)) {
          const page = await run(({ adapters }) => adapters.list(crew.id, { limit: 2, after, sort }));
          seen.push(...page.data.map(({ id }) => id));
          ({ hasMore } = page);
        }
        const all = await run(({ adapters }) => adapters.list(crew.id, { limit: 100, sort }));
        expect(seen).toEqual(all.data.map(({ id }) => id));
        expect(new Set(seen).size).toBe(5);
      },
    );

    it('goes on after one that the filter no longer lets through, and not from what is not there', async () => {
      const { id } = (await run(({ adapters }) => adapters.find(crew.id, 'cook'))) ?? { id: '' };
      expect(await find({ after: id, tag: 'sea' })).toBe('mate');
      const other = await seedTeam(seeded().unitOfWork, 'other');
      const page = { limit: 5, after: id, sort: 'loss' as const };
      expect(await codeOf(run(({ adapters }) => adapters.list(other.id, page)))).toBe('validation_failed');
    });
  });
}
