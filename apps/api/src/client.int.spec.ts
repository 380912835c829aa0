import { createLowrankClient, LowrankApiError } from '@lowrank/client';
import { TestApi } from './test/api';

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
  await api.upload();
});
afterAll(() => api.close());

describe("the client made of the API's description", () => {
  it('submits a job, reads it, and cancels it', async () => {
    const lowrank = createLowrankClient({ url: api.url, key: api.memberKey });
    const { data: job } = await lowrank.POST('/api/v1/jobs', {
      body: {
        baseModel: 'tiny',
        dataset: 'chats@1',
        adapter: 'captain',
        recipe: { training: { sequenceLength: 64 } },
      },
    });
    const path = { id: job?.id ?? '' };
    const { data: read } = await lowrank.GET('/api/v1/jobs/{id}', { params: { path } });
    expect(read).toMatchObject({ id: job?.id, state: 'queued', adapter: 'captain' });
    const { data: page } = await lowrank.GET('/api/v1/jobs', {
      params: { query: { state: 'queued', limit: 1 } },
    });
    expect(page?.data.map(({ id }) => id)).toEqual([job?.id]);
    const { data: ended } = await lowrank.POST('/api/v1/jobs/{id}/cancel', { params: { path } });
    expect(ended?.state).toBe('cancelled');
  });

  it('throws what is refused, with code, help and where it was wrong', async () => {
    const lowrank = createLowrankClient({ url: `${api.url}/`, key: api.memberKey });
    const refused = lowrank.POST('/api/v1/jobs', {
      body: { baseModel: 'tiny', dataset: 'none', adapter: 'captain' },
    });
    await expect(refused).rejects.toThrow(LowrankApiError);
    await expect(refused).rejects.toMatchObject({
      ...{ status: 404, code: 'not_found', help: expect.any(String), requestId: expect.any(String) },
      details: [{ path: 'dataset' }],
    });
    await expect(createLowrankClient({ url: api.url }).GET('/api/v1/me')).rejects.toMatchObject({
      code: 'unauthorized',
    });
  });
});
