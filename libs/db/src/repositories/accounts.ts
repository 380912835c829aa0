import { type AttemptRepository, type PasswordResetRepository } from '@lowrank/domain';
import { iso, type Tx } from '../values';

export const passwordResetRepository = (db: Tx): PasswordResetRepository => ({
  async insert({ createdAt, expiresAt, ...reset }) {
    const times = { createdAt: new Date(createdAt), expiresAt: new Date(expiresAt) };
    await db.passwordReset.create({ data: { ...reset, ...times } });
  },

  async find(tokenSha256) {
    const row = await db.passwordReset.findUnique({ where: { tokenSha256 } });
    return row && { ...row, createdAt: iso(row.createdAt), expiresAt: iso(row.expiresAt) };
  },

  async removeOf(userId) {
    return (await db.passwordReset.deleteMany({ where: { userId } })).count;
  },
});

export const attemptRepository = (db: Tx): AttemptRepository => ({
  async count(key, { now, until }) {
    const [row] = await db.$queryRaw<{ failures: number; until: Date }[]>`
      INSERT INTO sign_in_attempts AS a (key_sha256, failures, until) VALUES (${key}, 1, ${new Date(until)})
      ON CONFLICT (key_sha256) DO UPDATE SET
        failures = CASE WHEN a.until <= ${new Date(now)} THEN 1 ELSE a.failures + 1 END,
        until = CASE WHEN a.until <= ${new Date(now)} THEN excluded.until ELSE a.until END
      RETURNING failures, until`;
    return { failures: row?.failures ?? 1, until: row ? iso(row.until) : until };
  },

  async forgive(key) {
    await db.$executeRaw`UPDATE sign_in_attempts SET failures = failures - 1 WHERE key_sha256 = ${key} AND failures > 0`;
  },

  async removeExpired(now) {
    await db.$executeRaw`DELETE FROM sign_in_attempts WHERE until <= ${new Date(now)}`;
  },
});
