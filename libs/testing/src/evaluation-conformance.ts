import { randomIds } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { makeEvaluationManifest, makeGate, makeManifest } from './factories';
import { codeOf } from './object-store-conformance';
import { seedTeam } from './seed';

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** The part of unitOfWorkConformance on evaluations and gates. */
export function evaluationConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  it('keeps evaluations of a version, the newest first, each once', async () => {
    const manifest = makeManifest(await crew.addJob());
    const { id } = await run(({ adapters }) =>
      adapters.publish(crew.id, { id: randomIds.make('version'), manifest, at: day(2) }),
    );
    const [first, second] = [await crew.addJob(), await crew.addJob()];
    const { dataset, limits } = makeGate(crew.dataset);
    const facts = { dataset, limits, move: null };
    const move = { alias: 'prod', isDone: false, reason: 'It stays.' };
    await run(async ({ evaluations }) => {
      await evaluations.publish(crew.id, makeEvaluationManifest(first, id), { ...facts, at: day(3) });
      await evaluations.publish(crew.id, makeEvaluationManifest(second, id), { ...facts, at: day(4) });
      await evaluations.publish(crew.id, makeEvaluationManifest(second, id, { rows: 99 }), {
        ...facts,
        at: day(5),
      });
      await evaluations.setMove(second.id, move);
    });
    const list = (teamId: string, version: number) =>
      run(({ evaluations }) => evaluations.list(teamId, 'captain', version));
    const all = await list(crew.id, 1);
    expect(all).toMatchObject([
      {
        jobId: second.id,
        adapter: 'captain',
        version: 1,
        rows: 10,
        dataset,
        limits,
        move,
        createdAt: day(4),
      },
      { jobId: first.id, move: null, createdAt: day(3) },
    ]);
    expect(all[0]?.results[0]).toEqual({
      measure: { metric: 'loss' },
      value: 1.25,
      count: 300,
      failures: [],
    });
    expect(await list(crew.id, 2)).toEqual([]);
    expect(await list((await seedTeam(unitOfWork, 'other')).id, 1)).toEqual([]);
  });

  it('keeps one gate an alias, whose dataset stays', async () => {
    await crew.addJob();
    const gate = makeGate(crew.dataset);
    const stricter = { ...gate, checks: gate.checks.slice(1), createdAt: day(5), createdBy: 'key_2' };
    await run(async ({ gates }) => {
      await gates.put(crew.id, gate);
      expect(await gates.find(crew.id, 'captain', 'prod')).toEqual(gate);
      await gates.put(crew.id, stricter);
      await gates.put(crew.id, { ...gate, alias: 'canary' });
    });
    const list = (teamId: string) => run(({ gates }) => gates.list(teamId, 'captain'));
    expect(await list(crew.id)).toEqual([{ ...gate, alias: 'canary' }, stricter]);
    expect(await list((await seedTeam(unitOfWork, 'other')).id)).toEqual([]);
    const remove = (alias: string) => run(({ gates }) => gates.remove(crew.id, 'captain', alias));
    const drop = () => run(({ datasets }) => datasets.delete(crew.id, crew.dataset.id));
    expect([await remove('canary'), await remove('canary')]).toEqual([true, false]);
    expect(await codeOf(drop())).toBe('in_use');
  });
}
