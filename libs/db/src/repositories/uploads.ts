import { type UploadFields } from '@lowrank/contracts';
import { type UploadRecord, type UploadRepository } from '@lowrank/domain';
import { type UploadModel } from '../generated/models';
import { fromJson, iso, toJson, type Tx } from '../values';

const toUpload = ({ bytes, partBytes, fields, createdAt, expiresAt, ...row }: UploadModel): UploadRecord => ({
  ...row,
  bytes: Number(bytes),
  partBytes: Number(partBytes),
  partCount: Math.ceil(Number(bytes) / Number(partBytes)),
  fields: fromJson<UploadFields>(fields),
  createdAt: iso(createdAt),
  expiresAt: iso(expiresAt),
});

export const uploadRepository = (db: Tx): UploadRepository => ({
  async insert({ createdAt, expiresAt, fields, partCount: _derived, ...upload }) {
    const times = { createdAt: new Date(createdAt), expiresAt: new Date(expiresAt) };
    await db.upload.create({ data: { ...upload, ...times, fields: toJson(fields) } });
  },

  async find(teamId, id) {
    const row = await db.upload.findFirst({ where: { teamId, id } });
    return row && toUpload(row);
  },

  async list(teamId) {
    const orderBy = [{ createdAt: 'desc' } as const, { id: 'desc' } as const];
    return (await db.upload.findMany({ where: { teamId }, orderBy })).map(toUpload);
  },

  async remove(teamId, id) {
    return (await db.upload.deleteMany({ where: { teamId, id } })).count === 1;
  },

  async expired(now, limit) {
    const where = { expiresAt: { lte: new Date(now) } };
    const rows = await db.upload.findMany({ where, orderBy: { expiresAt: 'asc' }, take: limit });
    return rows.map(toUpload);
  },
});
