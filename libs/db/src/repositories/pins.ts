import { type Pin } from '@lowrank/contracts';
import { type PinRepository } from '@lowrank/domain';
import { type PinModel } from '../generated/models';
import { iso, type Tx } from '../values';

const named = { include: { adapter: { select: { name: true } } } } as const;
const inOrder = [{ adapter: { name: 'asc' } }, { ref: 'asc' }] as const;

const toPin = ({ adapter, ref, createdAt, createdBy }: PinModel & { adapter: { name: string } }): Pin => ({
  ...{ adapter: adapter.name, ref, createdAt: iso(createdAt), createdBy },
});

export const pinRepository = (db: Tx): PinRepository => ({
  async list(teamId) {
    const rows = await db.pin.findMany({ where: { teamId }, orderBy: [...inOrder], ...named });
    return rows.map(toPin);
  },

  async all() {
    const rows = await db.pin.findMany({ orderBy: [{ teamId: 'asc' }, ...inOrder], ...named });
    return rows.map((row) => ({ ...toPin(row), teamId: row.teamId }));
  },

  async put(teamId, { adapter, ref, createdAt, createdBy }) {
    const { id: adapterId } = await db.adapter.findUniqueOrThrow({
      where: { teamId_name: { teamId, name: adapter } },
      select: { id: true },
    });
    const data = [{ teamId, adapterId, ref, createdAt: new Date(createdAt), createdBy }];
    await db.pin.createMany({ data, skipDuplicates: true });
  },

  async remove(teamId, adapter, ref) {
    return (await db.pin.deleteMany({ where: { teamId, adapter: { name: adapter }, ref } })).count > 0;
  },
});
