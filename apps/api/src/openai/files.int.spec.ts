import { tinyDataset } from '@lowrank/testing';
import type OpenAI from 'openai';
import { toFile } from 'openai';
import { Readable } from 'node:stream';
import { type TestApi } from '../test/api';
import { OpenAiWorld, refused } from '../test/openai';

let world: OpenAiWorld;
let api: TestApi;
let client: OpenAI;
beforeAll(async () => {
  world = await OpenAiWorld.start();
  ({ api, client } = world);
});
afterAll(() => api.close());

describe('files', () => {
  it('are uploaded, read, downloaded and deleted', async () => {
    const file = await world.upload();
    expect(file).toEqual({
      ...{ id: expect.stringMatching(/^data_/), object: 'file', bytes: tinyDataset(24).length },
      ...{ created_at: expect.any(Number), expires_at: null, filename: 'chats.jsonl' },
      ...{ purpose: 'fine-tune', status: 'processed', status_details: null },
    });
    expect(Math.abs(file.created_at - Date.now() / 1000)).toBeLessThan(60);
    expect(await client.files.retrieve(file.id)).toEqual(file);
    expect(await client.files.waitForProcessing(file.id)).toEqual(file);
    expect(await (await client.files.content(file.id)).text()).toBe(tinyDataset(24));
    expect(await client.files.delete(file.id)).toEqual({ id: file.id, object: 'file', deleted: true });
    expect(await refused(client.files.retrieve(file.id))).toMatchObject({ status: 404, code: 'not_found' });
  });

  it('may expire', async () => {
    const file = await client.files.create({
      file: await toFile(Readable.from([tinyDataset(4)]), 'streamed.jsonl'),
      purpose: 'fine-tune',
      expires_after: { anchor: 'created_at', seconds: 3600 },
    });
    expect((file.expires_at ?? 0) - file.created_at).toBe(3600);
    const create = async (expires_after: { anchor: 'created_at'; seconds: number }) =>
      client.files.create({
        file: await toFile(Buffer.from(tinyDataset(4))),
        purpose: 'fine-tune',
        expires_after,
      });
    expect(await refused(create({ anchor: 'created_at', seconds: 60 }))).toMatchObject({
      ...{ status: 400, code: 'validation_failed', param: 'expires_after[seconds]' },
    });
  });

  it('are listed by pages, in either order', async () => {
    const added: string[] = [];
    for (const rows of [3, 5, 7]) added.push((await world.upload(tinyDataset(rows))).id);
    const listed = async (order: 'asc' | 'desc') => {
      const ids: string[] = [];
      for await (const { id } of client.files.list({ limit: 2, order })) ids.push(id);
      return ids;
    };
    const newest = await listed('desc');
    expect(newest.slice(0, 3)).toEqual([...added].reverse());
    expect(await listed('asc')).toEqual([...newest].reverse());
    expect((await client.files.list({ purpose: 'batch' })).data).toEqual([]);
    expect(await refused(client.files.list({ after: 'data_none' }))).toMatchObject({
      status: 400,
      param: 'after',
    });
  });

  it('are refused when they are not in order, or for another purpose', async () => {
    expect(await refused(world.upload(`${tinyDataset(1)}{"messages": 7}\n`))).toMatchObject({
      ...{ status: 422, code: 'dataset_invalid', type: 'invalid_request_error' },
      message: expect.stringMatching(/line 2/i),
    });
    const file = await toFile(Buffer.from(tinyDataset(1)), 'a.jsonl');
    expect(await refused(client.files.create({ file, purpose: 'assistants' }))).toMatchObject({
      ...{ status: 400, code: 'validation_failed', param: 'purpose' },
    });
  });

  it('are not deleted under a job, and the client does not try again', async () => {
    const { training_file } = await world.submit({ training_file: (await world.upload()).id });
    let requests = 0;
    const counting = world.clientOf(api.memberKey, {
      fetch: (url, init) => {
        requests += 1;
        return fetch(url, init);
      },
    });
    const refusal = await refused(counting.files.delete(training_file));
    expect(refusal).toMatchObject({ status: 409, code: 'in_use', name: 'ConflictError' });
    expect(requests).toBe(1);
  });
});

describe('errors', () => {
  it('tell of keys as clients expect it', async () => {
    expect(await refused(world.clientOf('lrk_wrong').models.list())).toMatchObject({
      ...{ status: 401, code: 'invalid_api_key', name: 'AuthenticationError', param: null },
      requestID: expect.stringMatching(/^[\w-]{36}$/),
    });
    const { id } = await world.upload();
    expect(await refused(world.clientOf(api.viewerKey).files.delete(id))).toMatchObject({
      ...{ status: 403, code: 'forbidden', name: 'PermissionDeniedError' },
    });
  });

  it('say what this server does not answer', async () => {
    const expected = { status: 404, code: 'unknown_url', type: 'invalid_request_error', param: null };
    for (const asked of [
      () => client.responses.create({ model: 'tiny', input: 'hello' }),
      () => client.embeddings.create({ model: 'tiny', input: 'hello' }),
      () => client.get('/'),
    ])
      expect(await refused(asked())).toMatchObject(expected);
  });

  it('have the shape whatever is wrong', async () => {
    const { error } = await api.call<{ error: object }>('GET', '/v1/models/%E0%A4%A', 400);
    expect(error).toEqual({
      ...{ message: expect.any(String), type: 'invalid_request_error', param: null },
      code: 'validation_failed',
    });
    const headers = { 'content-type': 'application/json' };
    // As the Python client does.
    const empty = await api.call<object>('POST', '/v1/fine_tuning/jobs/job_none/cancel', 404, { headers });
    expect(empty).toMatchObject({ error: { code: 'not_found' } });
    const nothing = await api.call<object>('POST', '/v1/fine_tuning/jobs', 400, { headers });
    expect(nothing).toMatchObject({ error: { code: 'validation_failed' } });
    const broken = await api.call<object>('POST', '/v1/fine_tuning/jobs', 400, { headers, body: '{' });
    expect(broken).toMatchObject({ error: { code: 'validation_failed' } });
    const json = await api.call<object>('POST', '/v1/files', 415, { json: {} });
    expect(json).toMatchObject({ error: { code: 'unsupported_media_type' } });
  });
});
