import { type Dataset, type FileLinks, type PartTarget, type UploadState } from '@lowrank/contracts';
import { createHash, randomUUID } from 'node:crypto';
import { TestApi } from '../test/api';
import { publish, startAttempt, submit } from '../test/job';

const endpoint = process.env.TEST_S3_ENDPOINT ?? '';
const describeWithServer = endpoint ? describe : describe.skip;

describeWithServer('with objects on S3', () => {
  let api: TestApi;
  beforeAll(async () => {
    // The server answers unsigned requests for buckets as moto does.
    const bucket = `lowrank-uploads-${randomUUID()}`;
    expect((await fetch(`${endpoint}/${bucket}`, { method: 'PUT' })).status).toBe(200);
    api = await TestApi.start({
      ...{ S3_ENDPOINT: endpoint, S3_BUCKET: bucket },
      ...{ S3_ACCESS_KEY_ID: 'test', S3_SECRET_ACCESS_KEY: 'test' },
    });
  });
  afterAll(async () => {
    expect(await api.staged()).toEqual([]);
    await api.close();
  });

  const staged = async () => {
    const keys: string[] = [];
    for await (const key of api.store.list('uploads/')) keys.push(key);
    return keys;
  };

  it('takes the parts of a large file at the store itself, and makes a dataset of them', async () => {
    const row = JSON.stringify({
      messages: [
        { role: 'user', content: 'word '.repeat(20_000) },
        { role: 'assistant', content: 'yes' },
      ],
    });
    const rows = Buffer.from(Array.from({ length: 90 }, () => row).join('\n'));
    const sha256 = createHash('sha256').update(rows).digest('hex');
    const json = { filename: 'Large chats.jsonl', bytes: rows.length, sha256 };
    const upload = await api.call<UploadState>('POST', '/api/v1/uploads', 201, { json });
    expect(upload.partCount).toBe(2);
    const path = `/api/v1/uploads/${upload.id}`;
    const { parts } = await api.call<{ parts: PartTarget[] }>('POST', `${path}/parts`, 200, {
      json: { numbers: [1, 2] },
    });
    for (const { number, url } of parts) {
      const { origin, searchParams } = new URL(url);
      expect(origin).toBe(new URL(endpoint).origin);
      expect(searchParams.get('X-Amz-Signature')).toMatch(/^[0-9a-f]{64}$/);
      expect(searchParams.get('X-Amz-SignedHeaders')).toContain('content-length');
      expect(Number(searchParams.get('X-Amz-Expires'))).toBeLessThanOrEqual(900);
      const begin = (number - 1) * upload.partBytes;
      const body = new Uint8Array(rows.subarray(begin, begin + upload.partBytes));
      // Without a key of ours: the link is enough.
      expect((await fetch(url, { method: 'PUT', body })).status).toBe(200);
    }
    expect(await api.call<UploadState>('GET', path, 200)).toMatchObject({ arrived: [1, 2] });
    const dataset = await api.call<Dataset>('POST', `${path}/complete`, 201);
    expect(dataset).toMatchObject({ name: 'large-chats', rows: 90, sha256 });
    const content = await api.fetch('GET', `/api/v1/files/${dataset.id}/content`);
    expect(Buffer.from(await content.arrayBuffer()).equals(rows)).toBe(true);
    expect(await staged()).toEqual([]);
  });

  it('lets a version be fetched from the store without a key', async () => {
    await api.importTiny();
    const weights = Buffer.alloc(3000, 'w');
    const file = { 'adapter_model.safetensors': weights };
    await publish(api, await startAttempt(api, await submit(api)), file);
    const path = '/api/v1/adapters/captain/versions/v1/links';
    const { files } = await api.call<FileLinks>('GET', path, 200);
    const { url } = files.find(({ path }) => path === 'adapter_model.safetensors') ?? {};
    expect(new URL(url ?? '').origin).toBe(new URL(endpoint).origin);
    const answer = await fetch(url ?? '');
    expect(answer.headers.get('content-disposition')).toContain('adapter_model.safetensors');
    expect(Buffer.from(await answer.arrayBuffer()).equals(weights)).toBe(true);
  });
});
