import { webhookPayloadSchema } from '@lowrank/contracts';
import { endAttempt } from '../attempts/end-attempt';
import { cancelJob } from '../jobs/cancel-job';
import { team, World } from '../test/world';
import { freshTeam } from '../test/tables';
import { deliverWebhook, deliveryPauseMs, maxDeliveryAttempts, type SendWebhook } from './deliver';
import {
  changeWebhook,
  createWebhook,
  listDeliveries,
  maxWebhooks,
  removeWebhook,
  replayDelivery,
  rotateWebhookSecret,
  testWebhook,
} from './manage';
import { makeWebhookSecret, signedHeaders } from './signature';

let world: World;
beforeEach(() => {
  world = new World();
});

const url = 'https://hooks.example/lowrank';
const make = (events: Parameters<typeof createWebhook>[2]['events'], owner = team) =>
  createWebhook(world, owner, { url, events });
const told = () => world.tables.deliveries.map(({ type }) => type);

describe('signedHeaders', () => {
  it("is Standard Webhooks' own example", () => {
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek';
    expect(signedHeaders([secret], id, 1614265330, '{"test": 2432232314}')).toEqual({
      'webhook-id': id,
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });

  it('signs with every secret', () => {
    const secrets = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', makeWebhookSecret()];
    const signatures = (some: string[]) =>
      signedHeaders(some, 'msg_x', 1, '{}')['webhook-signature']?.split(' ');
    expect(signatures(secrets)).toEqual(secrets.flatMap((secret) => signatures([secret])));
  });

  it('has secrets of 256 bits', () => {
    const secret = makeWebhookSecret();
    expect(Buffer.from(secret.slice('whsec_'.length), 'base64')).toHaveLength(32);
    expect(secret).not.toBe(makeWebhookSecret());
  });
});

describe('webhooks', () => {
  it('are told the moves that they want, of their own team, in the transaction of the move', async () => {
    world.tables.teams.push(freshTeam('team_other', 'other'));
    await make(['job.queued', 'job.failed']);
    await make(['job.preparing']);
    await make(['job.queued'], 'team_other');
    const attempt = await world.claimed();
    expect(told()).toEqual(['job.queued', 'job.preparing']);
    const failed = { type: 'failed', code: 'loss_not_finite', message: 'NaN', retryable: false } as const;
    await endAttempt(world, attempt, failed);
    expect(told()).toEqual(['job.queued', 'job.preparing', 'job.failed']);
    const payload = webhookPayloadSchema.parse(JSON.parse(world.tables.deliveries[2]?.body ?? ''));
    expect(payload).toEqual({
      type: 'job.failed',
      timestamp: world.clock.now(),
      data: {
        jobId: attempt.jobId,
        state: 'failed',
        epoch: 1,
        adapter: 'captain',
        baseModel: 'tiny',
        step: 0,
        totalSteps: null,
        version: null,
        error: { code: 'loss_not_finite', message: 'NaN' },
        message: 'NaN',
      },
    });
    await expect(cancelJob(world, team, attempt.jobId)).rejects.toThrow();
    expect(told()).toHaveLength(3);
  });

  it('are told nothing while they are not enabled, and are forgotten with what they were to get', async () => {
    const { id } = await make(['job.queued']);
    await changeWebhook(world, team, id, { enabled: false });
    await world.submit();
    expect(told()).toEqual([]);
    expect(await changeWebhook(world, team, id, { enabled: true, url: `${url}/2` })).toMatchObject({
      url: `${url}/2`,
      events: ['job.queued'],
    });
    await world.submit();
    expect(told()).toEqual(['job.queued']);
    await removeWebhook(world, team, id);
    expect(told()).toEqual([]);
  });

  it('are tested only while they are enabled, and get a new secret', async () => {
    const { id, secret } = await make(['job.failed']);
    expect(await testWebhook(world, team, id)).toMatchObject({ type: 'webhook.test', state: 'pending' });
    const rotated = await rotateWebhookSecret(world, team, id);
    expect(rotated).toMatchObject({ id, url });
    expect(rotated.secret).not.toBe(secret);
    await changeWebhook(world, team, id, { enabled: false });
    await expect(testWebhook(world, team, id)).rejects.toMatchObject({ code: 'conflict' });
  });

  it('are not there for others, and limited', async () => {
    const { id, secret } = await make(['job.queued']);
    const delivery = 'msg_aaaaaaaaaaaaaaaaaaaaaaaa';
    const page = { limit: 10 };
    for (const work of [
      () => changeWebhook(world, 'team_other', id, { enabled: false }),
      () => removeWebhook(world, 'team_other', id),
      () => rotateWebhookSecret(world, 'team_other', id),
      () => testWebhook(world, 'team_other', id),
      () => listDeliveries(world, 'team_other', id, page),
      () => replayDelivery(world, team, id, delivery),
    ])
      await expect(work()).rejects.toMatchObject({ code: 'not_found' });
    const list = await world.unitOfWork.run(({ webhooks }) => webhooks.list(team));
    expect(list).toHaveLength(1);
    expect(JSON.stringify(list)).not.toContain(secret);
    for (let i = 1; i < maxWebhooks; i++) await make(['job.queued']);
    await expect(make(['job.queued'])).rejects.toMatchObject({ code: 'conflict' });
  });
});

describe('deliverWebhook', () => {
  const claim = () =>
    world.unitOfWork.run(({ webhooks }) =>
      webhooks.claim({
        now: world.clock.now(),
        until: '2027-01-01T00:00:00.000Z',
        limit: 9,
        perWebhook: 9,
        except: [],
      }),
    );
  const deliver = async (send: SendWebhook) => {
    const [due] = await claim();
    return due && deliverWebhook(world, send, due, 0.5);
  };
  const row = () => world.tables.deliveries[0];

  it('sends the same signed body with the same id until it is taken', async () => {
    const { secret } = await make(['job.queued']);
    await world.submit();
    const sent: [string, Record<string, string>, string][] = [];
    const answers = [500, 302, 204];
    const send: SendWebhook = async (...args) => {
      sent.push(args);
      return answers[sent.length - 1] ?? 200;
    };
    expect(await deliver(send)).toBe('retried');
    expect(row()).toMatchObject({ attempts: 1, lastStatus: 500, lastError: 'The answer was 500.' });
    expect(await deliver(send)).toBeUndefined();
    world.pass(5000);
    expect(await deliver(send)).toBe('retried');
    expect(row()?.lastError).toBe('The answer was 302; redirects are not followed.');
    world.pass(20_000);
    expect(await deliver(send)).toBe('delivered');
    expect(row()).toMatchObject({ state: 'delivered', attempts: 3, nextAttemptAt: null, lastError: null });
    expect(new Set(sent.map(([, headers]) => headers['webhook-id']))).toEqual(new Set([row()?.id]));
    expect(new Set(sent.map(([, , body]) => body)).size).toBe(1);
    const [to, headers, body] = sent[2] ?? ['', {}, ''];
    expect(to).toBe(url);
    const seconds = Date.parse(world.clock.now()) / 1000;
    expect(headers).toMatchObject(signedHeaders([secret], row()?.id ?? '', seconds, body));
  });

  it('gives up after its last try, and begins anew when it is replayed', async () => {
    const { id } = await make(['job.queued']);
    await world.submit();
    const send: SendWebhook = () => Promise.reject(new Error('connect ECONNREFUSED'));
    for (let attempt = 1; attempt < maxDeliveryAttempts; attempt++) {
      expect(await deliver(send)).toBe('retried');
      world.pass(7 * 3_600_000);
    }
    expect(await deliver(send)).toBe('dead');
    expect(row()).toMatchObject({
      state: 'dead',
      lastStatus: null,
      lastError: 'connect ECONNREFUSED',
      finishedAt: world.clock.now(),
    });
    world.pass(86_400_000);
    expect(await claim()).toEqual([]);
    const { data } = await listDeliveries(world, team, id, { state: 'dead', limit: 10 });
    await replayDelivery(world, team, id, data[0]?.id ?? '');
    expect(await deliver(async () => 200)).toBe('delivered');
    expect(row()?.attempts).toBe(1);
  });

  it('waits four times as long after each try, give or take a fifth', () => {
    expect([1, 2, 7].map((attempts) => deliveryPauseMs(attempts, 0.5))).toEqual([5000, 20_000, 20_480_000]);
    expect(deliveryPauseMs(1, 0)).toBeCloseTo(4000);
    expect(deliveryPauseMs(1, 1)).toBeCloseTo(6000);
  });
});
