import { randomIds } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { seedTeam, type SeededTeam } from './seed';

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();

/** The part of unitOfWorkConformance on grants. */
export function grantConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  describe('grants', () => {
    it('let a team read an adapter in its list, are one for each, and are taken back by who made them', async () => {
      const other = await seedTeam(unitOfWork, 'other');
      await crew.addJob({ adapter: 'captain' });
      await other.addJob({ adapter: 'own' });
      const put = async (alias: string | null, second: number) => {
        const id = randomIds.make('grant');
        const grant = { id, adapter: 'captain', toTeamId: other.id, alias, at: at(second) };
        await run(({ grants }) => grants.put(crew.id, grant));
        return { id, adapter: 'captain', from: 'crew', to: 'other', alias, createdAt: at(second) };
      };
      const find = (team: SeededTeam, to: SeededTeam) =>
        run(({ grants }) => grants.find(team.id, 'captain', to.id));
      const listed = async (team: SeededTeam) =>
        (await unitOfWork.forTeam(team.id).look(({ adapters }) => adapters.list(team.id, { limit: 9 }))).data
          .map(({ name, sharedBy }) => `${sharedBy} ${name}`)
          .sort();
      await put('prod', 1);
      const grant = await put(null, 2);
      expect(await find(crew, other)).toEqual(grant);
      expect(await find(other, crew)).toBeNull();
      for (const team of [crew, other])
        expect(await unitOfWork.forTeam(team.id).look(({ grants }) => grants.list(team.id))).toEqual([grant]);
      expect(await listed(other)).toEqual(['crew captain', 'null own']);
      expect(await listed(crew)).toEqual(['null captain']);
      expect(await run(({ grants }) => grants.remove(other.id, grant.id))).toBeNull();
      expect(await run(({ grants }) => grants.remove(crew.id, grant.id))).toEqual(grant);
      expect(await listed(other)).toEqual(['null own']);
      expect(await find(crew, other)).toBeNull();
    });
  });
}
