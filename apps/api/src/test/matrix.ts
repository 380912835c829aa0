import { type Webhook } from '@lowrank/contracts';
import {
  createApiKey,
  grant,
  makeWebhookSecret,
  moveAlias,
  type Repositories,
  testWebhook,
} from '@lowrank/domain';
import {
  makeBaseModel,
  makeDataset,
  makeExportManifest,
  makeJob,
  makeManifest,
  makeWorker,
} from '@lowrank/testing';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestApi } from './api';

/** One of everything that a team can have, with names that nobody else has. */
export interface Samples {
  teamId: string;
  ids: Record<
    | 'baseModel'
    | 'dataset'
    | 'secondDataset'
    | 'job'
    | 'version'
    | 'sweep'
    | 'key'
    | 'webhook'
    | 'member'
    | 'invitation'
    | 'grant'
    | 'delivery'
    | 'worker',
    string
  >;
  /** The team's name. */
  team: string;
  adapter: string;
  baseModel: string;
  /** Of the member. */
  email: string;
  /** Ids, names and contents that are nobody else's business. */
  secrets: string[];
  /** All of it as it is stored now. */
  state(): Promise<unknown>;
}

export async function samplesOf(api: TestApi, teamId: string): Promise<Samples> {
  const { ids: make, unitOfWork } = api.ports;
  const mark = make.make('job').slice(-12);
  const content = join(api.folder, mark);
  await writeFile(content, `{"secret": "content-${mark}"}`);
  const file = await api.blobs.putFile(content);
  const baseModel = makeBaseModel({ name: `base-${mark}`, files: [{ path: 'config.json', ...file }] });
  const dataset = makeDataset({ filename: `rows-${mark}.jsonl`, ...file });
  const secondDataset = makeDataset({ filename: `second-${mark}.jsonl`, ...file });
  const adapter = `adapter-${mark}`;
  const sweep = make.make('sweep');
  const job = makeJob(baseModel, dataset, { adapter });
  const done = makeJob(baseModel, dataset, { adapter });
  const trial = makeJob(baseModel, dataset, { adapter, sweep: { id: sweep, trial: 1 } });
  const manifest = makeManifest(done, { files: [{ path: 'adapter_model.safetensors', ...file }] });
  const ids = {
    ...{ baseModel: baseModel.id, dataset: dataset.id, secondDataset: secondDataset.id, job: job.id },
    ...{ version: make.make('version'), sweep },
  };
  const { baseModel: base, dataset: data, createdAt } = job;
  const worker = makeWorker({ seenAt: new Date().toISOString() });
  await unitOfWork.run(async ({ baseModels, datasets, adapters, exports, jobs, sweeps, workers }) => {
    await baseModels.insert(teamId, baseModel);
    await datasets.insert(teamId, dataset);
    await datasets.insert(teamId, secondDataset);
    await adapters.ensure(teamId, {
      id: make.make('adapter'),
      name: adapter,
      baseModelName: baseModel.name,
      at: createdAt,
    });
    await jobs.insert(teamId, job, done);
    await jobs.update(done.id, 1, { state: 'publishing' });
    await adapters.publish(teamId, { id: ids.version, manifest, at: createdAt });
    await exports.publish(
      teamId,
      makeExportManifest(done, ids.version, { files: [{ path: 'model.safetensors', ...file }] }),
      createdAt,
    );
    await sweeps.insert(teamId, {
      ...{ id: ids.sweep, baseModel: base, dataset: data, adapter, createdAt, recipe: {}, space: {} },
      ...{ method: { type: 'grid' }, metric: 'loss', maxConcurrent: null },
    });
    await jobs.insert(teamId, trial);
    await sweeps.addTrials(ids.sweep, [{ number: 1, jobId: trial.id, parameters: {} }]);
    await workers.upsert(worker);
  });
  await moveAlias(api.ports, teamId, { adapter, alias: 'prod', actor: mark }, { version: 'v1' });
  const key = await createApiKey(api.ports, teamId, { name: `key-${mark}`, role: 'viewer' });
  const webhook: Webhook = {
    ...{ id: make.make('webhook'), url: `https://${mark}.example/`, events: ['job.failed'] },
    ...{ enabled: true, createdAt },
  };
  await unitOfWork.run(({ webhooks }) =>
    webhooks.insert(teamId, { ...webhook, secret: makeWebhookSecret() }),
  );
  await unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('third'));
  const { id: granted } = await grant(api.ports, teamId, { adapter, to: 'third', alias: null });
  const member = make.make('user');
  const invitation = make.make('invitation');
  const email = `${mark}@example.org`;
  await unitOfWork.run(async ({ members, invitations }) => {
    const user = {
      id: member,
      email,
      name: mark,
      passwordHash: 'scrypt$4$8$1$YQ$YQ',
      isService: false,
      createdAt,
    };
    await members.insertUser(user);
    await members.add(teamId, { userId: member, role: 'viewer', at: createdAt });
    const times = { createdAt, expiresAt: createdAt, acceptedAt: null };
    const open = { id: invitation, email: `${mark}@example.com`, role: 'viewer' as const, ...times };
    await invitations.insert(teamId, { ...open, tokenSha256: file.sha256 });
  });
  const delivery = await testWebhook(api.ports, teamId, webhook.id);

  const stored = async ({
    teams,
    apiKeys,
    baseModels,
    datasets,
    adapters,
    aliases,
    jobs,
    sweeps,
    webhooks,
    members,
    invitations,
    grants,
  }: Repositories) => [
    await adapters.find(teamId, adapter),
    await aliases.moves(teamId, adapter, 'prod', { limit: 200 }),
    await teams.find(teamId),
    await apiKeys.list(teamId),
    await baseModels.find(teamId, baseModel.id),
    await datasets.find(teamId, dataset.id),
    await adapters.versions(teamId, adapter),
    await jobs.list(teamId, { limit: 200 }),
    await jobs.detail(teamId, job.id),
    await sweeps.find(teamId, ids.sweep),
    await webhooks.list(teamId),
    await members.list(teamId),
    await invitations.list(teamId),
    await grants.list(teamId),
    await webhooks.deliveries(teamId, webhook.id, { limit: 200 }),
  ];
  return {
    teamId,
    ids: {
      ...ids,
      key: key.id,
      webhook: webhook.id,
      delivery: delivery.id,
      worker: worker.id,
      member,
      invitation,
      grant: granted,
    },
    team: (await unitOfWork.look(({ teams }) => teams.find(teamId)))?.name ?? '',
    adapter,
    baseModel: baseModel.name,
    email,
    secrets: [
      teamId,
      ...Object.values(ids),
      key.id,
      webhook.id,
      delivery.id,
      member,
      invitation,
      granted,
      mark,
    ],
    state: () => unitOfWork.run(stored),
  };
}

export interface Target {
  /** What of another team's whoever is allowed to ask may be told. */
  tells?: string[];
  path: string;
  json?: unknown;
  /** What of the samples it names, so that another team finds nothing; else it is about the caller's own, or about all teams. */
  names?: keyof Samples['ids'];
  /** What whoever is allowed to ask is told, instead of anything that is neither forbidden nor unknown. */
  status?: number;
}

/** A request for every route that needs a key, as the OpenAPI description has it. A new route is to have one here. */
export function targetsOf({ teamId, ids, team, adapter, baseModel, email }: Samples): Record<string, Target> {
  const { job, dataset, sweep, key, webhook, delivery, worker, member, invitation } = ids;
  // Right in all but that the dataset has no pairs: whether its parts are found is told before that.
  const recipe = { objective: { type: 'dpo' } };
  const request = { baseModel, dataset, recipe };
  const password = 'not the password';
  const of = (names: keyof Samples['ids'], path: string, json?: unknown): Target => ({
    path: `/api/v1/${path}`,
    names,
    json,
  });
  const own = (path: string, json?: unknown): Target => ({ path: `/api/v1/${path}`, json });
  const hub = (names: keyof Samples['ids'], path: string): Target => ({ path: `/${path}`, names });
  const openAi = (names: keyof Samples['ids'], path: string, json?: unknown): Target => ({
    path: `/v1/${path}`,
    names,
    json,
  });
  const version = `adapters/${adapter}/versions/1`;
  return {
    'GET /api/v1/me': own('me'),
    'GET /metrics': { path: '/metrics' },
    'GET /api/v1/keys': own('keys'),
    'POST /api/v1/keys': own('keys', { name: 'made', role: 'viewer' }),
    'DELETE /api/v1/keys/:id': of('key', `keys/${key}`),
    // The operator's log names the teams that it has changed.
    'GET /api/v1/audit': { ...own('audit'), tells: [teamId, team] },
    'POST /api/v1/session': { ...own('session', { email, password }), status: 401 },
    // Made with a key, these requests have no session.
    'GET /api/v1/session': { ...own('session'), status: 404 },
    'PUT /api/v1/session': { ...own('session', { team }), status: 404 },
    'PUT /api/v1/session/password': {
      ...own('session/password', { current: password, password }),
      status: 404,
    },
    'DELETE /api/v1/session': { ...own('session'), status: 404 },
    'GET /api/v1/members': own('members'),
    'PATCH /api/v1/members/:id': of('member', `members/${member}`, { role: 'member' }),
    'POST /api/v1/service-accounts': own('service-accounts', { name: `robot of ${email}`, role: 'viewer' }),
    'GET /api/v1/invitations': own('invitations'),
    'POST /api/v1/invitations': own('invitations', { email: `new.${email}`, role: 'viewer' }),
    'POST /api/v1/invitations/accept': {
      ...own('invitations/accept', { token: `lri_${email}`, password }),
      status: 410,
    },
    'GET /api/v1/team': own('team'),
    'PATCH /api/v1/team': own('team', { maxQueued: 1000 }),
    // The operator sees all teams.
    'GET /api/v1/teams': { ...own('teams'), tells: [teamId, team] },
    'POST /api/v1/teams': own('teams', { name: `new-${adapter}`, owner: `owner.${email}` }),
    'GET /api/v1/teams/:id': { ...own(`teams/${teamId}`), tells: [teamId, team] },
    'PATCH /api/v1/teams/:id': { ...own(`teams/${teamId}`, {}), tells: [teamId, team] },
    'GET /api/v1/workers': own('workers'),
    'POST /api/v1/workers/:id/drain': own(`workers/${worker}/drain`, { mode: 'finish' }),
    'POST /api/v1/workers/:id/undrain': own(`workers/${worker}/undrain`),
    'GET /api/v1/base-models': own('base-models'),
    'POST /api/v1/base-models': own('base-models', {
      name: 'new',
      source: { type: 'folder', path: '/none' },
    }),
    'GET /api/v1/base-models/:name': of('baseModel', `base-models/${baseModel}`),
    'GET /api/v1/base-models/:name/files/:path': of(
      'baseModel',
      `base-models/${ids.baseModel}/files/config.json`,
    ),
    'GET /api/v1/files': own('files'),
    'POST /api/v1/files': own('files', {}),
    'GET /api/v1/files/:id': of('dataset', `files/${dataset}`),
    'GET /api/v1/files/:id/preview': of('dataset', `files/${dataset}/preview`),
    'GET /api/v1/files/:id/statistics': of('dataset', `files/${dataset}/statistics`),
    'GET /api/v1/files/:id/content': of('dataset', `files/${dataset}/content`),
    'GET /api/v1/adapters': own('adapters'),
    'GET /api/v1/adapters/:name': of('version', `adapters/${adapter}`),
    'PATCH /api/v1/adapters/:name': of('version', `adapters/${adapter}`, { tags: ['new'] }),
    'GET /api/v1/adapters/:name/card': of('version', `adapters/${adapter}/card`),
    'GET /api/v1/adapters/:name/aliases': of('version', `adapters/${adapter}/aliases`),
    'PUT /api/v1/adapters/:name/aliases/:alias': of('version', `adapters/${adapter}/aliases/new`, {
      version: 'v1',
    }),
    'GET /api/v1/adapters/:name/aliases/:alias/history': of(
      'version',
      `adapters/${adapter}/aliases/prod/history`,
    ),
    'POST /api/v1/adapters/:name/aliases/:alias/rollback': of(
      'version',
      `adapters/${adapter}/aliases/prod/rollback`,
    ),
    'GET /api/v1/adapters/:name/versions': of('version', `adapters/${adapter}/versions`),
    'GET /api/v1/adapters/:name/versions/:version': of('version', version),
    // The alias of the samples is in the way of the first two.
    'DELETE /api/v1/adapters/:name': of('version', `adapters/${adapter}`),
    'DELETE /api/v1/adapters/:name/versions/:version': of('version', version),
    'POST /api/v1/adapters/:name/restore': of('version', `adapters/${adapter}/restore`),
    'POST /api/v1/adapters/:name/versions/:version/restore': of('version', `${version}/restore`),
    'GET /api/v1/adapters/:name/versions/:version/links': of('version', `${version}/links`),
    'GET /api/v1/adapters/:name/versions/:version/lineage': of('version', `${version}/lineage`),
    'GET /api/v1/adapters/:name/versions/:version/diff': of('version', `${version}/diff?to=${adapter}`),
    'GET /api/v1/adapters/:name/versions/:version/files/:path': of(
      'version',
      `${version}/files/adapter_model.safetensors`,
    ),
    'GET /api/v1/adapters/:name/versions/:version/archive': of('version', `${version}/archive`),
    'POST /api/v1/adapters/:name/versions/:version/exports': of('version', `${version}/exports`, {
      format: 'merged',
    }),
    'GET /api/v1/adapters/:name/versions/:version/exports': of('version', `${version}/exports`),
    'GET /api/v1/adapters/:name/versions/:version/exports/:format': of(
      'version',
      `${version}/exports/merged`,
    ),
    'GET /api/v1/adapters/:name/versions/:version/exports/:format/files/:path': of(
      'version',
      `${version}/exports/merged/files/model.safetensors`,
    ),
    'GET /api/v1/adapters/:name/versions/:version/exports/:format/archive': of(
      'version',
      `${version}/exports/merged/archive`,
    ),
    'GET /api/whoami-v2': { path: '/api/whoami-v2' },
    'GET /api/models/:owner/:name': hub('version', `api/models/${team}/${adapter}`),
    'GET /api/models/:owner/:name/revision/:revision': hub(
      'version',
      `api/models/${team}/${adapter}/revision/v1`,
    ),
    'GET /api/models/:owner/:name/tree/:revision': hub(
      'baseModel',
      `api/models/${team}/${baseModel}/tree/main`,
    ),
    'GET /api/models/:owner/:name/tree/:revision/:path': {
      path: `/api/models/${team}/${adapter}/tree/v1/none`,
      status: 404,
    },
    'GET /:owner/:name/resolve/:revision/:path': hub(
      'baseModel',
      `${team}/${baseModel}/resolve/main/config.json`,
    ),
    // Found, and then nobody is there to answer.
    'POST /v1/chat/completions': {
      path: '/v1/chat/completions',
      names: 'version',
      json: { model: `${adapter}@v1`, messages: [{ role: 'user', content: 'x' }] },
      status: 503,
    },
    'POST /v1/completions': {
      path: '/v1/completions',
      names: 'baseModel',
      json: { model: baseModel, prompt: 'x' },
      status: 503,
    },
    'GET /api/v1/jobs': own('jobs'),
    'POST /api/v1/jobs': of('dataset', 'jobs', { ...request, adapter }),
    'POST /api/v1/jobs/combine': of('version', 'jobs/combine', {
      adapter,
      versions: [{ adapter }, { adapter, version: 'v1' }],
    }),
    'POST /api/v1/jobs/estimate': of('dataset', 'jobs/estimate', request),
    'GET /api/v1/jobs/:id': of('job', `jobs/${job}`),
    'GET /api/v1/jobs/:id/events': of('job', `jobs/${job}/events`),
    'GET /api/v1/jobs/:id/logs': of('job', `jobs/${job}/logs`),
    'GET /api/v1/jobs/:id/metrics': of('job', `jobs/${job}/metrics`),
    'GET /api/v1/jobs/:id/stream': of('job', `jobs/${job}/stream`),
    'POST /api/v1/jobs/:id/clone': of('job', `jobs/${job}/clone`, { recipe }),
    'POST /api/v1/jobs/:id/priority': of('job', `jobs/${job}/priority`, { priority: 1 }),
    'POST /api/v1/jobs/:id/pause': of('job', `jobs/${job}/pause`),
    'POST /api/v1/jobs/:id/resume': of('job', `jobs/${job}/resume`),
    'POST /api/v1/jobs/:id/cancel': of('job', `jobs/${job}/cancel`),
    'POST /api/v1/jobs/:id/retry': of('job', `jobs/${job}/retry`),
    'GET /api/v1/sweeps': own('sweeps'),
    'POST /api/v1/sweeps': of('dataset', 'sweeps', {
      ...{ ...request, adapter, space: { 'lora.rank': { values: [8, 16] } } },
      method: { type: 'grid' },
    }),
    'GET /api/v1/sweeps/:id': of('sweep', `sweeps/${sweep}`),
    'POST /api/v1/sweeps/:id/cancel': of('sweep', `sweeps/${sweep}/cancel`),
    'POST /api/v1/sweeps/:id/promote': of('sweep', `sweeps/${sweep}/promote`, { trial: 1 }),
    'GET /api/v1/webhooks': own('webhooks'),
    'POST /api/v1/webhooks': own('webhooks', { url: 'https://made.example/' }),
    'GET /api/v1/webhooks/:id': of('webhook', `webhooks/${webhook}`),
    'PATCH /api/v1/webhooks/:id': of('webhook', `webhooks/${webhook}`, { enabled: false }),
    'POST /api/v1/webhooks/:id/rotate-secret': of('webhook', `webhooks/${webhook}/rotate-secret`),
    'POST /api/v1/webhooks/:id/test': of('webhook', `webhooks/${webhook}/test`),
    'GET /api/v1/webhooks/:id/deliveries': of('webhook', `webhooks/${webhook}/deliveries`),
    'POST /api/v1/webhooks/:id/deliveries/:deliveryId/replay': of(
      'delivery',
      `webhooks/${webhook}/deliveries/${delivery}/replay`,
    ),
    'GET /api/v1/grants': own('grants'),
    'POST /api/v1/grants': of('version', 'grants', { adapter, to: team }),
    'GET /v1/files': { path: '/v1/files' },
    'POST /v1/files': { path: '/v1/files', json: {} },
    'GET /v1/files/:file_id': openAi('dataset', `files/${dataset}`),
    'GET /v1/files/:file_id/content': openAi('dataset', `files/${dataset}/content`),
    'GET /v1/fine_tuning/jobs': { path: '/v1/fine_tuning/jobs' },
    'POST /v1/fine_tuning/jobs': openAi('dataset', 'fine_tuning/jobs', {
      ...{ model: baseModel, training_file: dataset, method: { type: 'dpo' } },
    }),
    'GET /v1/fine_tuning/jobs/:job_id': openAi('job', `fine_tuning/jobs/${job}`),
    'GET /v1/fine_tuning/jobs/:job_id/events': openAi('job', `fine_tuning/jobs/${job}/events`),
    'GET /v1/fine_tuning/jobs/:job_id/checkpoints': openAi('job', `fine_tuning/jobs/${job}/checkpoints`),
    'POST /v1/fine_tuning/jobs/:job_id/pause': openAi('job', `fine_tuning/jobs/${job}/pause`),
    'POST /v1/fine_tuning/jobs/:job_id/resume': openAi('job', `fine_tuning/jobs/${job}/resume`),
    'POST /v1/fine_tuning/jobs/:job_id/cancel': openAi('job', `fine_tuning/jobs/${job}/cancel`),
    'GET /v1/models': { path: '/v1/models' },
    'GET /v1/models/:model': openAi('baseModel', `models/${baseModel}`),
    'GET /v1/models/:owner/:name': openAi('version', `models/${team}/${adapter}@v1`),
    // An alias stands on the version, and a base model is not deleted.
    'DELETE /v1/models/:model': openAi('baseModel', `models/${baseModel}`),
    'DELETE /v1/models/:owner/:name': openAi('version', `models/${team}/${adapter}@v1`),
    // What takes away comes last.
    'DELETE /api/v1/grants/:id': of('grant', `grants/${ids.grant}`),
    'DELETE /api/v1/adapters/:name/aliases/:alias': of('version', `adapters/${adapter}/aliases/prod`),
    'DELETE /api/v1/members/:id': of('member', `members/${member}`),
    'DELETE /api/v1/invitations/:id': of('invitation', `invitations/${invitation}`),
    'DELETE /api/v1/webhooks/:id': of('webhook', `webhooks/${webhook}`),
    'DELETE /api/v1/files/:id': of('dataset', `files/${dataset}`),
    'DELETE /v1/files/:file_id': openAi('secondDataset', `files/${ids.secondDataset}`),
  };
}
