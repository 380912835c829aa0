import { type Pin } from '@lowrank/contracts';
import { type Seeded } from './catalog-conformance';
import { makeManifest } from './factories';
import { seedTeam } from './seed';

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** The part of unitOfWorkConformance on pins. */
export function pinConformance(seeded: () => Seeded): void {
  it('keeps one pin a reference, of adapters that are there', async () => {
    const { run, crew, unitOfWork } = seeded();
    const manifest = makeManifest(await crew.addJob());
    await run(({ adapters }) => adapters.publish(crew.id, { id: 'ver_1', manifest, at: day(1) }));
    const pin: Pin = { adapter: 'captain', ref: 'v1', createdAt: day(1), createdBy: 'key_1' };
    const other = await seedTeam(unitOfWork, 'other');
    await run(async ({ pins }) => {
      await pins.put(crew.id, pin);
      await pins.put(crew.id, { ...pin, createdBy: 'key_2' });
      await pins.put(crew.id, { ...pin, ref: 'prod' });
    });
    const list = (teamId: string) => run(({ pins }) => pins.list(teamId));
    expect(await list(crew.id)).toEqual([{ ...pin, ref: 'prod' }, pin]);
    expect(await list(other.id)).toEqual([]);
    expect(await unitOfWork.acrossTeams.look(({ pins }) => pins.all())).toEqual([
      { ...pin, ref: 'prod', teamId: crew.id },
      { ...pin, teamId: crew.id },
    ]);
    const remove = (teamId: string) => run(({ pins }) => pins.remove(teamId, 'captain', 'v1'));
    expect([await remove(other.id), await remove(crew.id), await remove(crew.id)]).toEqual([
      false,
      true,
      false,
    ]);
    expect(await list(crew.id)).toEqual([{ ...pin, ref: 'prod' }]);
  });
}
