import { type JobMetric, jobStreamSchema, type JobStreamItem } from '@lowrank/contracts';
import { reportLog, reportMessage, reportMetrics } from '@lowrank/domain';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestApi } from '../test/api';
import { metric, publish, startAttempt, submit } from '../test/job';

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
});
afterAll(() => api.close());

/** As many as the manifest says that is published in the end. */
const steps = 10;
const linesPerStep = 8;

/** A run as a worker reports it, a little at a time: every step a metric and some lines, now and then an evaluation and an event. */
async function run(job: Awaited<ReturnType<typeof submit>>): Promise<void> {
  const attempt = await startAttempt(api, job, steps);
  for (let step = 1; step <= steps; step += 1) {
    for (let line = 1; line <= linesPerStep; line += 1) {
      const at = new Date().toISOString();
      await reportLog(api.ports, attempt, [{ at, level: 'info', message: `line ${line} of step ${step}` }]);
      await sleep(25);
    }
    await reportMetrics(api.ports, attempt, { metrics: [metric(step)], trainedTokens: step });
    if (step % 2 === 0)
      await reportMetrics(api.ports, attempt, { metrics: [metric(step, 'eval')], trainedTokens: step });
    await reportMessage(api.ports, attempt, { level: 'info', message: `at step ${step}` });
  }
  await publish(api, attempt, { 'adapter_config.json': Buffer.from('{}') });
}

interface Told {
  id: string;
  item: JobStreamItem;
}

/** Reads a job's stream from after an id until `most` items have come, then hangs up; to its end when fewer do. */
async function read(
  jobId: string,
  after: string | null,
  most: number,
): Promise<{ told: Told[]; isOver: boolean }> {
  const headers: Record<string, string> = after === null ? {} : { 'last-event-id': after };
  const response = await api.fetch('GET', `/api/v1/jobs/${jobId}/stream`, { headers });
  const told: Told[] = [];
  let text = '';
  for await (const bytes of response.body ?? []) {
    text += Buffer.from(bytes as Uint8Array).toString();
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const [, event, id = '', data = ''] = /^event: (\w+)\nid: (\S+)\ndata: (.*)$/.exec(block) ?? [];
      if (event === undefined) continue;
      told.push({ id, item: jobStreamSchema.parse({ event, data: JSON.parse(data) }) });
      if (told.length === most) return { told, isOver: false };
    }
  }
  return { told, isOver: true };
}

it('tells a reader that comes back again and again during a run everything once', async () => {
  const job = await submit(api);
  const running = run(job);
  const told: Told[] = [];
  let connections = 0;
  /** Metrics of the step of the id with which the reader came back: the ones that may come again. */
  const again: JobMetric[] = [];
  const metrics: JobMetric[] = [];
  for (let isOver = false; !isOver; connections += 1) {
    const last = told.at(-1)?.id ?? null;
    if (last !== null) expect(last).toMatch(/^\d+\.(-1|\d+)\.\d+$/);
    const part = await read(job.id, last, 7 + (connections % 5));
    for (const { item } of part.told) {
      if (item.event !== 'metric') continue;
      const isOld = metrics.some(({ step, kind }) => step === item.data.step && kind === item.data.kind);
      if (isOld) expect(String(item.data.step)).toBe(last?.split('.')[1]);
      (isOld ? again : metrics).push(item.data);
    }
    told.push(...part.told);
    isOver = part.isOver;
  }
  await running;
  expect(connections).toBeGreaterThan(10);

  const events = told.flatMap(({ item }) => (item.event === 'event' ? [item.data.seq] : []));
  const { data } = await api.call<{ data: { seq: number }[] }>(
    'GET',
    `/api/v1/jobs/${job.id}/events?limit=500`,
    200,
  );
  expect(events).toEqual(data.map(({ seq }) => seq));
  const lines = told.flatMap(({ item }) => (item.event === 'log' ? [item.data.message] : []));
  expect(lines).toEqual(
    Array.from(
      { length: steps * linesPerStep },
      (_, i) => `line ${(i % linesPerStep) + 1} of step ${Math.floor(i / linesPerStep) + 1}`,
    ),
  );
  // Those of one step may have the same time, and then any order.
  expect(metrics.map(({ step, kind }) => `${step} ${kind}`).sort()).toEqual(
    Array.from({ length: steps }, (_, i) => i + 1)
      .flatMap((step) => (step % 2 === 0 ? [`${step} train`, `${step} eval`] : [`${step} train`]))
      .sort(),
  );
  // What comes again of a step is the same, and replaces it.
  for (const one of again) expect(metrics).toContainEqual(one);
  expect(told.at(-1)?.item).toMatchObject({ event: 'job', data: { state: 'succeeded' } });
}, 60_000);
