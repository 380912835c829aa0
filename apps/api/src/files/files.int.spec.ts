import { type Dataset, type DatasetPreview, type DatasetStatistics } from '@lowrank/contracts';
import { tinyDataset } from '@lowrank/testing';
import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { TestApi } from '../test/api';

const lineBytes = 64 * 1024;
const uploadBytes = 512 * 1024;

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start({
    LOWRANK_MAX_LINE_BYTES: String(lineBytes),
    LOWRANK_MAX_UPLOAD_BYTES: String(uploadBytes),
  });
});
afterEach(async () => expect(await api.staged()).toEqual([]));
afterAll(() => api.close());

const parquet = (name: string): Promise<Buffer> =>
  readFile(join(__dirname, `../../../../libs/datasets/test/parquet/${name}.parquet`));

const refused = (content: string | Uint8Array, fields?: Record<string, string>) =>
  api.refusal('POST', '/api/v1/files', { body: api.form(content, fields) });

describe('uploading', () => {
  it('checks and stores a dataset; without a base model there is nothing to count tokens with', async () => {
    const content = tinyDataset(24);
    const dataset = await api.upload(content);
    expect(dataset).toMatchObject({
      filename: 'chats.jsonl',
      bytes: content.length,
      format: 'chat',
      rows: 24,
      tokens: null,
      tokensOf: null,
    });
    expect(await api.call('GET', `/api/v1/files/${dataset.id}`, 200)).toEqual(dataset);
    const response = await api.fetch('GET', `/api/v1/files/${dataset.id}/content`);
    expect(await response.text()).toBe(content);
    expect(response.headers.get('etag')).toBe(`"${dataset.sha256}"`);
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="chats.jsonl"');
  });

  it('counts tokens with the oldest base model, or the one that is named', async () => {
    await api.importTiny('oldest');
    const other = await api.importTiny('other');
    expect(await api.upload()).toMatchObject({ tokensOf: 'oldest', tokens: expect.any(Number) });
    for (const baseModel of ['other', other.id]) {
      const dataset = await api.call<Dataset>('POST', '/api/v1/files', 201, {
        body: api.form(tinyDataset(4), { baseModel }),
      });
      expect(dataset.tokensOf).toBe('other');
      expect(dataset.lossTokens).toBeGreaterThan(0);
      expect(dataset.tokens).toBeGreaterThan(dataset.lossTokens ?? 0);
    }
  });

  it.each([
    ['prompt-completion', '{"prompt":"2+2","completion":"4"}\n'],
    ['alpaca', '{"instruction":"Add.","input":"2 2","output":"4"}\n'],
    ['preference', '{"prompt":"2+2","chosen":"4","rejected":"5"}\n'],
    ['sharegpt', '{"conversations":[{"from":"human","value":"2+2"},{"from":"gpt","value":"4"}]}\n'],
  ])('recognises %s', async (format, line) =>
    expect(await api.upload(line.repeat(3))).toMatchObject({ format, rows: 3 }),
  );

  it.each<[string, () => Promise<Buffer> | Buffer | string, string, number]>([
    ['pairs.csv', () => 'prompt;completion\n"2\n+2";4\n1+1;2\n', 'prompt-completion', 2],
    ['chats.parquet', () => parquet('zstd'), 'chat', 7],
    ['pairs.jsonl.gz', () => gzipSync('{"prompt":"2+2","completion":"4"}\n'), 'prompt-completion', 1],
    ['pairs.json', () => '[{"prompt":"3+3",\n"completion":"6"}]', 'prompt-completion', 1],
  ])('makes JSONL of %s', async (name, content, format, rows) => {
    const body = api.form(await content(), {}, name);
    const dataset = await api.call<Dataset>('POST', '/api/v1/files', 201, { body });
    expect(dataset).toMatchObject({ filename: name, format, rows });
    const response = await api.fetch('GET', `/api/v1/files/${dataset.id}/content`);
    expect(response.headers.get('content-disposition')).toMatch(/filename="(pairs|chats)\.jsonl"$/);
    const lines = (await response.text()).split('\n').filter((line) => line !== '');
    expect(lines.map((line) => JSON.parse(line))).toHaveLength(rows);
  });

  it('keeps the last part of a name, without what could do harm', async () => {
    const body = api.form(tinyDataset(2), {}, '../../etc/"Grüße"\t.jsonl');
    const dataset = await api.call<Dataset>('POST', '/api/v1/files', 201, { body });
    expect(dataset.filename).not.toMatch(/[/\\\t]/);
    const response = await api.fetch('GET', `/api/v1/files/${dataset.id}/content`);
    expect(response.headers.get('content-disposition')).toMatch(/^attachment; filename="[\w ._-]+"/);
  });
});

describe('refusing', () => {
  it.each<[string, string, () => Promise<Buffer> | Buffer | string, number, object]>([
    [
      'a cell',
      'a.csv',
      () => 'prompt,completion\na,b\n"c\nd",\n',
      422,
      { details: [{ line: 3, path: 'completion' }] },
    ],
    ['a record', 'a.csv', () => 'prompt,completion\na\n', 422, { details: [{ line: 2 }] }],
    ['half a Parquet file', 'a.parquet', async () => (await parquet('zstd')).subarray(0, 999), 422, {}],
    ['a codec', 'a.parquet', () => parquet('lz4'), 422, { message: expect.stringMatching(/LZ4/) }],
    [
      'what gzip becomes',
      'a.jsonl.gz',
      () => gzipSync(Buffer.alloc(2 ** 26)),
      413,
      { code: 'body_too_large' },
    ],
    ['a ZIP archive', 'a.xlsx', () => 'PK\u0003\u0004', 422, { message: expect.stringMatching(/Excel/) }],
    [
      'a tool that cannot be called',
      'a.jsonl',
      () =>
        `{"messages":[{"role":"assistant","content":"a"}],"tools":${'['.repeat(9999)}${']'.repeat(9999)}}`,
      422,
      { details: [{ line: 1, path: 'tools.0' }] },
    ],
  ])('for %s of another encoding', async (_title, name, content, status, error) => {
    const body = api.form(await content(), {}, name);
    expect(await api.refusal('POST', '/api/v1/files', { body })).toMatchObject({ status, ...error });
    await api.call('GET', '/health', 200);
  });

  it('names every wrong line, and where in it', async () => {
    const good = tinyDataset(1).trim();
    const content = [
      good,
      '{"messages": [',
      '{"messages":[{"role":"user","content":"hi"}]}',
      '{"messages":[{"role":"robot","content":"hi"}]}',
      '[]',
      good,
    ].join('\n');
    const error = await refused(content);
    expect(error).toMatchObject({ status: 422, code: 'dataset_invalid' });
    expect(error.details?.map((detail) => detail.line)).toEqual([2, 3, 4, 5]);
    expect(error.details?.every((detail) => detail.message.length > 5)).toBe(true);
  });

  it('shows the first 20 of many', async () => {
    const error = await refused('{"a":1}\n'.repeat(500));
    expect(error.details).toHaveLength(20);
    expect(error.message).toContain('500');
  });

  it.each<[string, string | Uint8Array, Record<string, string>, number, string]>([
    ['an empty file', '', {}, 422, 'dataset_empty'],
    ['blank lines only', '\n\n  \n', {}, 422, 'dataset_empty'],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0xff, 0xfe, 0x7d, 0x0a]), {}, 422, 'dataset_invalid'],
    ['rows of another format than named', tinyDataset(2), { format: 'alpaca' }, 422, 'dataset_invalid'],
    ['an unknown format', tinyDataset(2), { format: 'csv' }, 400, 'validation_failed'],
    ['an unknown field', tinyDataset(2), { purpose: 'fine-tune' }, 400, 'validation_failed'],
    ['a field that would change an object', tinyDataset(2), { ['__proto__']: 'x' }, 400, 'validation_failed'],
    ['an unknown base model', tinyDataset(2), { baseModel: 'none' }, 404, 'not_found'],
    ['a base model with a path', tinyDataset(2), { baseModel: '../../etc' }, 404, 'not_found'],
    ['a base model with a NUL', tinyDataset(2), { baseModel: 'a\0b' }, 400, 'validation_failed'],
    ['a very long field', tinyDataset(2), { baseModel: 'x'.repeat(5000) }, 400, 'validation_failed'],
    ['a line over the limit', `{"a":"${'x'.repeat(lineBytes)}"}\n`, {}, 422, 'dataset_invalid'],
    ['a file over the limit', tinyDataset(1).repeat(1 + uploadBytes / 80), {}, 413, 'body_too_large'],
  ])('%s', async (_title, content, fields, status, code) =>
    expect(await refused(content, fields)).toMatchObject({ status, code }),
  );

  it('what is no upload', async () => {
    expect(await api.refusal('POST', '/api/v1/files', { json: {} })).toMatchObject({
      status: 415,
      code: 'unsupported_media_type',
    });
    const empty = new FormData();
    empty.set('format', 'chat');
    expect(await api.refusal('POST', '/api/v1/files', { body: empty })).toMatchObject({
      status: 400,
      details: [{ path: 'file' }],
    });
    const two = api.form(tinyDataset(1));
    two.append('file', new Blob([tinyDataset(1)]), 'more.jsonl');
    expect((await api.refusal('POST', '/api/v1/files', { body: two })).status).toBeGreaterThanOrEqual(400);
    const headers = { 'content-type': 'multipart/form-data; boundary=x' };
    for (const body of [
      '',
      '--x\r\n',
      '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{}',
    ])
      expect(await api.refusal('POST', '/api/v1/files', { body, headers })).toMatchObject({ status: 400 });
  });

  it('a line without end, long before it ends', async () => {
    const { status, body, sent } = await sendEndlessLine();
    expect(status).toBe(422);
    expect(JSON.parse(body)).toMatchObject({ error: { code: 'dataset_invalid', details: [{ line: 1 }] } });
    // Refused within what sockets and streams buffer beyond the limit; the sender would have gone on to three gigabytes.
    expect(sent).toBeLessThan(64 * 2 ** 20);
    await api.call('GET', '/health', 200);
  });
});

/** Sends one line in chunks until the server answers or three gigabytes are sent. */
function sendEndlessLine(): Promise<{ status: number | undefined; body: string; sent: number }> {
  const chunk = Buffer.alloc(64 * 1024, 'x');
  let sent = 0;
  return new Promise((resolve, reject) => {
    let answered = false;
    const request = httpRequest(
      `${api.url}/api/v1/files`,
      {
        method: 'POST',
        headers: {
          authorization: `Bearer ${api.memberKey}`,
          'content-type': 'multipart/form-data; boundary=b',
        },
      },
      (response) => {
        answered = true;
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => (body += text));
        response.once('end', () => {
          request.destroy();
          resolve({ status: response.statusCode, body, sent });
        });
      },
    );
    request.once('error', (error) => answered || reject(error));
    request.write('--b\r\nContent-Disposition: form-data; name="file"; filename="x.jsonl"\r\n\r\n{"a":"');
    const send = () => {
      if (answered || sent > 3 * 2 ** 30) return;
      sent += chunk.length;
      request.write(chunk, send);
    };
    send();
  });
}

describe('previewing', () => {
  it('shows rows as a base model sees them', async () => {
    const base = await api.importTiny('previewing');
    const { id } = await api.upload(tinyDataset(3));
    const path = `/api/v1/files/${id}/preview`;
    const preview = await api.call<DatasetPreview>('GET', `${path}?baseModel=previewing&row=2&rows=9`, 200);
    expect(preview).toMatchObject({ baseModel: 'previewing', hasMore: false });
    expect(preview.rows.map(({ row, line, error }) => [row, line, error])).toEqual([
      [2, 2, null],
      [3, 3, null],
    ]);
    const [conversation] = preview.rows[0]?.conversations ?? [];
    const text = conversation?.tokens.map((token) => token.text).join('') ?? '';
    expect(text).toContain('<|im_start|>user');
    const learnt = conversation?.tokens.filter((token) => token.learnt).map((token) => token.text);
    expect(text).toContain(learnt?.join(''));
    const first = await api.call<DatasetPreview>('GET', `${path}?baseModel=${base.id}`, 200);
    expect([first.rows.length, first.hasMore]).toEqual([1, true]);
    expect(await api.call('GET', `${path}?row=99`, 200)).toMatchObject({ rows: [], hasMore: false });
    for (const query of ['row=0', 'rows=21', 'row=x', 'baseModel=', 'other=1'])
      expect(await api.refusal('GET', `${path}?${query}`)).toMatchObject({ status: 400 });
    expect(await api.refusal('GET', `${path}?baseModel=none`)).toMatchObject({ status: 404 });
  });
});

describe('statistics', () => {
  it('counts lengths and copies once, and keeps them', async () => {
    await api.importTiny('counting');
    const rows = tinyDataset(6);
    const [first = ''] = rows.split('\n');
    const { id, tokens, lossTokens } = await api.upload(`${rows}${first}\n`);
    const held = await api.upload(`${first}\n`);
    const path = `/api/v1/files/${id}/statistics?baseModel=counting&sequenceLength=8&against=${held.id}`;
    const statistics = await api.call<DatasetStatistics>('GET', path, 200);
    expect(statistics).toMatchObject({
      baseModel: 'counting',
      lengths: { conversations: 7, tokens, lossTokens, tooLong: { sequenceLength: 8, conversations: 7 } },
      duplicates: {
        rows: 7,
        exact: { rows: 1, groups: [{ line: 1, copies: [7] }] },
        overlap: { rows: 1, exact: { rows: 1, groups: [{ line: 1, copies: [1] }] } },
      },
    });
    const fetched = jest.spyOn(api.blobs, 'fetchTo');
    expect(await api.call('GET', path, 200)).toEqual(statistics);
    expect(fetched).not.toHaveBeenCalled();
    for (const query of ['sequenceLength=0', 'against=X', 'other=1'])
      expect(await api.refusal('GET', `/api/v1/files/${id}/statistics?${query}`)).toMatchObject({
        status: 400,
      });
    const unknown = held.id.replace(/.{4}$/, 'aaaa');
    expect(await api.refusal('GET', `/api/v1/files/${id}/statistics?against=${unknown}`)).toMatchObject({
      status: 404,
      details: [{ path: 'against' }],
    });
  });
});

describe('deleting', () => {
  it('waits for unfinished jobs', async () => {
    await api.importTiny('deleting');
    const { id } = await api.upload();
    const json = {
      baseModel: 'deleting',
      dataset: id,
      adapter: 'x',
      recipe: { training: { sequenceLength: 64 } },
    };
    const job = await api.call<{ id: string }>('POST', '/api/v1/jobs', 201, { json });
    expect(await api.refusal('DELETE', `/api/v1/files/${id}`)).toMatchObject({ status: 409, code: 'in_use' });
    await api.call('POST', `/api/v1/jobs/${job.id}/cancel`, 200);
    await api.call('DELETE', `/api/v1/files/${id}`, 204);
    expect(await api.refusal('GET', `/api/v1/files/${id}`)).toMatchObject({ status: 404 });
    expect(await api.call('GET', `/api/v1/jobs/${job.id}`, 200)).toMatchObject({ dataset: { id } });
  });
});
