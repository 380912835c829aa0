import { createApiKey, randomIds, systemClock, type UnitOfWork } from '@lowrank/domain';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';

/** The team that everything belongs to until teams can be made. */
export const defaultTeam = 'default';

/**
 * Makes the first key, an owner's, if the default team has no key at all, and keeps it in `<dataDir>/admin-key`, readable by the owner
 * alone, so that the CLI on this machine finds it. `secret` is null when there was a key already. Two processes that start at once
 * are kept apart by a lock. A key that cannot be kept is not made: nobody would ever know it, and there would be no second one.
 */
export async function ensureAdminKey(
  unitOfWork: UnitOfWork,
  dataDir: string,
): Promise<{ secret: string | null }> {
  const made = await unitOfWork.exclusively('first-admin-key', async () => {
    const teamId = await unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam(defaultTeam));
    return unitOfWork.run(async (repositories) => {
      if ((await repositories.apiKeys.list(teamId)).length > 0) return null;
      const inside: UnitOfWork = { ...unitOfWork, run: (work) => work(repositories) };
      const ports = { unitOfWork: inside, clock: systemClock, ids: randomIds };
      const { secret } = await createApiKey(ports, teamId, { name: 'first admin key', role: 'owner' });
      await keep(dataDir, secret);
      return secret;
    });
  });
  return { secret: made ?? null };
}

async function keep(dataDir: string, secret: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const file = await open(join(dataDir, 'admin-key'), 'w', 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(`${secret}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}
