import { type AliasMove, type Evaluation, type Gate, type JobDetail } from '@lowrank/contracts';
import { createApiKey, publishEvaluation, reportPhase } from '@lowrank/domain';
import { TestApi } from '../test/api';
import { publish, startAttempt, submit } from '../test/job';

const adapter = '/api/v1/adapters/captain';
const schema = { type: 'object', required: ['answer'] };

let api: TestApi;
let dataset: string;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
  for (let i = 0; i < 2; i++)
    await publish(api, await startAttempt(api, await submit(api)), {
      'adapter_model.safetensors': Buffer.from('a'),
    });
  dataset = (await api.upload()).id;
});
afterAll(() => api.close());

const gate = () => ({
  dataset,
  checks: [
    { measure: { metric: 'loss' }, threshold: 1.5 },
    { measure: { metric: 'json-schema', schema }, threshold: 0.9 },
  ],
  limits: { maxRows: 10 },
});
const evaluate = (version: string, json: unknown, key?: string) =>
  api.call<JobDetail>('POST', `${adapter}/versions/${version}/evaluations`, 201, { json, key });
/** What a worker does with the job, which comes to this share of answers. */
async function finish(job: JobDetail, share: number): Promise<void> {
  const { work } = job;
  if (work.kind !== 'evaluate') throw new Error('no evaluation');
  const attempt = await startAttempt(api, job);
  await reportPhase(api.ports, attempt, 'publishing');
  const failures = [{ row: 2, answer: '{}', problem: 'Instance does not have required property "answer".' }];
  const results = work.settings.measures.map((measure) =>
    measure.metric === 'loss'
      ? { measure, value: 1.25, count: 90, failures: [] }
      : { measure, value: share, count: 10, failures },
  );
  const version = work.version.id;
  await publishEvaluation(api.ports, attempt, {
    format: 1,
    ...attempt,
    versionId: version,
    rows: 10,
    results,
  });
}
const move = (version: string) => api.refusal('PUT', `${adapter}/aliases/prod`, { json: { version } });

it('keeps an alias from versions that have not passed, until one has', async () => {
  const set = await api.call<Gate>('PUT', `${adapter}/gates/prod`, 200, { json: gate() });
  expect(set).toMatchObject({
    ...{ alias: 'prod', dataset: { id: dataset }, limits: { maxRows: 10, maxTokens: 256 } },
    checks: [{ direction: 'at-most' }, { direction: 'at-least' }],
  });
  expect(await api.call('GET', `${adapter}/gates`, 200)).toEqual({ data: [set] });
  expect(await move('v1')).toMatchObject({
    ...{ status: 409, code: 'gate_not_passed' },
    details: [
      { path: 'checks.0', message: 'loss is not measured, needed is at most 1.5' },
      { path: 'checks.1', message: 'json-schema is not measured, needed is at least 0.9' },
    ],
  });
  const job = await evaluate('v1', { alias: 'prod', priority: 3 });
  expect(job).toMatchObject({ state: 'queued', priority: 3, work: { kind: 'evaluate', move: null } });
  await finish(job, 0.95);
  const { data } = await api.call<{ data: Evaluation[] }>('GET', `${adapter}/versions/v1/evaluations`, 200);
  expect(data).toMatchObject([{ jobId: job.id, rows: 10, results: [{ value: 1.25 }, { value: 0.95 }] }]);
  await api.call('PUT', `${adapter}/aliases/prod`, 200, { json: { version: 'v1' } });
});

it('moves it with the end of an evaluation, for who may move it', async () => {
  const moving = { alias: 'prod', move: true };
  await finish(await evaluate('v2', moving), 0.5);
  expect(await move('v2')).toMatchObject({
    status: 409,
    message: expect.stringContaining('0.5, needed') as string,
  });
  await finish(await evaluate('v2', moving, api.memberKey), 1);
  expect(await api.call('GET', `${adapter}/aliases`, 200)).toMatchObject({ data: [{ version: 2 }] });
  await api.call('POST', `${adapter}/aliases/prod/rollback`, 200);
  const { data } = await api.call<{ data: AliasMove[] }>('GET', `${adapter}/aliases/prod/history`, 200);
  expect(data.map(({ action, to, gate }) => `${action} ${to} ${gate}`)).toEqual([
    'rollback 1 stood-before',
    'move 2 passed',
    'move 1 passed',
  ]);
  const scopes = ['jobs:write', 'adapters:read'] as const;
  const key = await createApiKey(api.ports, api.teamId, {
    name: 'jobs',
    role: 'member',
    scopes: [...scopes],
  });
  const path = `${adapter}/versions/v2/evaluations`;
  expect(await api.refusal('POST', path, { json: moving, key: key.secret })).toMatchObject({
    code: 'forbidden',
  });
  await evaluate('v2', { alias: 'prod' }, key.secret);
});

it('is for admins to set, and keeps its dataset', async () => {
  const forbidden = await api.refusal('PUT', `${adapter}/gates/prod`, { json: gate(), key: api.memberKey });
  expect(forbidden).toMatchObject({ status: 403, code: 'forbidden' });
  expect(await api.refusal('DELETE', `/api/v1/files/${dataset}`)).toMatchObject({ code: 'in_use' });
  await api.call('DELETE', `${adapter}/gates/prod`, 204);
  await api.call('DELETE', `${adapter}/gates/prod`, 404);
  await api.call('PUT', `${adapter}/aliases/prod`, 200, { json: { version: 'v2' } });
});

it('tells two versions apart by what both were measured by', async () => {
  const diff = await api.call<{ evaluations: unknown[] }>(
    'GET',
    `${adapter}/versions/v1/diff?to=captain@v2`,
    200,
  );
  expect(diff.evaluations).toMatchObject([
    { measure: { metric: 'loss' }, from: 1.25, to: 1.25, change: 0 },
    { measure: { metric: 'json-schema' }, from: 0.95, to: 1 },
  ]);
});

it('says what is wrong with a measure', async () => {
  const json = { dataset, measures: [{ metric: 'regex', pattern: '(' }] };
  const refused = await api.refusal('POST', `${adapter}/versions/v1/evaluations`, { json });
  expect(refused).toMatchObject({ status: 400, details: [{ path: 'measures.0.pattern' }] });
});
