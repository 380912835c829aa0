import { type WorkerRecord, type WorkerRepository } from '@lowrank/domain';
import { type WorkerModel } from '../generated/models';
import { iso, type Tx } from '../values';

const toWorker = (row: WorkerModel): WorkerRecord => ({ ...row, seenAt: iso(row.seenAt) });

export const workerRepository = (db: Tx): WorkerRepository => ({
  async upsert({ id, ...worker }) {
    const columns = { ...worker, seenAt: new Date(worker.seenAt) };
    await db.worker.upsert({ where: { id }, create: { id, ...columns }, update: columns });
  },

  async seenSince(since) {
    const rows = await db.worker.findMany({
      where: { seenAt: { gte: new Date(since) } },
      orderBy: [{ hostname: 'asc' }, { id: 'asc' }],
    });
    return rows.map(toWorker);
  },

  async remove(id) {
    await db.worker.deleteMany({ where: { id } });
  },
});
