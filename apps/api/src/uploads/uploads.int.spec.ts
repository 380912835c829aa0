import { type Dataset, type JobDetail, type PartTarget, type UploadState } from '@lowrank/contracts';
import { tinyDataset } from '@lowrank/testing';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { TestApi } from '../test/api';

let api: TestApi;
let server: Server;
let answer: RequestListener;
let origin: string;
beforeAll(async () => {
  server = createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  origin = `http://127.0.0.1:${port}`;
  api = await TestApi.start({
    LOWRANK_IMPORT_NETWORKS: '127.0.0.1/32',
    LOWRANK_MAX_UPLOAD_BYTES: '20000000',
  });
});
afterAll(async () => {
  expect(await api.staged()).toEqual([]);
  await api.close();
  server.closeAllConnections();
  server.close();
});

/** Rows that fill more than one part. */
const rows = Buffer.from(
  Array.from({ length: 90 }, (_, i) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: `${i} ${'word '.repeat(20_000)}` },
        { role: 'assistant', content: `${i}` },
      ],
    }),
  ).join('\n'),
);
const sha256 = createHash('sha256').update(rows).digest('hex');
const begin = (body: object = {}) =>
  api.call<UploadState>('POST', '/api/v1/uploads', 201, {
    json: { filename: 'Large chats.jsonl', bytes: rows.length, sha256, ...body },
  });
const send = async ({ id, partBytes }: UploadState, number: number, bytes?: Buffer) => {
  const { parts } = await api.call<{ parts: PartTarget[] }>('POST', `/api/v1/uploads/${id}/parts`, 200, {
    json: { numbers: [number] },
  });
  const body = bytes ?? rows.subarray((number - 1) * partBytes, number * partBytes);
  return fetch(api.url + parts[0]?.url, {
    method: 'PUT',
    headers: { authorization: `Bearer ${api.adminKey}`, 'content-type': 'application/octet-stream' },
    body: new Uint8Array(body),
  });
};
const stored = async () => {
  const keys: string[] = [];
  for await (const key of api.store.list('uploads/')) keys.push(key);
  return keys;
};

describe('a file in parts', () => {
  it('becomes a dataset, also when it was left half-way in between', async () => {
    const upload = await begin();
    expect(upload).toMatchObject({ partBytes: 8 * 2 ** 20, partCount: 2, arrived: [] });
    expect((await send(upload, 2)).status).toBe(204);
    expect(await api.refusal('POST', `/api/v1/uploads/${upload.id}/complete`)).toMatchObject({
      status: 409,
      code: 'upload_incomplete',
      message: expect.stringContaining(': 1.'),
    });
    const again = await begin();
    expect(again).toMatchObject({ id: upload.id, arrived: [2] });
    expect((await send(again, 1)).status).toBe(204);
    const dataset = await api.call<Dataset>('POST', `/api/v1/uploads/${upload.id}/complete`, 201);
    expect(dataset).toMatchObject({ name: 'large-chats', version: 1, rows: 90, sha256 });
    expect(await api.refusal('GET', `/api/v1/uploads/${upload.id}`)).toMatchObject({ status: 404 });
    expect(await stored()).toEqual([]);
  });

  it('is refused when it is not what was announced', async () => {
    const upload = await begin({ sha256: 'a'.repeat(64) });
    const short = await send(upload, 1, Buffer.from('short'));
    expect([short.status, await short.json()]).toEqual([
      400,
      {
        error: expect.objectContaining({ code: 'validation_failed', message: expect.stringContaining('5') }),
      },
    ]);
    for (const number of [1, 2]) expect((await send(upload, number)).status).toBe(204);
    expect(await api.refusal('POST', `/api/v1/uploads/${upload.id}/complete`)).toMatchObject({
      status: 422,
      code: 'upload_damaged',
    });
    // It can only be wrong again.
    expect(await api.refusal('GET', `/api/v1/uploads/${upload.id}`)).toMatchObject({ status: 404 });
  });

  it('is checked row by row, as an upload in one piece is', async () => {
    const content = Buffer.from('{"messages": []}\n');
    const upload = await begin({ bytes: content.length, sha256: undefined });
    expect((await send(upload, 1, content)).status).toBe(204);
    expect(await api.refusal('POST', `/api/v1/uploads/${upload.id}/complete`)).toMatchObject({
      status: 422,
      code: 'dataset_invalid',
      details: [{ line: 1 }],
    });
    expect(await stored()).toEqual([]);
  });

  it('can be aborted', async () => {
    const upload = await begin();
    await send(upload, 1);
    await api.call('DELETE', `/api/v1/uploads/${upload.id}`, 204);
    expect(await stored()).toEqual([]);
    expect((await send(upload, 1).catch((error: Error) => error)) as Error).toBeInstanceOf(Error);
  });

  it('has bounds', async () => {
    const json = { filename: 'a.jsonl', bytes: 20_000_001 };
    expect(await api.refusal('POST', '/api/v1/uploads', { json })).toMatchObject({ status: 413 });
    const upload = await begin();
    const parts = `/api/v1/uploads/${upload.id}/parts`;
    expect(await api.refusal('POST', parts, { json: { numbers: [3] } })).toMatchObject({ status: 400 });
    expect(await api.refusal('PUT', `${parts}/1`, { json: {} })).toMatchObject({ status: 400 });
    for (const filename of ['../a', 'a/b', 'a\0b', ''])
      expect(
        await api.refusal('POST', '/api/v1/uploads', { json: { ...json, bytes: 1, filename } }),
      ).toMatchObject({
        status: 400,
      });
    // Bytes are for parts alone.
    const octets = { 'content-type': 'application/octet-stream' };
    expect(await api.refusal('POST', '/api/v1/jobs', { body: 'x', headers: octets })).toMatchObject({
      status: 415,
    });
  });
});

describe('a file by URL', () => {
  const load = (json: object) => api.refusal('POST', '/api/v1/files/import', { json });

  it('becomes a dataset, whose encoding its content and name tell', async () => {
    answer = (_request, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('prompt,completion\nWhy?,Because.\n');
    const json = { url: `${origin}/sets/questions.csv?token=secret` };
    const dataset = await api.call<Dataset>('POST', '/api/v1/files/import', 201, { json });
    expect(dataset).toMatchObject({
      name: 'questions',
      filename: 'questions.csv',
      format: 'prompt-completion',
      rows: 1,
    });
  });

  it('is refused when it is a page, or not there, or too long', async () => {
    answer = (_request, response) => response.end('<!doctype html><title>Sign in</title>');
    expect(await load({ url: `${origin}/rows.jsonl` })).toMatchObject({
      status: 422,
      code: 'dataset_invalid',
    });
    answer = (_request, response) => response.writeHead(404).end();
    expect(await load({ url: `${origin}/rows.jsonl` })).toMatchObject({
      status: 422,
      code: 'download_failed',
    });
    answer = (_request, response) => response.writeHead(200, { 'content-length': 20_000_001 }).write('x');
    expect(await load({ url: `${origin}/rows.jsonl` })).toMatchObject({
      status: 413,
      code: 'body_too_large',
    });
  });

  it('comes from public addresses alone, by redirects too', async () => {
    let asked = 0;
    answer = (_request, response) => {
      asked += 1;
      response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data' }).end();
    };
    for (const url of [
      `${origin}/x`,
      'http://10.0.0.1/',
      'http://[::1]:5432/',
      'http://0x7f000002/',
      'http://0177.0.0.2/',
    ])
      expect(await load({ url })).toMatchObject({
        status: 422,
        code: 'address_refused',
        help: expect.stringContaining('LOWRANK_IMPORT_NETWORKS'),
      });
    expect(asked).toBe(1);
    for (const url of ['file:///etc/passwd', 'ftp://a.example/x', 'http://user:word@a.example/', 'nonsense'])
      expect(await load({ url })).toMatchObject({ status: 400 });
  });
});

describe('a name that a shell would run', () => {
  it.each(['$(touch pwned).csv', '`touch pwned`.csv', ';touch pwned;.csv', '| touch pwned .csv'])(
    '%s is a name',
    async (name) => {
      const body = api.form(`prompt,completion\nWhy ${name}?,Because.\n`, {}, name);
      expect(await api.call<Dataset>('POST', '/api/v1/files', 201, { body })).toMatchObject({
        filename: name,
        rows: 1,
      });
      for (const folder of [process.cwd(), api.folder]) expect(existsSync(join(folder, 'pwned'))).toBe(false);
    },
  );
});

describe('versions of a dataset', () => {
  const upload = (content: string, fields: Record<string, string> = {}) =>
    api.call<Dataset>('POST', '/api/v1/files', 201, { body: api.form(content, fields, 'My chats.jsonl') });

  it('are counted by name, and the same content is the same version', async () => {
    const first = await upload(tinyDataset(5));
    expect(first).toMatchObject({ name: 'my-chats', version: 1 });
    const second = await upload(tinyDataset(6));
    expect(second.version).toBe(2);
    expect(await upload(tinyDataset(5))).toEqual(first);
    expect(await upload(tinyDataset(5), { name: 'others' })).toMatchObject({ name: 'others', version: 1 });
    const find = (ref: string) => api.call<Dataset>('GET', `/api/v1/files/${encodeURIComponent(ref)}`, 200);
    for (const ref of [
      'my-chats',
      'my-chats@latest',
      'my-chats@2',
      'my-chats@v2',
      `my-chats@${second.sha256.slice(0, 9)}`,
      second.id,
    ])
      expect([ref, await find(ref)]).toEqual([ref, second]);
    expect(await find('my-chats@1')).toEqual(first);
    const versions = await api.call<{ data: Dataset[] }>('GET', '/api/v1/files?name=my-chats', 200);
    expect(versions.data.map(({ version }) => version)).toEqual([2, 1]);
    for (const ref of ['my-chats@3', 'my-chats@abcdef0', 'nobody', 'nobody@1'])
      expect(await api.refusal('GET', `/api/v1/files/${ref}`)).toMatchObject({ status: 404 });
    // A number is not given twice.
    await api.call('DELETE', '/api/v1/files/my-chats@2', 204);
    expect(await upload(tinyDataset(6))).toMatchObject({ version: 3 });
  });

  it('are what jobs train on, whatever comes after them', async () => {
    await api.importTiny();
    const version = await upload(tinyDataset(24), { name: 'trained' });
    const json = {
      baseModel: 'tiny',
      dataset: 'trained',
      adapter: 'captain',
      recipe: { training: { sequenceLength: 64 } },
    };
    const job = await api.call<{ dataset: object }>('POST', '/api/v1/jobs', 201, { json });
    expect(job.dataset).toMatchObject({ id: version.id, sha256: version.sha256 });
    const held = await upload(tinyDataset(7), { name: 'held' });
    const detail = await api.call<JobDetail>('POST', '/api/v1/jobs', 201, {
      json: { ...json, validationDataset: 'held@1' },
    });
    expect(detail.validationDataset).toEqual({ id: held.id, filename: held.filename, sha256: held.sha256 });
    expect(detail.estimate?.data).toMatchObject({ rows: 24, heldOutRows: 7 });
    expect(await api.refusal('DELETE', '/api/v1/files/held')).toMatchObject({ status: 409, code: 'in_use' });
    const pairs = '{"prompt":"a","chosen":"b","rejected":"c"}\n';
    await upload(pairs, { name: 'pairs' });
    expect(
      await api.refusal('POST', '/api/v1/jobs', { json: { ...json, validationDataset: 'pairs' } }),
    ).toMatchObject({
      status: 422,
      details: [{ path: 'validationDataset' }],
    });
    expect(
      await api.refusal('POST', '/api/v1/jobs', { json: { ...json, validationDataset: 'none' } }),
    ).toMatchObject({
      status: 404,
      details: [{ path: 'validationDataset' }],
    });
    for (const name of ['Upper', '../x', 'a/b', `data_${'a'.repeat(24)}`])
      expect(
        await api.refusal('POST', '/api/v1/files', { body: api.form(tinyDataset(5), { name }) }),
      ).toMatchObject({
        status: 400,
        details: expect.arrayContaining([expect.objectContaining({ path: 'name' })]),
      });
  });
});
