import { type Job, type Page, type Sweep, type SweepWithTrials } from '@lowrank/contracts';
import { createApiKey, endAttempt, reportMetrics } from '@lowrank/domain';
import { TestApi } from '../test/api';
import { metric, publish, startAttempt } from '../test/job';

let api: TestApi;
let dataset: string;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
  dataset = (await api.upload()).id;
});
afterAll(() => api.close());

const body = (overrides: Record<string, unknown> = {}) => ({
  baseModel: 'tiny',
  dataset,
  adapter: 'swept',
  recipe: { training: { sequenceLength: 64, steps: 10 } },
  space: { 'lora.rank': { values: [2, 4] } },
  method: { type: 'grid' },
  ...overrides,
});
const submit = (overrides?: Record<string, unknown>) =>
  api.call<SweepWithTrials>('POST', '/api/v1/sweeps', 201, { json: body(overrides) });
const read = (id: string) => api.call<SweepWithTrials>('GET', `/api/v1/sweeps/${id}`, 200);
const jobOf = ({ trials }: SweepWithTrials, trial: number) =>
  api.call<Job>('GET', `/api/v1/jobs/${trials[trial - 1]?.jobId}`, 200);
const finish = async (sweep: SweepWithTrials, trial: number, loss: number) =>
  publish(
    api,
    await startAttempt(api, await jobOf(sweep, trial)),
    { [`${trial}.json`]: Buffer.from('{}') },
    loss,
  );

describe('submitting', () => {
  it('queues a job a trial, which name the sweep', async () => {
    const sweep = await submit({ priority: 3, maxConcurrent: 2 });
    expect(sweep).toMatchObject({
      state: 'running',
      space: { 'lora.rank': { values: [2, 4] } },
      method: { type: 'grid' },
      recipe: { training: { sequenceLength: 64, steps: 10 } },
      maxConcurrent: 2,
      trialCount: 2,
      finishedCount: 0,
    });
    expect(await read(sweep.id)).toEqual(sweep);
    expect(await jobOf(sweep, 2)).toMatchObject({
      state: 'queued',
      priority: 3,
      adapter: 'swept',
      recipe: { lora: { rank: 4, alpha: 8 } },
      sweep: { id: sweep.id, trial: 2 },
    });
    const jobs = await api.call<Page<Job>>('GET', `/api/v1/jobs?sweep=${sweep.id}`, 200);
    expect(jobs.data.map(({ sweep: one }) => one?.trial).sort()).toEqual([1, 2]);
  });

  it.each([
    [{ space: {} }, 400, 'space', 'needs 1 to 16 fields'],
    [
      { space: { 'lora.rank': { values: [8, 600] } } },
      422,
      'space.lora.rank',
      'trial 2 (lora.rank=600): Too big',
    ],
    [{ space: { 'lora.width': { values: [8] } } }, 422, 'space.lora.width', 'is no field of a recipe'],
    [{ space: { 'lora.targets': { values: [['nothing']] } } }, 422, 'space.lora.targets.0', 'trial 1 ('],
    [{ recipe: { evaluation: { fraction: 0 } } }, 422, 'recipe.evaluation.fraction', 'held-out'],
    [{ method: { type: 'random', trials: 257 } }, 400, 'method.trials', '256'],
    [{ method: { type: 'bayes' } }, 400, 'method.type', ''],
    [{ baseModel: 'none' }, 404, 'baseModel', 'no such base model'],
  ])('of %j answers %d and says what is wrong', async (overrides, status, path, message) => {
    const refusal = await api.refusal('POST', '/api/v1/sweeps', { json: body(overrides) });
    expect(refusal).toMatchObject({ status });
    expect(refusal.details).toContainEqual({ path, message: expect.stringContaining(message) });
  });

  it('may be done by a member', async () => {
    await api.call('POST', '/api/v1/sweeps', 201, { json: body(), key: api.memberKey });
  });

  it('takes as many trials as there may be', async () => {
    const range = { min: 1e-5, max: 1e-2, scale: 'log' };
    const sweep = await submit({
      space: { 'optimizer.learningRate': range },
      method: { type: 'random', trials: 256 },
    });
    expect(sweep.trials.map(({ number }) => number)).toEqual(Array.from({ length: 256 }, (_, i) => i + 1));
    const again = await submit({
      space: { 'optimizer.learningRate': range },
      method: { type: 'random', trials: 256 },
    });
    const drawn = ({ trials }: SweepWithTrials) => trials.map(({ parameters }) => parameters);
    expect(drawn(again)).toEqual(drawn(sweep));
    for (const { id } of [sweep, again])
      expect(await api.call('POST', `/api/v1/sweeps/${id}/cancel`, 200)).toMatchObject({
        state: 'cancelled',
      });
    // 512 jobs are made and cancelled one after the other.
  }, 120_000);
});

it('lists sweeps newest first, by pages and by state', async () => {
  const ids = [(await submit()).id, (await submit()).id].reverse();
  const list = (query: string) => api.call<Page<Sweep>>('GET', `/api/v1/sweeps?${query}`, 200);
  const first = await list('limit=1');
  expect(first).toMatchObject({ data: [{ id: ids[0], trialCount: 2 }], hasMore: true });
  expect(first.data[0]).not.toHaveProperty('trials');
  expect((await list(`limit=1&after=${ids[0]}`)).data.map(({ id }) => id)).toEqual([ids[1]]);
  expect((await list('state=failed')).data).toEqual([]);
});

it('publishes the best trial when all are over, and another one when it is asked to', async () => {
  const sweep = await submit({ adapter: 'best' });
  const early = { json: { trial: 1 } };
  expect(await api.refusal('POST', `/api/v1/sweeps/${sweep.id}/promote`, early)).toMatchObject({
    status: 409,
    code: 'illegal_transition',
  });
  await finish(sweep, 2, 1.25);
  expect(await api.call('GET', '/api/v1/adapters/best', 200)).toMatchObject({ latestVersion: null });
  await finish(sweep, 1, 1.5);
  expect(await read(sweep.id)).toMatchObject({
    state: 'succeeded',
    promoted: { trial: 2, version: 1 },
    trials: [
      { state: 'succeeded', result: { loss: 1.5 }, version: null },
      { state: 'succeeded', result: { loss: 1.25 }, version: 1 },
    ],
  });
  expect(await api.call('GET', '/api/v1/adapters/best/versions/1', 200)).toMatchObject({
    jobId: sweep.trials[1]?.jobId,
    recipe: { lora: { rank: 4 } },
    metrics: { evalLossAfter: 1.25 },
  });
  expect(await api.call('POST', `/api/v1/sweeps/${sweep.id}/promote`, 200, early)).toMatchObject({
    promoted: { trial: 1, version: 2 },
  });
  expect(
    await api.refusal('POST', `/api/v1/sweeps/${sweep.id}/promote`, { json: { trial: 3 } }),
  ).toMatchObject({ status: 404, details: [{ path: 'trial' }] });
});

it('has one version when the last trials end at the same time', async () => {
  const sweep = await submit({ adapter: 'race', space: { 'lora.rank': { values: [1, 2, 3, 4, 5, 6] } } });
  await Promise.all(sweep.trials.map(({ number }) => finish(sweep, number, 2 - number / 10)));
  expect(await read(sweep.id)).toMatchObject({ state: 'succeeded', promoted: { trial: 6, version: 1 } });
  const { data } = await api.call<{ data: unknown[] }>('GET', '/api/v1/adapters/race/versions', 200);
  expect(data).toHaveLength(1);
});

it('stops trials that report at the same time one after the other, and keeps what they reported', async () => {
  const sweep = await submit({
    space: { 'optimizer.learningRate': { min: 1e-5, max: 1e-2, scale: 'log' } },
    method: { type: 'asha', trials: 6, minimum: 0.5, reduction: 3 },
  });
  const attempts = await Promise.all(
    sweep.trials.map(async ({ number }) => startAttempt(api, await jobOf(sweep, number))),
  );
  await Promise.all(
    attempts.map((attempt, i) =>
      reportMetrics(api.ports, attempt, {
        metrics: [{ ...metric(5, 'eval'), loss: 1 + i / 10 }],
        trainedTokens: 5,
      }),
    ),
  );
  const { trials } = await read(sweep.id);
  // The best is never stopped. Which of the others are depends on the order in which they came.
  expect(trials[0]?.stoppedEarly).toBeNull();
  const stopped = trials.filter(({ stoppedEarly }) => stoppedEarly !== null);
  expect(stopped.length).toBeGreaterThan(0);
  for (const { jobId, stoppedEarly, number } of stopped) {
    expect(stoppedEarly).toMatchObject({ rung: 0, step: 5, value: 1 + (number - 1) / 10 });
    expect(stoppedEarly?.needed).toBeLessThan(stoppedEarly?.value as number);
    const attempt = attempts[number - 1];
    if (attempt) await endAttempt(api.ports, attempt, { type: 'cancelled' });
    expect(await api.call('GET', `/api/v1/jobs/${jobId}`, 200)).toMatchObject({
      state: 'cancelled',
      stoppedEarly,
    });
    expect(await api.call('GET', `/api/v1/jobs/${jobId}/metrics`, 200)).toMatchObject({
      data: [{ step: 5, kind: 'eval' }],
    });
    const events = await api.call<Page<{ message: string }>>('GET', `/api/v1/jobs/${jobId}/events`, 200);
    expect(events.data.map(({ message }) => message).join('\n')).toMatch(
      /Stopped early at rung 0 \(step 5\)/,
    );
  }
});

it("is nobody else's", async () => {
  const { id } = await submit();
  const other = await api.ports.unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('other'));
  const { secret: key } = await createApiKey(api.ports, other, { name: 'other', role: 'admin' });
  expect(await api.refusal('GET', `/api/v1/sweeps/${id}`, { key })).toMatchObject({ status: 404 });
  expect(await api.refusal('POST', `/api/v1/sweeps/${id}/cancel`, { key })).toMatchObject({ status: 404 });
  expect(
    await api.refusal('POST', `/api/v1/sweeps/${id}/promote`, { key, json: { trial: 1 } }),
  ).toMatchObject({ status: 404 });
  expect(await api.call('GET', '/api/v1/sweeps', 200, { key })).toEqual({ data: [], hasMore: false });
});
