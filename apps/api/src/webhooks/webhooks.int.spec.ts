import { type Webhook, type WebhookDelivery } from '@lowrank/contracts';
import { TestApi } from '../test/api';
import { submit } from '../test/job';

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start({ LOWRANK_WEBHOOK_NETWORKS: '10.1.0.0/16' });
  await api.importTiny();
});
afterAll(() => api.close());

const path = '/api/v1/webhooks';
const url = 'https://hooks.example/lowrank';
const add = (json: object = { url }) => api.call<Webhook & { secret: string }>('POST', path, 201, { json });

describe('webhooks', () => {
  it('are made, shown without their secret, changed and removed', async () => {
    const { secret, ...webhook } = await add({ url, events: ['job.failed', 'job.failed', 'job.succeeded'] });
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(webhook).toMatchObject({ url, events: ['job.failed', 'job.succeeded'], enabled: true });
    expect(await api.call('GET', `${path}/${webhook.id}`, 200)).toEqual(webhook);
    expect(await api.call('GET', path, 200)).toEqual({ data: [webhook] });
    expect(await api.call('PATCH', `${path}/${webhook.id}`, 200, { json: { enabled: false } })).toEqual({
      ...webhook,
      enabled: false,
    });
    await api.call('DELETE', `${path}/${webhook.id}`, 204);
    expect(await api.refusal('GET', `${path}/${webhook.id}`)).toMatchObject({
      status: 404,
      code: 'not_found',
    });
  });

  it('are tested, and given a new secret that is shown once', async () => {
    const { secret, ...webhook } = await add();
    const own = `${path}/${webhook.id}`;
    const test = await api.call<WebhookDelivery>('POST', `${own}/test`, 200);
    expect(test).toMatchObject({ type: 'webhook.test', state: 'pending' });
    const { data } = await api.call<{ data: WebhookDelivery[] }>('GET', `${own}/deliveries`, 200);
    expect(data).toEqual([test]);
    const { secret: fresh, ...same } = await api.call<typeof webhook & { secret: string }>(
      'POST',
      `${own}/rotate-secret`,
      200,
    );
    expect(same).toEqual(webhook);
    expect(fresh).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(fresh).not.toBe(secret);
    await api.call('PATCH', own, 200, { json: { enabled: false } });
    expect(await api.refusal('POST', `${own}/test`)).toMatchObject({ status: 409, code: 'conflict' });
    await api.call('DELETE', own, 204);
    expect(await api.refusal('POST', `${own}/rotate-secret`)).toMatchObject({ status: 404 });
  });

  it('list their deliveries and replay them', async () => {
    const { id, events } = await add();
    expect(events).toHaveLength(8);
    await submit(api);
    const list = async (query = '') =>
      (await api.call<{ data: WebhookDelivery[] }>('GET', `${path}/${id}/deliveries${query}`, 200)).data;
    const [delivery] = await list();
    expect(delivery).toMatchObject({ type: 'job.queued', state: 'pending', attempts: 0 });
    expect(await list('?state=dead')).toEqual([]);
    const replay = `${path}/${id}/deliveries/${delivery?.id}/replay`;
    expect(await api.call('POST', replay, 200)).toMatchObject({ id: delivery?.id, state: 'pending' });
    await api.call('DELETE', `${path}/${id}`, 204);
    expect(await api.refusal('POST', replay)).toMatchObject({ status: 404 });
  });

  it.each([
    ['http://127.0.0.1/x', 422, 'address_refused'],
    ['http://0x7f000001/x', 422, 'address_refused'],
    ['http://[::ffff:10.0.0.1]/', 422, 'address_refused'],
    ['http://169.254.169.254/latest', 422, 'address_refused'],
    ['http://localhost:7380/', 422, 'address_refused'],
    ['ftp://hooks.example/', 400, 'validation_failed'],
    ['https://user:word@hooks.example/', 400, 'validation_failed'],
    ['https://hooks.example/#x', 400, 'validation_failed'],
    [`https://hooks.example/${'x'.repeat(2000)}`, 400, 'validation_failed'],
    ['hooks.example', 400, 'validation_failed'],
    [17, 400, 'validation_failed'],
  ])('do not go to %s', async (to, status, code) => {
    expect(await api.refusal('POST', path, { json: { url: to } })).toMatchObject({ status, code });
  });

  it('refuse what they do not know, and go to networks that were named', async () => {
    for (const json of [{ url, events: ['job.danced'] }, { url, events: [] }, { url, other: 1 }, {}])
      expect(await api.refusal('POST', path, { json })).toMatchObject({ status: 400 });
    const { id } = await add({ url: 'http://10.1.2.3:8080/x' });
    const json = { url: 'http://10.2.0.1/' };
    expect(await api.refusal('PATCH', `${path}/${id}`, { json })).toMatchObject({ code: 'address_refused' });
  });

  it('are for admin keys', async () => {
    const { id } = await add();
    for (const [method, route] of [
      ['GET', path],
      ['POST', path],
      ['PATCH', `${path}/${id}`],
      ['DELETE', `${path}/${id}`],
      ['GET', `${path}/${id}/deliveries`],
    ] as const)
      expect(await api.refusal(method, route, { key: api.memberKey })).toMatchObject({ status: 403 });
  });
});
