import { type Config } from '@lowrank/config';
import { type Job } from '@lowrank/contracts';
import { freePort } from '@lowrank/testing';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CONFIG } from '../dependencies';
import { TestApi } from '../test/api';

interface CollectedSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  service: string;
}
interface Exported {
  resourceSpans: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] };
    scopeSpans: { spans: Omit<CollectedSpan, 'service'>[] }[];
  }[];
}

const outside = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };

/** API, worker and trainer as they are, and a collector that speaks OTLP/HTTP. */
describe('a trace', () => {
  const spans: CollectedSpan[] = [];
  let collector: Server;
  let endpoint: string;
  let api: TestApi;
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    collector = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        for (const { resource, scopeSpans } of (JSON.parse(body) as Exported).resourceSpans) {
          const name = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue;
          for (const scope of scopeSpans)
            spans.push(...scope.spans.map((span) => ({ ...span, service: name ?? '' })));
        }
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      });
    });
    await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
    endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
    api = await TestApi.start();
    await api.importTiny();
  });
  afterAll(async () => {
    for (const child of children)
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await api.close();
    collector.closeAllConnections();
    await new Promise((resolve) => collector.close(resolve));
  });

  const start = (app: 'api' | 'worker', port: number): ChildProcess => {
    const child = fork(join(__dirname, `../../../${app}/src/main.ts`), [], {
      env: {
        ...process.env,
        DATABASE_URL: api.app.get<Config>(CONFIG).databaseUrl ?? '',
        REDIS_URL: '',
        S3_BUCKET: '',
        LOWRANK_DATA: api.folder,
        LOWRANK_PORT: String(port),
        LOWRANK_THREADS: '1',
        LOWRANK_LOG_LEVEL: 'error',
        OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    children.push(child);
    return child;
  };

  it("is one tree from the caller's request to the trainer's steps", async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    start('api', port);
    start('worker', 0);
    while (!(await fetch(`${url}/health`).catch(() => null))?.ok) await sleep(100);
    const { id: dataset } = await api.upload();
    const training = { steps: 12, sequenceLength: 64, compute: 'f32' };
    const recipe = { training, evaluation: { fraction: 0.1 }, checkpoints: { everySteps: 5 } };
    const response = await fetch(`${url}/api/v1/jobs`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${api.memberKey}`,
        'content-type': 'application/json',
        traceparent: `00-${outside.traceId}-${outside.spanId}-01`,
      },
      body: JSON.stringify({ baseModel: 'tiny', dataset, adapter: 'captain', recipe }),
    });
    const { id } = (await response.json()) as Job;
    for (let state = ''; state !== 'succeeded'; await sleep(200)) {
      ({ state } = await api.call<Job>('GET', `/api/v1/jobs/${id}`, 200));
      expect(['failed', 'cancelled']).not.toContain(state);
    }
    // What a process has yet to send goes when it goes.
    await Promise.all(
      children.map(async (child) => {
        child.kill('SIGTERM');
        expect((await once(child, 'exit'))[0]).toBe(0);
      }),
    );

    const own = spans.filter(({ traceId }) => traceId === outside.traceId);
    const byId = new Map(own.map((span) => [span.spanId, span]));
    /** Names from the caller's span down to this one. */
    const pathOf = ({ name, parentSpanId }: CollectedSpan): string => {
      const parent = byId.get(parentSpanId ?? '');
      if (parent) return `${pathOf(parent)} > ${name}`;
      expect(parentSpanId).toBe(outside.spanId);
      return name;
    };
    const paths = [...new Set(own.map((span) => `${span.service}: ${pathOf(span)}`))];
    const request = 'POST /api/v1/jobs';
    const trainer = `lowrank-trainer: ${request} > queue wake-up > attempt > trainer`;
    expect(paths.sort()).toEqual(
      [
        `lowrank-api: ${request}`,
        `lowrank-worker: ${request} > queue wake-up`,
        `lowrank-worker: ${request} > queue wake-up > wait for a slot`,
        `lowrank-worker: ${request} > queue wake-up > attempt`,
        trainer,
        ...[
          'fetch',
          'quantize',
          'quantize > fetch',
          'tokenize',
          'train',
          'train > steps',
          'train > checkpoint',
          'publish',
        ].map((name) => `${trainer} > ${name}`),
      ].sort(),
    );
    expect(spans.filter(({ name }) => /health|metrics/.test(name))).toEqual([]);
  }, 120_000);
});
