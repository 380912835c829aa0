import { codeOf } from '@lowrank/testing';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeValues } from './ggml-types';
import { type GgufTensor, openGguf, writeGguf } from './gguf-file';

describe('GGUF files', () => {
  let folder: string;
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'lowrank-gguf-'))));
  afterAll(() => rm(folder, { recursive: true }));

  const tensor = (name: string, shape: number[], values: number[]): GgufTensor => ({
    ...{ name, shape, type: 'F32' },
    bytes: async () => encodeValues(Float32Array.from(values), 'F32'),
  });
  const write = async (name: string): Promise<string> => {
    const file = join(folder, name);
    const metadata = new Map([
      ['general.name', { type: 'text', value: 'größe' } as const],
      ['numbers', { type: 'f32', value: [0.5, -2] } as const],
      ['words', { type: 'text', value: ['a', '', 'ß'] } as const],
      ['yes', { type: 'bool', value: true } as const],
      ['signed', { type: 'i32', value: -3 } as const],
    ]);
    await writeGguf(
      file,
      metadata,
      [tensor('a', [2, 3], [1, 2, 3, 4, 5, 6]), tensor('b', [1], [7])],
      (work) => work(),
    );
    return file;
  };

  it('reads back what it wrote', async () => {
    const gguf = await openGguf(await write('whole'));
    expect(Object.fromEntries([...gguf.metadata].map(([key, { value }]) => [key, value]))).toEqual({
      ...{ 'general.name': 'größe', numbers: [0.5, -2], words: ['a', '', 'ß'], yes: true, signed: -3 },
    });
    expect(gguf.tensors.get('a')?.shape).toEqual([2, 3]);
    expect([...(await gguf.values('a'))]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...(await gguf.values('b'))]).toEqual([7]);
    expect(gguf.tensors.get('b')?.offset).toBe(32);
    expect(await codeOf(gguf.values('c'))).toBe('integrity_failed');
    await gguf.close();
  });

  it('says so when a file is none, or ends too early', async () => {
    const other = join(folder, 'other');
    await writeFile(other, 'safetensors?');
    expect(await codeOf(openGguf(other))).toBe('integrity_failed');
    const cut = await write('cut');
    await truncate(cut, 60);
    expect(await codeOf(openGguf(cut))).toBe('integrity_failed');
  });
});
