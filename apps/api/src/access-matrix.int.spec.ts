import { type OpenAPIObject } from '@nestjs/swagger';
import { type Access, actions, type Adapter, type Page, type Role, roleSchema } from '@lowrank/contracts';
import { createApiKey, found, grant, isAtLeast, moveAlias, randomIds, revokeGrant } from '@lowrank/domain';
import { makeJob, makeManifest } from '@lowrank/testing';
import { TestApi } from './test/api';
import { type Target, targetsOf } from './test/matrix';
import { type Samples, samplesOf } from './test/samples';

/*
 * Every route of the OpenAPI description × every role × two teams, on what is the team's own and on what is the other's. What is expected
 * is computed from the table of actions.
 */
let api: TestApi;
/** The operator's and another; and a key of each role in each. */
let teams: [string, string];
const keys = new Map<string, string>();

beforeAll(async () => {
  api = await TestApi.start();
  teams = [api.teamId, await api.ports.unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('strangers'))];
  for (const team of teams)
    for (const role of roleSchema.options)
      keys.set(`${team} ${role}`, (await createApiKey(api.ports, team, { name: role, role })).secret);
});
afterAll(() => api.close());

const accessOf = (route: string): Access => {
  const action = api.actions.get(route);
  if (action === undefined) throw new Error(`${route} declares no action`);
  return actions[action];
};

interface Answer {
  route: string;
  target: Target;
  isAllowed: boolean;
  status: number;
  text: string;
}

/** What a caller gets of every route, asked for a team's samples. */
async function walk(team: string, role: Role, samples: Samples): Promise<Answer[]> {
  const answers: Answer[] = [];
  // Each walk fails to sign in some times, and all come from one address.
  await api.ports.unitOfWork.run(({ attempts }) => attempts.removeExpired('9999-01-01T00:00:00.000Z'));
  for (const [route, target] of Object.entries(targetsOf(samples))) {
    const [method = ''] = route.split(' ');
    const { role: needed, platform = false } = accessOf(route);
    const isAllowed = isAtLeast(role, needed) && (!platform || team === api.teamId);
    const key = keys.get(`${team} ${role}`) ?? null;
    const response = await api.fetch(method, target.path, { key, json: target.json });
    // The stream of a job that waits has no end.
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
    if (isStream) await response.body?.cancel();
    const text = isStream ? '' : await response.text();
    answers.push({ route, target, isAllowed, status: response.status, text });
  }
  return answers;
}

it('knows every route of the OpenAPI description, and no other', async () => {
  const { paths } = await api.call<OpenAPIObject>('GET', '/docs-json', 200);
  const described = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`),
  );
  const known = Object.keys(targetsOf(await samplesOf(api, teams[1])));
  expect(known.sort()).toEqual(described.filter((route) => route !== 'GET /health').sort());
  // Samples of everything that there is are made first.
}, 120_000);

it('has a route for every action of the table', () => {
  const used = new Set(api.actions.values());
  expect(Object.keys(actions).filter((action) => !used.has(action as keyof typeof actions))).toEqual([]);
});

describe.each([0, 1] as const)('team %i', (mine) => {
  describe.each(roleSchema.options)('as %s', (role) => {
    it('may do with its own what the table says', async () => {
      const team = teams[mine];
      for (const { route, target, isAllowed, status, text } of await walk(
        team,
        role,
        await samplesOf(api, team),
      )) {
        const given = `${route} ${status} ${text.slice(0, 200)}`;
        // What is allowed may come at the wrong time, but is neither forbidden nor unknown.
        if (!isAllowed) expect([given, status]).toEqual([given, 403]);
        else if (target.status !== undefined) expect([given, status]).toEqual([given, target.status]);
        else expect([given, status < 500 && ![401, 403, 404].includes(status)]).toEqual([given, true]);
      }
    }, 120_000);

    it("learns nothing of another team's, and changes nothing", async () => {
      const theirs = await samplesOf(api, teams[1 - mine] as string);
      const before = await theirs.state();
      for (const answer of await walk(teams[mine], role, theirs)) assertNothing(answer, theirs);
      expect(await theirs.state()).toEqual(before);
    }, 120_000);
  });
});

/** That an answer tells nothing of another team's, but that one has asked for it. */
function assertNothing({ route, target, isAllowed, status, text }: Answer, theirs: Samples): void {
  const given = `${route} ${status} ${text.slice(0, 200)}`;
  // A refusal repeats what was asked for, and nothing more.
  const asked = [target.path, JSON.stringify(target.json ?? {}), ...(target.tells ?? [])].join();
  const leaked = theirs.secrets.filter((secret) => text.includes(secret) && !asked.includes(secret));
  expect([given, leaked]).toEqual([given, []]);
  if (!isAllowed) expect([given, status]).toEqual([given, 403]);
  else if (target.names !== undefined) expect([given, status]).toEqual([given, 404]);
  else if (target.status !== undefined) expect([given, status]).toEqual([given, target.status]);
  else expect([given, status < 500 && ![401, 403].includes(status)]).toEqual([given, true]);
}

/** Another version of a team's adapter. */
async function publishAgain(samples: Samples): Promise<void> {
  const { unitOfWork, ids } = api.ports;
  const { teamId, adapter } = samples;
  await unitOfWork.run(async ({ adapters, baseModels, datasets, jobs }) => {
    const base = found(await baseModels.find(teamId, samples.ids.baseModel), 'base model', adapter);
    const dataset = found(await datasets.find(teamId, samples.ids.dataset), 'dataset', adapter);
    const job = makeJob(base, dataset, { adapter });
    await jobs.insert(teamId, job);
    const at = job.createdAt;
    await adapters.publish(teamId, { id: ids.make('version'), manifest: makeManifest(job), at });
  });
}

describe('a grant', () => {
  /** Where it shows: in lists, and in the hub's protocol, whose paths have the team. */
  const shows = [
    'GET /api/v1/adapters',
    'GET /api/v1/grants',
    'GET /api/models/:owner/:name',
    'GET /api/models/:owner/:name/revision/:revision',
  ];
  const answersOf = async (theirs: Samples) => walk(teams[1], 'owner', theirs);

  it.each([null, 'prod'])(
    'of alias %s lets read one adapter, and nothing else, until it is taken back',
    async (alias) => {
      const theirs = await samplesOf(api, teams[0]);
      const { adapter, team } = theirs;
      const { id } = await grant(api.ports, teams[0], { adapter, to: 'strangers', alias });
      const before = await theirs.state();
      for (const answer of await answersOf(theirs)) {
        if (!shows.includes(answer.route)) assertNothing(answer, theirs);
        else
          expect([answer.route, answer.status, answer.text]).toEqual([
            answer.route,
            200,
            expect.stringContaining(adapter),
          ]);
      }
      expect(await theirs.state()).toEqual(before);

      const key = keys.get(`${teams[1]} viewer`);
      const path = `/api/v1/adapters/${adapter}`;
      const reads = ['', '/card', '/versions', '/aliases', '/versions/prod', '/versions/prod/archive'].map(
        (rest) => path + rest,
      );
      const resolve = `/${team}/${adapter}/resolve/prod/adapter_model.safetensors`;
      const statuses = async () => [
        ...(await Promise.all(
          reads.map(async (one) => (await api.fetch('GET', `${one}?team=${team}`, { key })).status),
        )),
        (await api.fetch('GET', resolve, { key })).status,
      ];
      expect(new Set(await statuses())).toEqual(new Set([200]));
      expect(await api.call('GET', `${path}?team=${team}`, 200, { key })).toMatchObject({
        name: adapter,
        sharedBy: team,
      });
      const list = async () =>
        (await api.call<Page<Adapter>>('GET', `/api/v1/adapters?query=${adapter}`, 200, { key })).data;
      expect(await list()).toMatchObject([{ name: adapter, sharedBy: team }]);
      await revokeGrant(api.ports, teams[0], id);
      expect(new Set(await statuses())).toEqual(new Set([404]));
      expect(await list()).toEqual([]);
    },
  );

  it('of an alias shows what that stands on, and no other version', async () => {
    const theirs = await samplesOf(api, teams[0]);
    const { adapter, team } = theirs;
    await publishAgain(theirs);
    const shown = { adapter, alias: 'shown', actor: 'a' };
    await moveAlias(api.ports, teams[0], shown, { version: 'v1' });
    await grant(api.ports, teams[0], { adapter, to: 'strangers', alias: shown.alias });
    const key = keys.get(`${teams[1]} viewer`);
    const ask = (version: string) =>
      api.fetch('GET', `/api/v1/adapters/${adapter}/versions/${version}?team=${team}`, { key });
    const seen = async () =>
      Promise.all(['v1', 'v2', 'latest', 'shown'].map(async (ref) => (await ask(ref)).status));
    expect(await seen()).toEqual([200, 404, 404, 200]);
    await moveAlias(api.ports, teams[0], shown, { version: 'v2' });
    expect(await seen()).toEqual([404, 200, 200, 200]);
    // Granted again of all versions, it replaces the one before.
    await grant(api.ports, teams[0], { adapter, to: 'strangers', alias: null });
    expect(await seen()).toEqual([200, 200, 200, 200]);
    expect(await api.call('GET', '/api/v1/grants', 200, { key })).toMatchObject({
      data: expect.arrayContaining([
        {
          adapter,
          from: team,
          to: 'strangers',
          alias: null,
          id: expect.any(String),
          createdAt: expect.any(String),
        },
      ]),
    });
  });
});

it("says of another team's id what it says of one that nobody has", async () => {
  const { ids } = await samplesOf(api, teams[0]);
  const key = keys.get(`${teams[1]} owner`);
  const ask = async (id: string) => {
    const refusal = await api.refusal('GET', `/api/v1/jobs/${id}`, { key });
    return { ...refusal, message: refusal.message.replace(id, 'ID'), requestId: null };
  };
  expect(await ask(ids.job)).toEqual(await ask(randomIds.make('job')));
});
