import { type Samples } from './samples';

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
    // Made with a key of the team, these requests are no member's.
    'GET /api/v1/me/keys': { ...own('me/keys'), status: 404 },
    'POST /api/v1/me/keys': { ...own('me/keys', { name: 'mine' }), status: 404 },
    'DELETE /api/v1/me/keys/:id': { ...own(`me/keys/${key}`), status: 404 },
    'POST /api/v1/me/leave': { ...own('me/leave'), status: 404 },
    // Made with a key, these requests have no session.
    'GET /api/v1/me/sessions': { ...own('me/sessions'), status: 404 },
    'DELETE /api/v1/me/sessions': { ...own('me/sessions'), status: 404 },
    'DELETE /api/v1/me/sessions/:id': { ...own(`me/sessions/ses_${'a'.repeat(24)}`), status: 404 },
    'GET /api/v1/audit/accounts': own('audit/accounts'),
    'POST /api/v1/password-resets/use': {
      ...own('password-resets/use', { token: `lrr_${email}`, password }),
      status: 410,
    },
    'GET /api/v1/keys': own('keys'),
    'POST /api/v1/keys': own('keys', { name: 'made', role: 'viewer' }),
    'DELETE /api/v1/keys/:id': of('key', `keys/${key}`),
    // The operator's log names the teams that it has changed.
    'GET /api/v1/audit': { ...own('audit'), tells: [teamId, team] },
    'GET /api/v1/usage': own('usage'),
    'GET /api/v1/usage/teams': own('usage/teams?by=day,model'),
    'POST /api/v1/session': { ...own('session', { email, password }), status: 401 },
    'POST /api/v1/session/key': { ...own('session/key', { key: `lrk_${email}` }), status: 401 },
    'GET /api/v1/session': { ...own('session'), status: 404 },
    'PUT /api/v1/session': { ...own('session', { team }), status: 404 },
    'PUT /api/v1/session/password': {
      ...own('session/password', { current: password, password }),
      status: 404,
    },
    'DELETE /api/v1/session': { ...own('session'), status: 404 },
    'GET /api/v1/members': own('members'),
    'PATCH /api/v1/members/:id': of('member', `members/${member}`, { role: 'member' }),
    'POST /api/v1/members/:id/password-reset': of('member', `members/${member}/password-reset`),
    'POST /api/v1/service-accounts': own('service-accounts', { name: `robot of ${email}`, role: 'viewer' }),
    'GET /api/v1/invitations': own('invitations'),
    'POST /api/v1/invitations': own('invitations', { email: `new.${email}`, role: 'viewer' }),
    'POST /api/v1/invitations/accept': {
      ...own('invitations/accept', { token: `lri_${email}`, password }),
      status: 410,
    },
    'GET /api/v1/overview': own('overview'),
    'GET /api/v1/overview/stream': own('overview/stream'),
    // The operator sees whose jobs wait and run, not what they are about.
    'GET /api/v1/platform/overview': { ...own('platform/overview'), tells: [teamId, team] },
    'GET /api/v1/platform/queue': { ...own('platform/queue'), tells: [teamId, team, job] },
    'GET /api/v1/platform/services': own('platform/services'),
    'GET /api/v1/platform/settings': own('platform/settings'),
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
    'POST /api/v1/uploads': own('uploads', { filename: `${adapter}.jsonl`, bytes: 1 }),
    'GET /api/v1/uploads/:id': of('upload', `uploads/${ids.upload}`),
    'POST /api/v1/uploads/:id/parts': of('upload', `uploads/${ids.upload}/parts`, { numbers: [1] }),
    'PUT /api/v1/uploads/:id/parts/:number': of('upload', `uploads/${ids.upload}/parts/1`),
    'POST /api/v1/uploads/:id/complete': of('upload', `uploads/${ids.upload}/complete`),
    'POST /api/v1/files/import': own('files/import', { url: 'http://127.0.0.1/' }),
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
    'POST /api/v1/adapters/:name/versions': own(`adapters/${adapter}/versions`, {}),
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
    'GET /api/v1/adapters/:name/versions/:version/exports/:format/links': of(
      'version',
      `${version}/exports/merged/links`,
    ),
    'GET /api/v1/adapters/:name/versions/:version/exports/:format/files/:path': of(
      'version',
      `${version}/exports/merged/files/model.safetensors`,
    ),
    'GET /api/v1/adapters/:name/versions/:version/exports/:format/archive': of(
      'version',
      `${version}/exports/merged/archive`,
    ),
    'POST /api/v1/adapters/:name/versions/:version/evaluations': of('version', `${version}/evaluations`, {
      alias: 'gated',
    }),
    'GET /api/v1/adapters/:name/versions/:version/evaluations': of('version', `${version}/evaluations`),
    'GET /api/v1/pins': own('pins'),
    // Found, and then there is no server to keep it.
    'PUT /api/v1/adapters/:name/pins/:ref': { ...of('version', `adapters/${adapter}/pins/v1`), status: 503 },
    'DELETE /api/v1/adapters/:name/pins/:ref': of('version', `adapters/${adapter}/pins/pinned`),
    'POST /api/v1/adapters/:name/versions/:version/prefetch': {
      ...of('version', `${version}/prefetch`, {}),
      status: 503,
    },
    'GET /api/v1/adapters/:name/gates': of('version', `adapters/${adapter}/gates`),
    'PUT /api/v1/adapters/:name/gates/:alias': of('version', `adapters/${adapter}/gates/gated`, {
      ...{ dataset: ids.secondDataset, checks: [{ measure: { metric: 'loss' }, threshold: 1 }] },
    }),
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
    'GET /api/models/:name': hub('baseModel', `api/models/${baseModel}`),
    'GET /api/models/:name/revision/:revision': hub('baseModel', `api/models/${baseModel}/revision/main`),
    'GET /api/models/:name/tree/:revision': hub('baseModel', `api/models/${baseModel}/tree/main`),
    'GET /:name/resolve/:revision/:path': hub('baseModel', `${baseModel}/resolve/main/config.json`),
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
    // Of several jobs none is the team's.
    'POST /api/v1/jobs/retry': of('job', 'jobs/retry', { jobs: [job] }),
    'POST /api/v1/jobs/estimate': of('dataset', 'jobs/estimate', request),
    'GET /api/v1/jobs/curves': own(`jobs/curves?jobs=${job}`),
    'GET /api/v1/jobs/:id': of('job', `jobs/${job}`),
    'GET /api/v1/jobs/:id/checkpoints': of('job', `jobs/${job}/checkpoints`),
    // None is kept of that step.
    'POST /api/v1/jobs/:id/checkpoints/:step/promote': {
      ...of('job', `jobs/${job}/checkpoints/7/promote`),
      status: 404,
    },
    'GET /api/v1/jobs/:id/metrics/columns': of('job', `jobs/${job}/metrics/columns`),
    'GET /api/v1/jobs/:id/samples': of('job', `jobs/${job}/samples`),
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
    'DELETE /api/v1/adapters/:name/gates/:alias': of('version', `adapters/${adapter}/gates/gated`),
    'DELETE /api/v1/adapters/:name/aliases/:alias': of('version', `adapters/${adapter}/aliases/prod`),
    'DELETE /api/v1/members/:id': of('member', `members/${member}`),
    'DELETE /api/v1/invitations/:id': of('invitation', `invitations/${invitation}`),
    'DELETE /api/v1/webhooks/:id': of('webhook', `webhooks/${webhook}`),
    'DELETE /api/v1/uploads/:id': of('upload', `uploads/${ids.upload}`),
    'DELETE /api/v1/files/:id': of('dataset', `files/${dataset}`),
    'DELETE /v1/files/:file_id': openAi('secondDataset', `files/${ids.secondDataset}`),
  };
}
