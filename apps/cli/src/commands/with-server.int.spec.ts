import { createUnitOfWork } from '@lowrank/db';
import { createApiKey, randomIds, systemClock, type UnitOfWork } from '@lowrank/domain';
import { makeManifest, seedTeam, testDatabase, type TestDatabase } from '@lowrank/testing';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeProgram } from '../main';
import { anyFreePort } from '../up/port';

let database: TestDatabase;
let unitOfWork: UnitOfWork;
let crew: Awaited<ReturnType<typeof seedTeam>>;
let folder: string;
let url: string;
let key: string;
let receiver: Server;
let hook: string;
const got: { type: string; signatures: number }[] = [];
const children: ChildProcess[] = [];

beforeAll(async () => {
  database = await testDatabase();
  unitOfWork = createUnitOfWork(database.url);
  crew = await seedTeam(unitOfWork);
  const ports = { unitOfWork, clock: systemClock, ids: randomIds };
  key = (await createApiKey(ports, crew.id, { name: 'test', role: 'admin' })).secret;
  folder = await mkdtemp(join(tmpdir(), 'lowrank-cli-'));
  receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      const signatures = String(request.headers['webhook-signature']).split(' ').length;
      got.push({ type: (JSON.parse(body) as { type: string }).type, signatures });
      response.writeHead(request.url === '/broken' ? 500 : 204).end();
    });
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  hook = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  const port = await anyFreePort('127.0.0.1');
  url = `http://127.0.0.1:${port}`;
  for (const app of ['api', 'worker'])
    children.push(
      fork(join(__dirname, `../../../${app}/src/main.ts`), [], {
        env: {
          ...process.env,
          ...{ DATABASE_URL: database.url, REDIS_URL: '', S3_BUCKET: '', LOWRANK_DATA: folder },
          ...{
            LOWRANK_PORT: String(port),
            LOWRANK_LOG_LEVEL: 'error',
            LOWRANK_WEBHOOK_NETWORKS: '127.0.0.0/8',
          },
        },
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      }),
    );
  while (!(await fetch(`${url}/health`).catch(() => null))?.ok) await sleep(100);
}, 120_000);

afterAll(async () => {
  await Promise.all(
    children.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    }),
  );
  receiver.closeAllConnections();
  receiver.close();
  await unitOfWork.close();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

/** What a command writes to standard output. */
async function lowrank(...args: string[]): Promise<string> {
  let text = '';
  const write = jest.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  const notes = jest.spyOn(process.stderr, 'write').mockImplementation(() => true);
  try {
    await makeProgram().parseAsync(['--url', url, '--key', key, ...args], { from: 'user' });
  } finally {
    write.mockRestore();
    notes.mockRestore();
  }
  return text.trim();
}
const idOf = async () => /whk_\w+/.exec(await lowrank('webhooks'))?.[0] ?? '';

it('makes a webhook, tests it, changes its secret and removes it', async () => {
  expect(await lowrank('webhooks')).toContain('lowrank webhooks add');
  const secret = await lowrank('webhooks', 'add', `${hook}/ok`, '--event', 'job.failed');
  expect(secret).toMatch(/^whsec_/);
  const id = await idOf();
  expect(await lowrank('webhooks', 'list')).toMatch(/enabled\s+job\.failed/);
  expect(await lowrank('webhooks', 'deliveries', id)).toBe('No deliveries.');
  expect(await lowrank('webhooks', 'test', id)).toBe('Delivered: the answer was 204.');
  const fresh = await lowrank('webhooks', 'rotate-secret', id);
  expect(fresh).toMatch(/^whsec_/);
  expect(fresh).not.toBe(secret);
  await lowrank('webhooks', 'test', id);
  expect(got).toEqual([
    { type: 'webhook.test', signatures: 1 },
    { type: 'webhook.test', signatures: 2 },
  ]);
  const listed = await lowrank('webhooks', 'deliveries', id, '--state', 'delivered');
  const [delivery = ''] = /msg_\w+/.exec(listed) ?? [];
  expect(await lowrank('webhooks', 'replay', id, delivery)).toBe(`Delivery ${delivery} is pending.`);
  while (got.length < 3) await sleep(50);
  expect(await lowrank('webhooks', 'remove', id)).toContain('removed');
  expect(await lowrank('webhooks')).toContain('No webhooks');
}, 60_000);

it('says what is wrong with a webhook that does not take its test', async () => {
  await lowrank('webhooks', 'add', `${hook}/broken`);
  const id = await idOf();
  await expect(lowrank('webhooks', 'test', id)).rejects.toThrow('The answer was 500.');
  await lowrank('webhooks', 'remove', id);
}, 60_000);

it("prints what a job's trainers have logged", async () => {
  const { id } = await crew.addJob();
  expect(await lowrank('logs', id)).toBe('');
  const line = { at: '2026-01-01T12:00:00.000Z', epoch: 1 };
  await unitOfWork.run(({ jobs }) =>
    jobs.appendLog(
      id,
      [
        { ...line, level: 'info', message: 'packed 12 rows' },
        { ...line, epoch: 2, level: 'error', message: 'out of memory' },
      ],
      100,
    ),
  );
  const lines = (await lowrank('logs', id)).split('\n');
  expect(lines).toEqual([
    '2026-01-01T12:00:00.000Z info  packed 12 rows',
    expect.stringContaining('#2 error out of memory'),
  ]);
  await expect(lowrank('logs', `job_${'a'.repeat(24)}`)).rejects.toMatchObject({ code: 'not_found' });
}, 60_000);

it('moves an alias, rolls it back, and tells of it', async () => {
  for (let i = 0; i < 2; i++) {
    const version = { id: randomIds.make('version'), manifest: makeManifest(await crew.addJob()) };
    await unitOfWork.run(({ adapters }) =>
      adapters.publish(crew.id, { ...version, at: '2026-01-02T00:00:00.000Z' }),
    );
  }
  expect(await lowrank('alias', 'move', 'captain@prod', 'v1')).toBe('captain@prod is v1.');
  expect(await lowrank('alias', 'move', 'captain@prod', 'latest')).toBe('captain@prod is v2.');
  expect(await lowrank('adapters')).toMatch(/captain\s+v2\s+prod=v2/);
  expect(await lowrank('adapters', 'show', 'captain')).toMatch(/v2\s+prod\s/);
  expect(
    JSON.parse((await lowrank('adapters', 'show', 'captain@prod')).split('\n\n')[0] ?? ''),
  ).toMatchObject({
    number: 2,
  });
  expect(await lowrank('alias', 'rollback', 'captain@prod')).toBe('captain@prod is v1 again.');
  expect(await lowrank('alias', 'history', 'captain@prod')).toMatch(/rollback\s+v2\s+v1\s+–\s+(?!key_)\S/);
  expect(await lowrank('alias', 'remove', 'captain@prod')).toBe('captain@prod is removed.');
  await expect(lowrank('adapters', 'show', 'captain@prod')).rejects.toMatchObject({ code: 'not_found' });
  await expect(lowrank('alias', 'move', 'captain@v3', 'v1')).rejects.toThrow("'v3' is not an alias");
}, 60_000);

it('invites a member, gives keys to a service account, and shows what was done', async () => {
  const accept = await lowrank('members', 'invite', 'ann@example.org', '--role', 'admin');
  const [token = ''] = /lri_\S+/.exec(accept) ?? [];
  process.env.LOWRANK_PASSWORD = 'a long enough password';
  try {
    const accepted = await lowrank('members', 'accept', token, '--name', 'Ann');
    expect(accepted).toBe('ann@example.org is a member now, as admin.');
  } finally {
    delete process.env.LOWRANK_PASSWORD;
  }
  expect(await lowrank('members', 'role', 'ANN@example.org', 'viewer')).toMatch(
    /^Ann \(usr_\w+\) is viewer\.$/,
  );
  const robot = await lowrank('members', 'add-service-account', 'ci');
  const secret = await lowrank(
    'keys',
    'make',
    'deploy',
    '--scope',
    'jobs:read',
    '--days',
    '2',
    '--service-account',
    robot,
  );
  expect(secret).toMatch(/^lrk_/);
  expect(await lowrank('keys')).toMatch(
    new RegExp(`deploy\\s+lrk_\\S+\\s+member\\s+jobs:read\\s+${robot}\\s+until`),
  );
  expect(await lowrank('members')).toMatch(/service account\s+ci\s+member/);
  expect(await lowrank('members', 'remove', 'ci')).toContain('is removed.');
  expect(await lowrank('keys')).toMatch(/deploy.*revoked/);
  expect(await lowrank('members', 'invitations')).toMatch(/ann@example.org\s+admin\s+accepted/);
  const log = await lowrank('audit', '--action', 'members.write', '--since', '2026-01-01');
  expect(
    log
      .split('\n')
      .slice(1)
      .map((line) => /members\.write\s+(\S+)/.exec(line)?.[1]),
  ).toEqual([...['remove', 'make', 'change-role', 'invite']]);
  await expect(lowrank('members', 'remove', 'nobody')).rejects.toThrow("there is no member 'nobody'");
}, 60_000);

it('makes a team and lets it read an adapter', async () => {
  const { id } = await crew.addJob({ adapter: 'shared' });
  const manifest = makeManifest({ ...(await crew.job(id)), id });
  const version = { id: randomIds.make('version'), manifest, at: '2026-01-02T00:00:00.000Z' };
  await unitOfWork.run(({ adapters }) => adapters.publish(crew.id, version));
  const limits = ['--weight', '2', '--max-queued', '5'];
  expect(await lowrank('teams', 'make', 'research', '--owner', 'bob@example.org', ...limits)).toContain(
    'lri_',
  );
  const changed = await lowrank(
    'teams',
    'change',
    'research',
    '--max-queued',
    'none',
    '--device-hours',
    '1.5',
  );
  expect(changed).toMatch(/research\s+2\s+–\s+–\s+1\.5\s+0\.0/);
  expect(await lowrank('teams')).toMatch(/crew\s+1\s+–/);
  const granted = await lowrank('grants', 'add', 'shared', 'research');
  expect(granted).toMatch(/^research may read shared \(grt_\w+\), as: lowrank pull crew\/shared$/);
  const own = key;
  try {
    const research = await unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('research'));
    const ports = { unitOfWork, clock: systemClock, ids: randomIds };
    key = (await createApiKey(ports, research, { name: 'r', role: 'viewer' })).secret;
    expect(await lowrank('adapters')).toMatch(/crew\/shared\s+v1/);
    expect(await lowrank('adapters', 'show', 'crew/shared')).toMatch(/v1\s/);
    await expect(lowrank('adapters', 'show', 'shared')).rejects.toMatchObject({ code: 'not_found' });
  } finally {
    key = own;
  }
  const [grant = ''] = /grt_\w+/.exec(await lowrank('grants')) ?? [];
  expect(await lowrank('grants', 'revoke', grant)).toBe(`Grant ${grant} is taken back.`);
  expect(await lowrank('grants')).toContain('No grants.');
}, 60_000);

it('says something of an adapter', async () => {
  const said = ['--description', 'Answers as a captain.', '--tag', 'sea', 'de'];
  expect(await lowrank('adapters', 'describe', 'captain', ...said)).toBe(
    'captain Answers as a captain. #de #sea',
  );
  expect(await lowrank('adapters', 'card', 'captain')).toContain('# captain\n\nAnswers as a captain.');
  const file = join(folder, 'card.md');
  await writeFile(file, '# Mine');
  await lowrank('adapters', 'describe', 'captain', '--card', file, '--no-tags');
  expect(await lowrank('adapters', 'card', 'captain')).toBe('# Mine');
  expect(await lowrank('adapters', 'describe', 'captain', '--generated-card')).toBe(
    'captain Answers as a captain.',
  );
  expect(await lowrank('adapters', 'card', 'captain')).toContain('## Versions');
}, 60_000);

it('pins nothing where there is no server to keep it', async () => {
  expect(await lowrank('serve')).toBe('Nothing is pinned.');
  await expect(lowrank('serve', 'pin', 'nobody@v1')).rejects.toThrow("There is no adapter 'nobody'.");
  await expect(lowrank('serve', 'unpin', 'nobody@prod')).rejects.toThrow("There is no adapter 'nobody'.");
  await expect(lowrank('serve', 'prefetch', 'nobody')).rejects.toThrow("There is no adapter 'nobody'.");
});

it('gives a team a quota of tokens, and takes it away', async () => {
  const [, id = ''] = /(team_\w+)/.exec(await lowrank('teams')) ?? [];
  expect(await lowrank('teams', 'change', id, '--tokens', '5000')).toMatch(/ 5000 +0$/m);
  expect(await lowrank('teams', 'change', id, '--tokens', 'none')).toMatch(/ – +0$/m);
});
