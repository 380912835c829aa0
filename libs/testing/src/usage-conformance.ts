import { type Actor, type UsageDimension } from '@lowrank/contracts';
import { type CountedUsage } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { seedTeam } from './seed';

const key: Actor = { type: 'key', id: 'key_a', name: 'A' };
const user: Actor = { type: 'user', id: 'usr_b', name: 'B' };

/** The part of unitOfWorkConformance on the usage of tokens. */
export function usageConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  it('sums what writers have counted, however often they write it, by team and by what is asked for', async () => {
    const other = await seedTeam(unitOfWork, 'other');
    const counted = (
      teamId: string,
      day: string,
      actor: Actor,
      model: string,
      requests: number,
    ): CountedUsage => ({
      ...{ teamId, day, actor, model, requests },
      tokens: { prompt: 10 * requests, cached: requests, completion: 100 * requests },
    });
    const first = [
      counted(crew.id, '2026-11-01', key, 'captain@v1', 1),
      counted(crew.id, '2026-11-02', key, 'captain@v1', 2),
      counted(crew.id, '2026-11-02', user, 'tiny', 4),
      counted(other.id, '2026-11-02', key, 'tiny', 8),
    ];
    await run(({ usage }) => usage.put('one', first));
    await run(({ usage }) => usage.put('one', first));
    await run(({ usage }) => usage.put('two', [counted(crew.id, '2026-11-02', key, 'captain@v1', 16)]));
    const sums = async (teamId: string | null, by: UsageDimension, since = '2026-11-01') => {
      const on = teamId === null ? unitOfWork : unitOfWork.forTeam(teamId);
      const rows = await on.look(({ usage }) => usage.sum(teamId, { since, until: '2026-11-30' }, [by]));
      return rows
        .map(({ day, actor, model, team, requests, tokens }) => {
          expect(tokens).toEqual({ prompt: 10 * requests, cached: requests, completion: 100 * requests });
          return [day ?? actor?.name ?? model, team?.name ?? null, requests];
        })
        .sort();
    };
    expect(await sums(crew.id, 'day')).toEqual([
      ['2026-11-01', null, 1],
      ['2026-11-02', null, 22],
    ]);
    expect(await sums(crew.id, 'actor', '2026-11-02')).toEqual([
      ['A', null, 18],
      ['B', null, 4],
    ]);
    expect(await sums(null, 'model')).toEqual([
      ['captain@v1', 'crew', 19],
      ['tiny', 'crew', 4],
      ['tiny', 'other', 8],
    ]);
    expect(await sums(other.id, 'day', '2026-11-03')).toEqual([]);
  });
}
