import { type AuditQuery } from '@lowrank/contracts';
import { type Deed, type Repositories } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { seedTeam } from './seed';

/** The part of unitOfWorkConformance on the audit log. */
export function auditConformance(seeded: () => Seeded): void {
  let { unitOfWork, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, crew } = seeded()));

  describe('the audit log', () => {
    const deed = (more: Partial<Deed> = {}): Deed => ({
      teamId: crew.id,
      actor: { type: 'key', id: 'key_a', name: 'ann' },
      action: 'jobs.control',
      requestId: 'r1',
      ...more,
    });
    const add = (by: Deed, work: (repositories: Repositories) => Promise<void>) =>
      unitOfWork.forDeed(by).run(work);
    const list = async (query: Partial<AuditQuery> = {}, team = crew.id) =>
      (await unitOfWork.forTeam(team).look(({ audit }) => audit.list(team, { limit: 9, ...query }))).data;

    it('says who asked for what, and in which request', async () => {
      const details = { adapter: 'captain', note: 'a\ud800b' };
      await add(deed(), ({ audit }) => audit.add('cancel', { kind: 'job', id: 'job_a' }, details));
      const [entry, ...more] = await list();
      expect(more).toEqual([]);
      expect(entry).toEqual({
        id: expect.stringMatching(/^aud_/),
        at: expect.any(String),
        actor: { type: 'key', id: 'key_a', name: 'ann' },
        action: 'jobs.control',
        change: 'cancel',
        target: { kind: 'job', id: 'job_a', name: null },
        details: { adapter: 'captain', note: 'a\ufffdb' },
        requestId: 'r1',
      });
      expect(Math.abs(Date.parse(entry?.at ?? '') - Date.now())).toBeLessThan(60_000);
    });

    it('has nothing of what was undone, or done without a deed', async () => {
      const undone = add(deed(), async ({ audit }) => {
        await audit.add('cancel', { kind: 'job', id: 'job_a' });
        throw new Error('no');
      });
      await expect(undone).rejects.toThrow('no');
      await unitOfWork.run(({ audit }) => audit.add('cancel', { kind: 'job', id: 'job_a' }));
      await unitOfWork.forTeam(crew.id).run(({ audit }) => audit.add('cancel', { kind: 'job', id: 'job_a' }));
      expect(await list()).toEqual([]);
    });

    it("is of the deed's team, also for what concerns all", async () => {
      const other = await seedTeam(unitOfWork, 'other');
      await unitOfWork
        .forDeed(deed())
        .acrossTeams.run(({ audit }) => audit.add('drain', { kind: 'worker', name: 'alfa' }));
      expect(await list()).toMatchObject([{ change: 'drain', target: { id: null, name: 'alfa' } }]);
      expect(await list({}, other.id)).toEqual([]);
    });

    it('is found by who, what, to what, when, and in pages', async () => {
      const bob = { type: 'key', id: 'key_b', name: 'bob' } as const;
      await add(deed(), ({ audit }) => audit.add('one', { kind: 'job', id: 'job_a', name: 'captain' }));
      await add(deed({ actor: bob, requestId: 'r2' }), ({ audit }) =>
        audit.add('two', { kind: 'job', id: 'job_b' }),
      );
      await add(deed({ action: 'keys.write', requestId: 'r3' }), ({ audit }) =>
        audit.add('three', { kind: 'key' }),
      );
      const changes = async (query: Partial<AuditQuery>) =>
        (await list(query)).map(({ change }) => change).sort();
      expect(await changes({ actor: 'key_b' })).toEqual(['two']);
      expect(await changes({ action: 'keys.write' })).toEqual(['three']);
      expect(await changes({ target: 'captain' })).toEqual(['one']);
      expect(await changes({ target: 'job_b' })).toEqual(['two']);
      expect(await changes({ request: 'r3' })).toEqual(['three']);
      expect(
        await changes({ since: '2026-01-01T00:00:00.000Z', until: '2100-01-01T00:00:00.000Z' }),
      ).toHaveLength(3);
      expect(await changes({ since: '2100-01-01T00:00:00.000Z' })).toEqual([]);
      expect(await changes({ until: '2026-01-01T00:00:00.000Z' })).toEqual([]);
      const all = await list();
      const [first, second] = all.map(({ id }) => id);
      expect((await list({ limit: 1 })).map(({ id }) => id)).toEqual([first]);
      expect((await list({ after: first, limit: 1 })).map(({ id }) => id)).toEqual([second]);
    });
  });
}
