import { SafetensorsError } from '@lowrank/datasets';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { safetensorsOf } from '../test/tiny';
import { readSafetensors } from './safetensors';

let folder: string;
let path: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-safetensors-'));
  path = join(folder, 'x.safetensors');
});
afterAll(() => rm(folder, { recursive: true }));

const b = { name: 'b', shape: [2, 1], values: Float32Array.of(1.5, -2) };
const a = { name: 'a', shape: [3], values: Float32Array.of(0, 1e-40, 3e38) };

function headerOf(bytes: Buffer): { text: string; begin: number } {
  const size = Number(bytes.readBigUInt64LE());
  return { text: bytes.toString('utf8', 8, 8 + size), begin: 8 + size };
}

/** A file of one tensor `t` of some dtype. */
async function writeRaw(dtype: string, data: Buffer, count: number): Promise<void> {
  const header = Buffer.from(
    JSON.stringify({ t: { dtype, shape: [count], data_offsets: [0, data.length] } }),
  );
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  await writeFile(path, Buffer.concat([size, header, data]));
}

describe('encodeSafetensors', () => {
  it("writes what the format's own library writes", () => {
    const bytes = safetensorsOf([b, a]);
    const { text, begin } = headerOf(bytes);
    expect(text.trimEnd()).toBe(
      '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[2,1],"data_offsets":[12,20]}}',
    );
    expect(begin % 8).toBe(0);
    expect(bytes.length).toBe(begin + 20);
    expect(bytes.readFloatLE(begin + 12)).toBe(1.5);
  });

  it('writes bfloat16 behind floats, to the nearest and of two the even one', async () => {
    const values = [1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -3, 1e-40];
    const rounded = [1, 1, 1 + 2 ** -6, 1 + 2 ** -7, -3, 2 ** -133];
    const half = { name: 'A', shape: [6], dtype: 'BF16' as const, values: Float32Array.from(values) };
    const bytes = safetensorsOf([half, b]);
    expect(JSON.parse(headerOf(bytes).text)).toMatchObject({
      b: { dtype: 'F32', data_offsets: [0, 8] },
      A: { dtype: 'BF16', data_offsets: [8, 20] },
    });
    await writeFile(path, bytes);
    expect(await readSafetensors(path, 'x')).toEqual([
      b,
      { name: 'A', shape: [6], values: Float32Array.from(rounded) },
    ]);
  });

  it('gives equal bytes whatever the order, and takes views of larger buffers', () => {
    const large = Float32Array.of(9, 9, 1.5, -2, 9);
    const view = { ...b, values: large.subarray(2, 4) };
    expect(safetensorsOf([a, view]).equals(safetensorsOf([b, a]))).toBe(true);
  });
});

describe('readSafetensors', () => {
  it('reads back what was written', async () => {
    await writeFile(path, safetensorsOf([b, a]));
    expect(await readSafetensors(path, 'x')).toEqual([a, b]);
  });

  it('widens F16 exactly', async () => {
    // 1, −2, ⅓ rounded, largest, smallest subnormal, −0, ∞, NaN (IEEE 754 binary16)
    const halves = [0x3c00, 0xc000, 0x3555, 0x7bff, 0x0001, 0x8000, 0x7c00, 0x7e00];
    await writeRaw('F16', Buffer.from(Uint16Array.from(halves).buffer), halves.length);
    const [{ values } = b] = await readSafetensors(path, 'x');
    expect([...values]).toEqual([1, -2, 0.333251953125, 65504, 2 ** -24, -0, Infinity, NaN]);
  });

  it('widens BF16 exactly', async () => {
    const values = [0x3f80, 0xc000, 0x3eab, 0xff80];
    await writeRaw('BF16', Buffer.from(Uint16Array.from(values).buffer), values.length);
    const [tensor] = await readSafetensors(path, 'x');
    expect([...(tensor?.values ?? [])]).toEqual([1, -2, 0.333984375, -Infinity]);
  });

  it('refuses other dtypes and files that are cut off', async () => {
    await writeRaw('I64', Buffer.alloc(8), 1);
    await expect(readSafetensors(path, 'x')).rejects.toThrow(
      "x, tensor 't': dtype I64 is none of F32, F16, BF16",
    );
    await writeFile(path, safetensorsOf([a, b]));
    await truncate(path, safetensorsOf([a, b]).length - 1);
    await expect(readSafetensors(path, 'x')).rejects.toThrow(SafetensorsError);
  });
});
