import { type Webhook } from '@lowrank/contracts';
import {
  beginUpload,
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
  makeEvaluationManifest,
  makeExportManifest,
  makeGate,
  makeJob,
  makeManifest,
  makeWorker,
  putInState,
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
    | 'upload'
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
  const baseModel = makeBaseModel({
    ...{ name: `base-${mark}`, source: `base-${mark}` },
    files: [{ path: 'config.json', ...file }],
  });
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
  await unitOfWork.run(async (repositories) => {
    const { baseModels, datasets, adapters, evaluations, exports, gates, jobs, pins, sweeps, workers } =
      repositories;
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
    await putInState(jobs, done.id, 'publishing');
    await adapters.publish(teamId, { id: ids.version, manifest, at: createdAt });
    await exports.publish(
      teamId,
      makeExportManifest(done, ids.version, { files: [{ path: 'model.safetensors', ...file }] }),
      createdAt,
    );
    const gate = makeGate(secondDataset, { adapter, alias: 'gated' });
    await evaluations.publish(teamId, makeEvaluationManifest(done, ids.version), {
      ...{ dataset: gate.dataset, limits: gate.limits, move: null, at: createdAt },
    });
    await gates.put(teamId, gate);
    await pins.put(teamId, { adapter, ref: 'pinned', createdAt, createdBy: mark });
    await sweeps.insert(teamId, {
      ...{ id: ids.sweep, baseModel: base, dataset: data, adapter, createdAt, recipe: {}, space: {} },
      ...{ method: { type: 'grid' }, metric: 'loss', maxConcurrent: null, validationDataset: null },
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
  const upload = await beginUpload(
    { ...api.ports, store: api.store },
    teamId,
    { filename: `parts-${mark}.jsonl`, bytes: 1 },
    1,
  );
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
    evaluations,
    gates,
    jobs,
    pins,
    sweeps,
    webhooks,
    members,
    invitations,
    grants,
    uploads,
  }: Repositories) => [
    await adapters.find(teamId, adapter),
    await aliases.moves(teamId, adapter, 'prod', { limit: 200 }),
    await evaluations.list(teamId, adapter, 1),
    await gates.list(teamId, adapter),
    await pins.list(teamId),
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
    (await uploads.list(teamId)).filter(({ id }) => id === upload.id),
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
      upload: upload.id,
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
      upload.id,
      mark,
    ],
    state: () => unitOfWork.run(stored),
  };
}
