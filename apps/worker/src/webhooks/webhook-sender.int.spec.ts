import { webhookEventTypeSchema, webhookPayloadSchema } from '@lowrank/contracts';
import { createWebhook, listDeliveries, type Ports } from '@lowrank/domain';
import { AddressRules, createPoster, type Poster } from '@lowrank/outbound';
import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerMetrics } from '../metrics/worker-metrics';
import { submitTestJob } from '../test/submit';
import { testWorld, type World } from '../test/world';
import { WebhookSender } from './webhook-sender';

const timings = { webhooks: 20, webhookTimeout: 1000, webhookKept: 86_400_000, standby: 50 };

/** From the dispatch of a row to a real HTTP server, on real Postgres, with a clock that can be put forward. */
describe('WebhookSender', () => {
  let world: World;
  let ports: Ports;
  let forward = 0;
  let server: Server;
  let base: string;
  let poster: Poster;
  let received: { path: string; headers: IncomingHttpHeaders; body: string }[] = [];
  let answer: (path: string, response: ServerResponse) => void;
  const metrics = new WorkerMetrics();
  const senders: WebhookSender[] = [];

  beforeAll(async () => {
    world = await testWorld();
    ports = { ...world.ports, clock: { now: () => new Date(Date.now() + forward).toISOString() } };
    server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        received.push({ path: request.url ?? '', headers: request.headers, body });
        answer(request.url ?? '', response);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    poster = createPoster({ rules: new AddressRules(['127.0.0.1/32']), timeoutMs: timings.webhookTimeout });
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await poster.close();
    await world.end();
  });
  beforeEach(() => {
    received = [];
    answer = (_path, response) => response.writeHead(204).end();
  });
  afterEach(async () => {
    await Promise.all(senders.splice(0).map((sender) => sender.stop()));
    const teamId = await ports.unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('test'));
    await ports.unitOfWork.run(async ({ webhooks }) => {
      for (const { id } of await webhooks.list(teamId)) await webhooks.remove(teamId, id);
    });
  });

  const start = (send = poster.post) => {
    const sender = new WebhookSender(ports, send, timings, metrics);
    senders.push(sender);
    sender.start();
  };
  const hook = async (path: string) => {
    const teamId = await ports.unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('test'));
    const events = [webhookEventTypeSchema.enum['job.queued']];
    const webhook = await createWebhook(ports, teamId, { url: base + path, events });
    const deliveries = async () => (await listDeliveries(ports, teamId, webhook.id, { limit: 200 })).data;
    return { ...webhook, deliveries };
  };
  const until = async (condition: () => boolean | Promise<boolean>) => {
    while (!(await condition())) await sleep(20);
  };

  it('delivers what a receiver can check, by one of several workers', async () => {
    const { secret, deliveries } = await hook('/ok');
    for (let i = 0; i < 3; i++) start();
    const { job } = await submitTestJob(ports);
    await until(async () => (await deliveries())[0]?.state === 'delivered');
    await sleep(200);
    expect(received).toHaveLength(1);
    const [{ headers, body, path }] = received as [(typeof received)[0]];
    expect(path).toBe('/ok');
    expect(headers['content-type']).toBe('application/json');
    expect(webhookPayloadSchema.parse(JSON.parse(body))).toMatchObject({
      type: 'job.queued',
      data: { jobId: job.id },
    });
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
    const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
    expect(headers['webhook-signature']).toBe(
      `v1,${createHmac('sha256', key).update(signed).digest('base64')}`,
    );
    expect(Math.abs(Number(headers['webhook-timestamp']) - Date.now() / 1000)).toBeLessThan(20);
    expect(await metrics.registry.metrics()).toContain(
      'lowrank_webhook_deliveries_total{outcome="delivered"} 1',
    );
  });

  it('tries again with the same id, less and less often, until the delivery is dead', async () => {
    const { deliveries } = await hook('/broken');
    answer = (_path, response) => response.writeHead(503).end();
    await submitTestJob(ports);
    start();
    for (let tries = 1; tries <= 8; tries++) {
      await until(async () => {
        const [delivery] = await deliveries();
        return (
          delivery?.attempts === tries &&
          delivery.lastStatus === 503 &&
          (tries < 8 || delivery.state === 'dead')
        );
      });
      await until(async () => {
        const next = (await deliveries())[0]?.nextAttemptAt;
        return next === null || Date.parse(next ?? '') < Date.now() + forward + 7 * 3_600_000;
      });
      forward += 7 * 3_600_000;
    }
    await sleep(100);
    expect(received).toHaveLength(8);
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect((await deliveries())[0]).toMatchObject({ state: 'dead', lastError: 'The answer was 503.' });
  });

  it('is not held up by one that hangs', async () => {
    const [hanging, well] = [await hook('/hangs'), await hook('/well')];
    let open = 0;
    let mostOpen = 0;
    answer = (path, response) => {
      if (path === '/well') return void response.writeHead(200).end();
      mostOpen = Math.max(mostOpen, (open += 1));
      response.on('close', () => (open -= 1));
    };
    for (let i = 0; i < 8; i++) await submitTestJob(ports);
    start();
    await until(async () => (await well.deliveries()).every(({ state }) => state === 'delivered'));
    expect((await hanging.deliveries()).filter(({ state }) => state === 'delivered')).toEqual([]);
    expect(mostOpen).toBeGreaterThan(0);
    expect(mostOpen).toBeLessThanOrEqual(4);
    await until(async () =>
      (await hanging.deliveries()).some(({ lastError }) => /timeout/i.test(lastError ?? '')),
    );
  });

  it('never knocks at addresses that are not public', async () => {
    const { deliveries } = await hook('/private');
    const strict = createPoster({ rules: new AddressRules(), timeoutMs: 1000 });
    start(strict.post);
    await submitTestJob(ports);
    await until(async () => (await deliveries())[0]?.lastError !== null);
    expect((await deliveries())[0]?.lastError).toContain('not a public address');
    expect(received).toEqual([]);
    await strict.close();
  });
});
