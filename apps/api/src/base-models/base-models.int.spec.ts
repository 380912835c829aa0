import { type BaseModel } from '@lowrank/contracts';
import {
  safetensorsBytes,
  tinyConfig,
  tinyDecoder,
  tinyTensors,
  writeQuantizedTinyModel,
  writeTinyModel,
} from '@lowrank/testing';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { TestApi } from '../test/api';

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start({ HF_ENDPOINT: `http://127.0.0.1:${await closedPort()}` });
  await mkdir(join(api.folder, 'models'));
});
afterAll(() => api.close());

const post = (name: string, path: string) =>
  api.refusal('POST', '/api/v1/base-models', { json: { name, source: { type: 'folder', path } } });

describe('importing a folder', () => {
  it('stores its files and makes it ready', async () => {
    const model = await api.importTiny('first');
    expect(model).toMatchObject({
      name: 'first',
      source: 'first',
      status: 'ready',
      modelType: 'llama',
      contextLength: 256,
      decoder: tinyDecoder,
    });
    expect(model.files.map((file) => file.path)).toEqual([
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    const list = model.files.map((file) => `${file.sha256}  ${file.path}\n`).join('');
    expect(model.revision).toBe(createHash('sha256').update(list).digest('hex').slice(0, 40));
    expect(await api.call('GET', '/api/v1/base-models/first', 200)).toEqual(model);
    expect(await api.call('GET', `/api/v1/base-models/${model.id}`, 200)).toEqual(model);
  });

  it('follows links within the import roots, as hub caches have them, and takes plain files only', async () => {
    const folder = api.modelFolder('linked');
    await writeTinyModel(folder);
    await mkdir(join(api.folder, 'models', 'blobs'));
    const blob = join(api.folder, 'models', 'blobs', 'weights');
    await rename(join(folder, 'model.safetensors'), blob);
    await symlink(blob, join(folder, 'model.safetensors'));
    await writeFile(join(folder, 'modeling_tiny.py'), 'import os');
    await writeFile(join(folder, 'pytorch_model.bin'), 'pickle');
    const model = await api.call<BaseModel>('POST', '/api/v1/base-models', 201, {
      json: { name: 'linked', source: { type: 'folder', path: folder } },
    });
    expect(model.files.map((file) => file.path).filter((path) => /py$|bin$/.test(path))).toEqual([]);
  });

  it('takes a checkpoint that bitsandbytes has quantized, and counts its parameters as those of any other', async () => {
    const folder = api.modelFolder('quantized');
    await writeQuantizedTinyModel(folder);
    const model = await api.call<BaseModel>('POST', '/api/v1/base-models', 201, {
      json: { name: 'quantized', source: { type: 'folder', path: folder } },
    });
    const plain = await api.importTiny('plain');
    expect(model).toMatchObject({ status: 'ready', parameters: plain.parameters });
  });

  it('is refused under a name that is taken', async () => {
    await api.importTiny('taken');
    expect(await post('taken', api.modelFolder('taken'))).toMatchObject({ status: 409, code: 'name_taken' });
  });

  it('stays within the import roots', async () => {
    await symlink('/etc', join(api.folder, 'models', 'etc'));
    const outside = join(api.folder, 'outside');
    await writeTinyModel(outside);
    const sibling = `${join(api.folder, 'models')}-other`;
    await writeTinyModel(sibling);
    for (const path of [
      '/etc',
      outside,
      sibling,
      join(api.folder, 'models', 'etc'),
      `${join(api.folder, 'models')}/../outside`,
      'models/first',
      '.',
      '~',
      'file:///etc',
      `${api.modelFolder('first')}\0/etc`,
      api.modelFolder('nothing-there'),
    ])
      expect([path, await post('stray', path)]).toMatchObject([
        path,
        { status: 422, code: 'import_path_refused', details: [{ path: 'source.path' }] },
      ]);
  });

  it('refuses a link that leads out of the roots', async () => {
    const folder = api.modelFolder('leak');
    await writeTinyModel(folder);
    const secret = join(api.folder, 'secret.json');
    await copyFile(join(folder, 'generation_config.json'), secret);
    await rm(join(folder, 'generation_config.json'));
    await symlink(secret, join(folder, 'generation_config.json'));
    expect(await post('leak', folder)).toMatchObject({ status: 422, code: 'import_path_refused' });
  });

  it.each<[string, string, (folder: string) => Promise<void>]>([
    [
      'pickled weights only',
      'pickle_refused',
      (folder) => rename(join(folder, 'model.safetensors'), join(folder, 'pytorch_model.bin')),
    ],
    ['no weights', 'base_model_invalid', (folder) => rm(join(folder, 'model.safetensors'))],
    ['no tokenizer', 'base_model_invalid', (folder) => rm(join(folder, 'tokenizer.json'))],
    [
      'truncated weights',
      'base_model_invalid',
      (folder) => truncate(join(folder, 'model.safetensors'), 50_000),
    ],
    [
      'weights that are something else',
      'base_model_invalid',
      (folder) => writeFile(join(folder, 'model.safetensors'), Buffer.alloc(4096, 0x80)),
    ],
    [
      'a tensor missing',
      'base_model_invalid',
      (folder) => {
        const rest = tinyTensors();
        delete rest['model.norm.weight'];
        return writeFile(join(folder, 'model.safetensors'), safetensorsBytes(rest));
      },
    ],
    [
      'scales of another size',
      'base_model_invalid',
      async (folder) => {
        await writeQuantizedTinyModel(folder);
        const scale = { shape: [7], values: new Float32Array(7) };
        const codes = { shape: [48, 32], values: new Int8Array(48 * 32) };
        const module = 'model.layers.0.mlp.up_proj';
        const tensors = { ...tinyTensors(), [`${module}.SCB`]: scale, [`${module}.weight`]: codes };
        await writeFile(join(folder, 'model.safetensors'), safetensorsBytes(tensors));
      },
    ],
    [
      'weights quantized by others',
      'base_model_unsupported',
      (folder) =>
        writeFile(
          join(folder, 'config.json'),
          JSON.stringify({ ...tinyConfig, quantization_config: { quant_method: 'gptq', bits: 4 } }),
        ),
    ],
    ['broken configuration', 'base_model_invalid', (folder) => writeFile(join(folder, 'config.json'), '{')],
    [
      'another architecture',
      'base_model_unsupported',
      (folder) => writeFile(join(folder, 'config.json'), '{"model_type":"gpt2"}'),
    ],
  ])('refuses a folder with %s: %s', async (title, code, spoil) => {
    const name = title.replace(/ /g, '-');
    const folder = api.modelFolder(name);
    await writeTinyModel(folder);
    await spoil(folder);
    expect(await post(name, folder)).toMatchObject({ status: 422, code });
    expect((await api.fetch('GET', `/api/v1/base-models/${name}`)).status).toBe(404);
  });
});

describe('importing from a hub', () => {
  const fromHub = (id: string, revision?: string) =>
    api.refusal('POST', '/api/v1/base-models', {
      json: { name: 'hub', source: { type: 'hub', id, revision } },
    });

  it('says so when the hub cannot be reached, and leaves nothing behind', async () => {
    expect(await fromHub('owner/name')).toMatchObject({
      status: 502,
      code: 'hub_unreachable',
      message: expect.stringContaining('ECONNREFUSED'),
    });
    expect(await api.staged()).toEqual([]);
  });

  it.each(['name', '../..', 'owner/../name', 'owner/name/more', 'http://host/x', 'owner/na me'])(
    'refuses the id %j',
    async (id) => expect(await fromHub(id)).toMatchObject({ status: 400, code: 'validation_failed' }),
  );

  it.each(['../x', 'a..b', 'main?x', '-main', ''])('refuses the revision %j', async (revision) =>
    expect(await fromHub('owner/name', revision)).toMatchObject({ status: 400, code: 'validation_failed' }),
  );
});

describe('reading', () => {
  it('lists newest first, by pages', async () => {
    for (const name of ['page-1', 'page-2', 'page-3']) await api.importTiny(name);
    const names = async (query: string) => {
      const { data, hasMore } = await api.call<{ data: BaseModel[]; hasMore: boolean }>(
        'GET',
        `/api/v1/base-models?${query}`,
        200,
      );
      return { names: data.map((model) => model.name), hasMore, last: data.at(-1)?.id };
    };
    const first = await names('limit=2');
    expect(first).toMatchObject({ names: ['page-3', 'page-2'], hasMore: true });
    expect((await names(`limit=2&after=${first.last}`)).names[0]).toBe('page-1');
  });

  it('downloads a file, whole, with its hash as ETag', async () => {
    const { files } = await api.importTiny('download');
    const file = files.find((one) => one.path === 'model.safetensors');
    const path = '/api/v1/base-models/download/files/model.safetensors';
    const response = await api.fetch('GET', path);
    expect(response.headers.get('content-length')).toBe(String(file?.bytes));
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="model.safetensors"');
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(bytes).toEqual(await readFile(join(api.modelFolder('download'), 'model.safetensors')));
    const etag = response.headers.get('etag') ?? '';
    expect(etag).toBe(`"${file?.sha256}"`);
    expect((await api.fetch('GET', path, { headers: { 'if-none-match': etag } })).status).toBe(304);
    expect(await api.refusal('GET', '/api/v1/base-models/download/files/vocab.json')).toMatchObject({
      status: 404,
      code: 'not_found',
    });
  });
});

/** A loopback port that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
