import { type DeviceFailure, type DrainMode, type MachineUsage } from '@lowrank/contracts';
import { type WorkerRecord, type WorkerRepository } from '@lowrank/domain';
import { Prisma } from '../generated/client';
import { type WorkerModel } from '../generated/models';
import { fromJson, iso, storableText, toJson, type Tx } from '../values';

const toWorker = (row: WorkerModel): WorkerRecord => ({
  ...row,
  memoryBytes: Number(row.memoryBytes),
  usage: row.usage as MachineUsage | null,
  drain: row.drain as DrainMode | null,
  failure: fromJson<DeviceFailure | null>(row.failure),
  seenAt: iso(row.seenAt),
});

export const workerRepository = (db: Tx): WorkerRepository => ({
  async upsert({ id, ...worker }) {
    const columns = {
      ...worker,
      usage: worker.usage ?? Prisma.DbNull,
      seenAt: new Date(worker.seenAt),
    };
    return toWorker(await db.worker.upsert({ where: { id }, create: { id, ...columns }, update: columns }));
  },

  async find(id) {
    const row = await db.worker.findUnique({ where: { id } });
    return row && toWorker(row);
  },

  async seenSince(since) {
    const rows = await db.worker.findMany({
      where: { seenAt: { gte: new Date(since) } },
      orderBy: [{ hostname: 'asc' }, { id: 'asc' }],
    });
    return rows.map(toWorker);
  },

  async setDrain(id, drain) {
    const data = drain === null ? { drain, failure: Prisma.DbNull } : { drain };
    const { count } = await db.worker.updateMany({ where: { id }, data });
    return count === 1;
  },

  async fail(id, { message, at }) {
    const failure = toJson({ message: storableText(message), at });
    const { count } = await db.worker.updateMany({ where: { id }, data: { drain: 'checkpoint', failure } });
    return count === 1;
  },

  async remove(id) {
    await db.worker.deleteMany({ where: { id } });
  },

  async removeUnseen(since) {
    const gone = await db.$queryRaw<{ id: string }[]>`
      DELETE FROM workers WHERE seen_at < ${new Date(since)} RETURNING id`;
    return gone.map(({ id }) => id).sort();
  },
});
