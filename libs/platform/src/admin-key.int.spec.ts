import { createUnitOfWork } from '@lowrank/db';
import { authenticate, type UnitOfWork } from '@lowrank/domain';
import { testDatabase } from '@lowrank/testing';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureAdminKey } from './admin-key';

let drop: () => Promise<void>;
let url: string;
let unitOfWork: UnitOfWork;
let folder: string;
beforeEach(async () => {
  ({ url, drop } = await testDatabase());
  unitOfWork = createUnitOfWork(url);
  folder = await mkdtemp(join(tmpdir(), 'lowrank-key-'));
});
afterEach(async () => {
  await unitOfWork.close();
  await drop();
  await rm(folder, { recursive: true });
});

const file = () => join(folder, 'data/admin-key');
const ensure = () => ensureAdminKey(unitOfWork, join(folder, 'data'));
const now = new Date().toISOString();
const kept = async () => (await readFile(file(), 'utf8')).trim();

it('is made once, kept for the owner alone, and owner of the team from then on', async () => {
  const { secret } = await ensure();
  expect(await kept()).toBe(secret);
  expect((await stat(file())).mode & 0o777).toBe(0o600);
  expect((await stat(join(folder, 'data'))).mode & 0o077).toBe(0);
  const after = createUnitOfWork(url);
  expect(await ensureAdminKey(after, join(folder, 'data'))).toEqual({ secret: null });
  expect(await kept()).toBe(secret);
  expect(await authenticate(after, secret ?? '', now)).toMatchObject({ role: 'owner', operator: true });
  await after.close();
});

it('is made by one of four processes that start at once', async () => {
  const answers = await Promise.all([1, 2, 3, 4].map(ensure));
  const secrets = answers.flatMap((answer) => answer.secret ?? []);
  expect(secrets).toHaveLength(1);
  expect(await kept()).toBe(secrets[0]);
});

it('takes the place of a file that others could read', async () => {
  await ensureAdminKey(unitOfWork, join(folder, 'elsewhere'));
  await unitOfWork.close();
  await drop();
  ({ url, drop } = await testDatabase());
  unitOfWork = createUnitOfWork(url);
  await writeFile(join(folder, 'elsewhere/admin-key'), `${'x'.repeat(200)}\n`);
  await chmod(join(folder, 'elsewhere/admin-key'), 0o644);
  const { secret } = await ensureAdminKey(unitOfWork, join(folder, 'elsewhere'));
  expect(await readFile(join(folder, 'elsewhere/admin-key'), 'utf8')).toBe(`${secret}\n`);
  expect((await stat(join(folder, 'elsewhere/admin-key'))).mode & 0o777).toBe(0o600);
});

it('is not made when it cannot be kept, so that the next start makes one', async () => {
  await writeFile(join(folder, 'data'), 'a file where the folder should be');
  await expect(ensure()).rejects.toThrow('EEXIST');
  await rm(join(folder, 'data'));
  const { secret } = await ensure();
  expect(await kept()).toBe(secret);
  expect(await authenticate(unitOfWork, secret ?? '', now)).not.toBeNull();
});

it('is not made anew after it was revoked', async () => {
  const { secret } = await ensure();
  const owner = await authenticate(unitOfWork, secret ?? '', now);
  await unitOfWork.run(({ apiKeys }) => apiKeys.revoke(owner?.teamId ?? '', owner?.actor.id ?? '', now));
  expect(await authenticate(unitOfWork, secret ?? '', now)).toBeNull();
  expect(await ensure()).toEqual({ secret: null });
});
