import {
  type Job,
  type JobEvent,
  type JobLogLine,
  type JobMetric,
  jobStreamSchema,
  type JobStreamItem,
} from '@lowrank/contracts';
import { endAttempt, reportCheckpoint, reportLog, reportMetrics, reportPlan } from '@lowrank/domain';
import { TestApi } from '../test/api';
import { metric, publish, startAttempt, submit } from '../test/job';

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
});
afterAll(() => api.close());

const get = <T>(path: string) => api.call<T>('GET', `/api/v1/jobs/${path}`, 200);
const files = { 'adapter_config.json': Buffer.from('{}') };

describe('submitting', () => {
  it('queues a job with its whole recipe, its first event and its wake-up', async () => {
    const job = await submit(api, { recipe: { lora: { rank: 8 }, training: { sequenceLength: 64 } } });
    expect(job).toMatchObject({
      state: 'queued',
      epoch: 1,
      adapter: 'captain',
      step: 0,
      recipe: {
        lora: { rank: 8, alpha: 16 },
        optimizer: { learningRate: 2e-4 },
        training: { sequenceLength: 64 },
      },
    });
    expect(await get(job.id)).toEqual(job);
    expect(await get(`${job.id}/events`)).toMatchObject({
      data: [{ seq: 1, type: 'state', state: 'queued' }],
      hasMore: false,
    });
    const waiting = await api.ports.unitOfWork.run(({ outbox }) => outbox.take(100));
    expect(waiting.map(({ wakeUp }) => wakeUp)).toContainEqual({ jobId: job.id, epoch: 1, workerId: null });
    expect(await api.call('GET', '/api/v1/adapters/captain', 200)).toMatchObject({
      baseModel: 'tiny',
      latestVersion: null,
    });
  });

  it('may be done by a member', async () => {
    const { id: dataset } = await api.upload();
    const json = {
      baseModel: 'tiny',
      dataset,
      adapter: 'mine',
      recipe: { training: { sequenceLength: 32 } },
    };
    await api.call('POST', '/api/v1/jobs', 201, { json, key: api.memberKey });
  });
});

describe('listing', () => {
  it('is newest first, by pages, by state and by adapter', async () => {
    const jobs = [];
    for (let i = 0; i < 3; i++) jobs.push(await submit(api, { adapter: 'listed' }));
    const ids = jobs.map((job) => job.id).reverse();
    const list = async (query: string) => {
      const { data, hasMore } = await api.call<{ data: Job[]; hasMore: boolean }>(
        'GET',
        `/api/v1/jobs?adapter=listed&${query}`,
        200,
      );
      return [data.map((job) => job.id), hasMore];
    };
    expect(await list('limit=2')).toEqual([ids.slice(0, 2), true]);
    expect(await list(`limit=2&after=${ids[1]}`)).toEqual([ids.slice(2), false]);
    await api.call('POST', `/api/v1/jobs/${ids[0]}/cancel`, 200);
    expect(await list('state=cancelled')).toEqual([ids.slice(0, 1), false]);
    expect(await list('state=running')).toEqual([[], false]);
  });
});

describe('cancelling', () => {
  it('ends a waiting job and marks a running one', async () => {
    const waiting = await submit(api);
    expect(await api.call('POST', `/api/v1/jobs/${waiting.id}/cancel`, 200)).toMatchObject({
      state: 'cancelled',
    });
    expect(await api.refusal('POST', `/api/v1/jobs/${waiting.id}/cancel`)).toMatchObject({
      status: 409,
      code: 'illegal_transition',
    });
    const running = await submit(api);
    const attempt = await startAttempt(api, running);
    expect(await api.call('POST', `/api/v1/jobs/${running.id}/cancel`, 200)).toMatchObject({
      state: 'running',
      cancelRequested: true,
    });
    await endAttempt(api.ports, attempt, { type: 'cancelled' });
    expect(await get(running.id)).toMatchObject({ state: 'cancelled', finishedAt: expect.any(String) });
  });
});

describe('control', () => {
  const post = <T = Job>(id: string, action: string, json?: unknown, status = 200) =>
    api.call<T>('POST', `/api/v1/jobs/${id}/${action}`, status, json === undefined ? {} : { json });

  it('pauses and resumes a waiting job and one that trains', async () => {
    const waiting = await submit(api);
    expect(await post(waiting.id, 'pause')).toMatchObject({ state: 'paused', epoch: 1 });
    expect(await post(waiting.id, 'resume')).toMatchObject({ state: 'queued', epoch: 2 });

    const running = await submit(api);
    const attempt = await startAttempt(api, running);
    expect(await post(running.id, 'pause')).toMatchObject({ state: 'running', pauseRequested: true });
    await endAttempt(api.ports, attempt, { type: 'drained' });
    expect(await get(running.id)).toMatchObject({ state: 'paused', pauseRequested: false });
    expect(await post(running.id, 'resume')).toMatchObject({ state: 'queued', epoch: 2 });
  });

  it('retries a cancelled job', async () => {
    const job = await submit(api);
    await post(job.id, 'cancel');
    expect(await post(job.id, 'retry')).toMatchObject({ state: 'queued', epoch: 2, finishedAt: null });
  });

  it('clones with changes to fields of the recipe', async () => {
    const job = await submit(api, {
      priority: 4,
      recipe: { lora: { rank: 8 }, training: { sequenceLength: 64 } },
    });
    const copy = await post(job.id, 'clone', { adapter: 'mate', recipe: { lora: { rank: 4 } } }, 201);
    expect(copy).toMatchObject({ adapter: 'mate', clonedFrom: job.id, priority: 4, dataset: job.dataset });
    expect(copy.recipe).toEqual({ ...job.recipe, lora: { ...job.recipe.lora, rank: 4 } });
    expect(await post(job.id, 'clone', {}, 201)).toMatchObject({ adapter: 'captain', recipe: job.recipe });
    for (const [json, status, code] of [
      [{ recipe: { lora: { rank: -1 } } }, 422, 'recipe_invalid'],
      [{ colour: 'red' }, 400, 'validation_failed'],
    ] as const)
      expect(await api.refusal('POST', `/api/v1/jobs/${job.id}/clone`, { json })).toMatchObject({
        status,
        code,
      });
  });

  it('changes the priority, within bounds', async () => {
    const { id } = await submit(api);
    expect(await post(id, 'priority', { priority: 100 })).toMatchObject({ priority: 100 });
    expect(
      await api.refusal('POST', `/api/v1/jobs/${id}/priority`, { json: { priority: 101 } }),
    ).toMatchObject({
      status: 400,
      code: 'validation_failed',
    });
  });

  it.each(['resume', 'retry'])('refuses to %s a waiting job, and says what is possible', async (action) => {
    const { id } = await submit(api);
    const refusal = await api.refusal('POST', `/api/v1/jobs/${id}/${action}`);
    expect(refusal).toMatchObject({ status: 409, code: 'illegal_transition' });
    expect(refusal.message).toMatch(/is queued; .*possible now: cancel, pause, prioritize, clone/);
  });

  it('takes a placement, times and a priority with the job', async () => {
    const when = { notBefore: '2100-01-01T00:00:00.000Z', deadline: '2100-01-02T00:00:00.000Z' };
    const placement = { deviceClasses: ['h100'], memoryBytes: 2 ** 35 };
    expect(await submit(api, { ...when, placement, priority: -5 })).toMatchObject({
      ...when,
      placement,
      priority: -5,
    });
    const { id: dataset } = await api.upload();
    const json = { baseModel: 'tiny', dataset, adapter: 'late', deadline: '2020-01-01T00:00:00Z' };
    expect(await api.refusal('POST', '/api/v1/jobs', { json })).toMatchObject({ code: 'deadline_exceeded' });
  });
});

describe('quotas', () => {
  it('are shown to members, changed by admins, and hold', async () => {
    const quotas = { weight: 2, maxRunning: 3, maxQueued: 0, deviceSecondsPerMonth: null };
    const json = { weight: 2, maxRunning: 3, maxQueued: 0 };
    expect(await api.call('PATCH', '/api/v1/team', 200, { json })).toMatchObject(quotas);
    expect(await api.call('GET', '/api/v1/team', 200, { key: api.memberKey })).toMatchObject({
      ...quotas,
      id: api.teamId,
      deviceSecondsUsed: expect.any(Number),
    });
    const { id: dataset } = await api.upload();
    const job = {
      baseModel: 'tiny',
      dataset,
      adapter: 'captain',
      recipe: { training: { sequenceLength: 64 } },
    };
    expect(await api.refusal('POST', '/api/v1/jobs', { json: job })).toMatchObject({
      status: 429,
      code: 'quota_exceeded',
    });
    await api.call('PATCH', '/api/v1/team', 200, { json: { weight: 1, maxRunning: null, maxQueued: null } });
    const refused = await api.refusal('PATCH', '/api/v1/team', { json, key: api.memberKey });
    expect(refused).toMatchObject({ status: 403, code: 'forbidden' });
    expect(await api.refusal('PATCH', '/api/v1/team', { json: { weight: 0 } })).toMatchObject({
      status: 400,
    });
  });
});

describe('following', () => {
  it('pages through events and metrics, ending at whole steps', async () => {
    const job = await submit(api);
    const attempt = await startAttempt(api, job);
    const metrics = [
      metric(0, 'eval'),
      ...[1, 2, 3, 4].flatMap((step) => [metric(step), metric(step, 'eval')]),
    ];
    await reportMetrics(api.ports, attempt, { metrics, trainedTokens: 100 });

    const seenMetrics: JobMetric[] = [];
    let afterStep: number | undefined;
    for (let more = true; more;) {
      const query = `limit=4${afterStep === undefined ? '' : `&afterStep=${afterStep}`}`;
      const page = await get<{ data: JobMetric[]; hasMore: boolean }>(`${job.id}/metrics?${query}`);
      seenMetrics.push(...page.data);
      afterStep = page.data.at(-1)?.step;
      more = page.hasMore;
    }
    const byKey = (a: JobMetric, b: JobMetric) => a.step - b.step || a.kind.localeCompare(b.kind);
    expect(seenMetrics).toEqual(metrics.sort(byKey));

    const all = await get<{ data: JobEvent[] }>(`${job.id}/events`);
    expect(all.data.map((event) => event.seq)).toEqual([1, 2, 3, 4]);
    expect(await get(`${job.id}/events?after=1&limit=2`)).toEqual({
      data: all.data.slice(1, 3),
      hasMore: true,
    });
  });

  it('streams a run, crash and resumption included, to its end', async () => {
    const job = await submit(api);
    const stream = read(`/api/v1/jobs/${job.id}/stream`);
    const attempt = await startAttempt(api, job, 4);
    const train = (steps: number[], to = attempt) =>
      reportMetrics(api.ports, to, { metrics: steps.map((step) => metric(step)), trainedTokens: 10 });
    await train([1, 2]);
    await reportCheckpoint(api.ports, attempt, { step: 2, sha256: 'c'.repeat(64) });
    await train([3]);
    await seen(stream.items, (item) => item.event === 'metric' && item.data.step === 3);

    const again = await endAttempt(api.ports, attempt, { type: 'crashed', message: 'killed.' });
    const second = await startAttempt(api, { ...job, epoch: again?.epoch ?? 0 }, 4);
    await reportPlan(api.ports, second, { totalSteps: 4, resumedFromStep: 2 });
    await seen(stream.items, (item) => item.event === 'job' && item.data.epoch === 2 && item.data.step === 2);
    await train([3, 4], second);
    await publish(api, second, files);
    await stream.end;

    const of = <E extends JobStreamItem['event']>(event: E) =>
      stream.items.filter((item): item is Extract<JobStreamItem, { event: E }> => item.event === event);
    expect(of('metric').map((item) => item.data.step)).toEqual([1, 2, 3, 3, 4]);
    const events = of('event').map((item) => item.data);
    expect(events.map((event) => event.seq)).toEqual(events.map((_event, index) => index + 1));
    expect(events.filter((event) => event.type === 'state').map((event) => event.state)).toEqual([
      'queued',
      'preparing',
      'running',
      'queued',
      'preparing',
      'running',
      'publishing',
      'succeeded',
    ]);
    expect(of('job').at(-1)?.data).toMatchObject({ state: 'succeeded', version: expect.any(Number) });
  });

  it('tells of a job that is over in the order in which it went, however much there is to tell', async () => {
    const job = await submit(api);
    const attempt = await startAttempt(api, job, 4);
    const start = Date.now();
    const lines = Array.from({ length: 1500 }, (_line, i) => ({
      at: new Date(start + i).toISOString(),
      level: 'info' as const,
      message: `line ${i + 1}`,
    }));
    await reportLog(api.ports, attempt, lines);
    await reportMetrics(api.ports, attempt, { metrics: [metric(1), metric(2)], trainedTokens: 10 });
    await publish(api, attempt, files);

    const { items, end } = read(`/api/v1/jobs/${job.id}/stream`);
    await end;
    const states = items.flatMap((item) => {
      if (item.event === 'job') return [`job ${item.data.state}`];
      return item.event === 'event' && item.data.state !== null ? [item.data.state] : [];
    });
    expect(states).toEqual(['queued', 'preparing', 'running', 'publishing', 'succeeded', 'job succeeded']);
    expect(items.at(-1)?.event).toBe('job');
    const linesOf = (from: JobStreamItem[]) =>
      from.flatMap((item) => (item.event === 'log' ? [item.data.message] : []));
    expect(linesOf(items)).toEqual(lines.map(({ message }) => message));

    const rest = read(`/api/v1/jobs/${job.id}/stream`, { 'last-event-id': '3.1.1490' });
    await rest.end;
    expect(linesOf(rest.items)).toEqual(lines.slice(1490).map(({ message }) => message));
    expect(rest.items.map(({ event }) => event).filter((event) => event !== 'log')).toEqual(
      expect.arrayContaining(['metric', 'event', 'job']),
    );

    const page = await get<{ data: JobLogLine[]; hasMore: boolean }>(`${job.id}/logs?after=2&limit=2`);
    expect(page).toMatchObject({
      data: [
        { seq: 3, epoch: 1, level: 'info', message: 'line 3' },
        { seq: 4, message: 'line 4' },
      ],
      hasMore: true,
    });
  });

  it('goes on after the last id that the reader has', async () => {
    const job = await submit(api);
    await api.call('POST', `/api/v1/jobs/${job.id}/cancel`, 200);
    const whole = read(`/api/v1/jobs/${job.id}/stream`);
    await whole.end;
    const rest = read(`/api/v1/jobs/${job.id}/stream`, { 'last-event-id': '1.-1' });
    await rest.end;
    const seqs = ({ items }: typeof rest) =>
      items.flatMap((item) => (item.event === 'event' ? [item.data.seq] : []));
    expect([seqs(whole), seqs(rest)]).toEqual([[1, 2], [2]]);
  });

  it('ends with the reader, and with the API', async () => {
    const job = await submit(api);
    const leaving = new AbortController();
    const left = read(`/api/v1/jobs/${job.id}/stream`, {}, leaving.signal);
    await seen(left.items, (item) => item.event === 'job');
    leaving.abort();
    await expect(left.end).rejects.toThrow(/abort/i);

    const other = await TestApi.start();
    await other.importTiny();
    const waiting = await submit(other);
    const response = await other.fetch('GET', `/api/v1/jobs/${waiting.id}/stream`);
    await other.close();
    await response.text().catch(() => 'cut off');
  });

  it('is not for jobs that do not exist', async () => {
    const id = api.ports.ids.make('job');
    for (const path of ['', '/events', '/metrics', '/logs', '/stream'])
      expect(await api.refusal('GET', `/api/v1/jobs/${id}${path}`)).toMatchObject({
        status: 404,
        code: 'not_found',
      });
    for (const action of ['cancel', 'pause', 'resume', 'retry', 'clone', 'priority'])
      expect(
        await api.refusal('POST', `/api/v1/jobs/${id}/${action}`, {
          json: action === 'priority' ? { priority: 1 } : {},
        }),
      ).toMatchObject({ status: 404 });
  });
});

/** Reads an event stream, checking every event against the contract. */
function read(path: string, headers: Record<string, string> = {}, signal?: AbortSignal) {
  const items: JobStreamItem[] = [];
  const consume = async () => {
    const response = await fetch(api.url + path, {
      headers: { authorization: `Bearer ${api.memberKey}`, ...headers },
      signal,
    });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    let text = '';
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString();
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const [, event, id, data = ''] = /^event: (\w+)\nid: (.+)\ndata: (.+)$/.exec(block) ?? [];
        expect(id).toMatch(/^\d+\.-?\d+\.\d+$/);
        items.push(jobStreamSchema.parse({ event, data: JSON.parse(data) }));
      }
    }
  };
  const end = consume();
  end.catch(() => undefined);
  return { items, end };
}

async function seen(items: JobStreamItem[], predicate: (item: JobStreamItem) => boolean): Promise<void> {
  while (!items.some(predicate)) await new Promise((resolve) => setTimeout(resolve, 20));
}
