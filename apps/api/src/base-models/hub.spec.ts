import { writeTinyModel } from '@lowrank/testing';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalHub } from '../test/hub';
import { downloadModel } from './hub';

const model = { id: 'owner/name', revision: 'main' };
let folder: string;
let hub: LocalHub | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-hub-'));
});
afterEach(async () => {
  await hub?.close();
  hub = undefined;
  await rm(folder, { recursive: true, force: true });
});

async function tinyFiles(): Promise<Record<string, Buffer>> {
  const source = join(folder, 'source');
  await writeTinyModel(source);
  const names = await readdir(source);
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(source, name))] as const)),
  );
}
const download = async (from: LocalHub) => {
  hub = from;
  const target = await mkdtemp(join(folder, 'target-'));
  return { ...(await downloadModel(model, target, from.url)), target };
};

it('fetches data files of the commit that a branch stands for, and nothing that could be code', async () => {
  const files = await tinyFiles();
  const extra = { 'modeling.py': Buffer.from('import os'), 'pytorch_model.bin': Buffer.from('pickle') };
  const { revision, target } = await download(await LocalHub.start({ ...files, ...extra }));
  expect(revision).toBe(LocalHub.commit);
  expect((await readdir(target)).sort()).toEqual(Object.keys(files).sort());
  for (const [name, content] of Object.entries(files))
    expect(await readFile(join(target, name))).toEqual(content);
  expect(hub?.asked.some((path) => /\.(py|bin)$/.test(path))).toBe(false);
});

it('refuses pickled weights before fetching anything', async () => {
  const { 'model.safetensors': weights, ...rest } = await tinyFiles();
  const pickled = await LocalHub.start({ ...rest, 'pytorch_model.bin': weights as Buffer });
  await expect(download(pickled)).rejects.toMatchObject({ code: 'pickle_refused' });
  expect(pickled.asked.some((path) => path.includes('/resolve/'))).toBe(false);
});

it.each([
  ['other bytes of the same length', (weights: Buffer) => Buffer.from(weights).fill(7, 5000, 5001)],
  ['too few bytes', (weights: Buffer) => weights.subarray(0, 60_000)],
  ['too many bytes', (weights: Buffer) => Buffer.concat([weights, Buffer.alloc(100)])],
])('refuses weights that arrive with %s', async (_title, tamper) => {
  const files = await tinyFiles();
  const tampering = await LocalHub.start(files);
  tampering.tampered['model.safetensors'] = tamper(files['model.safetensors'] as Buffer);
  await expect(download(tampering)).rejects.toMatchObject({
    code: 'hub_unreachable',
    message: expect.stringContaining('model.safetensors'),
  });
});

it('follows the hub to where its files are, unless that is a place that nobody may be sent to', async () => {
  const files = await tinyFiles();
  const weights = 'model.safetensors';
  const store = await LocalHub.start(files);
  try {
    hub = await LocalHub.start(files);
    hub.elsewhere[weights] = `${store.url}/owner/name/resolve/${LocalHub.commit}/${weights}`;
    const target = await mkdtemp(join(folder, 'target-'));
    const { url } = hub;
    // On loopback, like the hub, but not the hub.
    const refusal = { code: 'address_refused', help: expect.stringContaining('LOWRANK_IMPORT_NETWORKS') };
    await expect(downloadModel(model, target, url)).rejects.toMatchObject(refusal);
    expect(store.asked).toEqual([]);
    const allowed = await mkdtemp(join(folder, 'target-'));
    await downloadModel(model, allowed, url, ['127.0.0.1/32']);
    expect(await readFile(join(allowed, weights))).toEqual(files[weights]);
    expect(store.asked.length).toBeGreaterThan(0);
  } finally {
    await store.close();
  }
});

it.each(['http://169.254.169.254/latest/meta-data/', 'http://[::ffff:a9fe:a9fe]/', 'http://0x7f.1:8081/'])(
  'refuses to be sent on to %s',
  async (location) => {
    const files = await tinyFiles();
    const sending = await LocalHub.start(files);
    sending.elsewhere['config.json'] = location;
    await expect(download(sending)).rejects.toMatchObject({
      code: 'address_refused',
      message: expect.stringContaining('is not a public address'),
    });
  },
);

it('says when the hub has no such model', async () => {
  hub = await LocalHub.start({});
  await expect(downloadModel({ id: 'owner/other', revision: 'main' }, folder, hub.url)).rejects.toMatchObject(
    {
      code: 'not_found',
      details: [{ path: 'source.id' }],
    },
  );
});
