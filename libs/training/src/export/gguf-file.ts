import { LowrankError } from '@lowrank/contracts';
import { type FileHandle, open } from 'node:fs/promises';
import { decodeValues, ggmlTypes, type GgmlType } from './ggml-types';

/** Types of metadata by their numbers in a file. */
const kinds = { u32: 4, i32: 5, f32: 6, bool: 7, text: 8, array: 9 } as const;
type Scalar = Exclude<keyof typeof kinds, 'array'>;

/** A value of a file's metadata: one, or a list of one type. */
export interface MetaValue {
  type: Scalar;
  value: number | boolean | string | readonly number[] | readonly string[];
}
export type Metadata = ReadonlyMap<string, MetaValue>;

/** A tensor to be written: `shape` outermost first, as safetensors has it. */
export interface GgufTensor {
  name: string;
  shape: readonly number[];
  type: GgmlType;
  /** Its bytes, made when they are written. */
  bytes(): Promise<Buffer>;
}

const VERSION = 3;
const ALIGNMENT = 32;
const padding = (bytes: number): number => (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT;

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string): Buffer => {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([u64(bytes.length), bytes]);
};

function scalar(type: Scalar, value: unknown): Buffer {
  if (type === 'text') return text(value as string);
  if (type === 'bool') return Buffer.of(value === true ? 1 : 0);
  const bytes = Buffer.alloc(4);
  if (type === 'u32') bytes.writeUInt32LE(value as number);
  else if (type === 'i32') bytes.writeInt32LE(value as number);
  else bytes.writeFloatLE(value as number);
  return bytes;
}

function encodeMeta({ type, value }: MetaValue): Buffer {
  if (!Array.isArray(value)) return Buffer.concat([u32(kinds[type]), scalar(type, value)]);
  const items = (value as unknown[]).map((item) => scalar(type, item));
  return Buffer.concat([u32(kinds.array), u32(kinds[type]), u64(items.length), ...items]);
}

export const elements = (shape: readonly number[]): number =>
  shape.reduce((product, size) => product * size, 1);

/** Bytes of a tensor. Rows are whole blocks. */
function tensorBytes({ shape, type }: Pick<GgufTensor, 'shape' | 'type'>): number {
  const { block, bytes } = ggmlTypes[type];
  return (elements(shape) / block) * bytes;
}

/** Everything before the tensors: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3, little-endian. */
function encodeHeader(metadata: Metadata, tensors: readonly GgufTensor[]): Buffer {
  const parts = [Buffer.from('GGUF'), u32(VERSION), u64(tensors.length), u64(metadata.size)];
  for (const [key, value] of metadata) parts.push(text(key), encodeMeta(value));
  let offset = 0;
  for (const tensor of tensors) {
    const { name, shape, type } = tensor;
    // Dimensions innermost first.
    const sizes = [...shape].reverse().map(u64);
    parts.push(text(name), u32(shape.length), ...sizes, u32(ggmlTypes[type].id), u64(offset));
    const bytes = tensorBytes(tensor);
    offset += bytes + padding(bytes);
  }
  const header = Buffer.concat(parts);
  return Buffer.concat([header, Buffer.alloc(padding(header.length))]);
}

/** Writes a GGUF file, tensor by tensor. `step` is called around each of them. */
export async function writeGguf(
  path: string,
  metadata: Metadata,
  tensors: readonly GgufTensor[],
  step: (work: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(encodeHeader(metadata, tensors));
    for (const tensor of tensors)
      await step(async () => {
        const bytes = await tensor.bytes();
        if (bytes.length !== tensorBytes(tensor))
          throw new LowrankError('internal', `${tensor.name} has ${bytes.length} bytes`);
        await file.writeFile(Buffer.concat([bytes, Buffer.alloc(padding(bytes.length))]));
      });
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A GGUF file that is open for reading. */
export interface GgufFile {
  metadata: Metadata;
  /** Shapes outermost first. */
  tensors: ReadonlyMap<string, { shape: number[]; type: GgmlType; offset: number }>;
  /** Values of a tensor as any reader makes them of its blocks. Throws LowrankError integrity_failed. */
  values(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/** Reads on through a file, some of it at a time. */
class Cursor {
  private buffer = Buffer.alloc(0);
  private at = 0;
  position = 0;
  constructor(private readonly file: FileHandle) {}

  async take(bytes: number): Promise<Buffer> {
    while (this.buffer.length - this.at < bytes) {
      const chunk = Buffer.alloc(Math.max(1 << 20, bytes));
      const read = await this.file.read(chunk, 0, chunk.length, this.position + this.buffer.length - this.at);
      if (read.bytesRead === 0) throw new LowrankError('integrity_failed', 'the GGUF file ends too early');
      this.buffer = Buffer.concat([this.buffer.subarray(this.at), chunk.subarray(0, read.bytesRead)]);
      this.at = 0;
    }
    const out = this.buffer.subarray(this.at, this.at + bytes);
    this.at += bytes;
    this.position += bytes;
    return out;
  }

  u32 = async (): Promise<number> => (await this.take(4)).readUInt32LE();
  u64 = async (): Promise<number> => Number((await this.take(8)).readBigUInt64LE());
  text = async (): Promise<string> => (await this.take(await this.u64())).toString('utf8');
}

const kindNames = new Map(Object.entries(kinds).map(([name, id]) => [id as number, name]));
const typeNames = new Map(
  Object.entries(ggmlTypes).map(([name, { id }]) => [id as number, name as GgmlType]),
);

async function readScalar(cursor: Cursor, type: Scalar): Promise<number | boolean | string> {
  if (type === 'text') return cursor.text();
  if (type === 'bool') return (await cursor.take(1))[0] === 1;
  const bytes = await cursor.take(4);
  return type === 'u32' ? bytes.readUInt32LE() : type === 'i32' ? bytes.readInt32LE() : bytes.readFloatLE();
}

async function readMeta(cursor: Cursor): Promise<MetaValue> {
  const kind = kindNames.get(await cursor.u32());
  if (kind === 'array') {
    const type = kindNames.get(await cursor.u32()) as Scalar;
    const length = await cursor.u64();
    const value: unknown[] = [];
    for (let i = 0; i < length; i += 1) value.push(await readScalar(cursor, type));
    return { type, value: value as number[] };
  }
  return { type: kind as Scalar, value: await readScalar(cursor, kind as Scalar) };
}

/** Opens a file that writeGguf has written. Throws LowrankError integrity_failed. */
export async function openGguf(path: string): Promise<GgufFile> {
  const file = await open(path, 'r');
  try {
    return await readGguf(file, path);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function readGguf(file: FileHandle, path: string): Promise<GgufFile> {
  const cursor = new Cursor(file);
  const magic = (await cursor.take(4)).toString('latin1');
  if (magic !== 'GGUF' || (await cursor.u32()) !== VERSION)
    throw new LowrankError('integrity_failed', `${path} is no GGUF file of version ${VERSION}`);
  const tensorCount = await cursor.u64();
  const metaCount = await cursor.u64();
  const metadata = new Map<string, MetaValue>();
  for (let i = 0; i < metaCount; i += 1) metadata.set(await cursor.text(), await readMeta(cursor));
  const tensors = new Map<string, { shape: number[]; type: GgmlType; offset: number }>();
  for (let i = 0; i < tensorCount; i += 1) {
    const name = await cursor.text();
    const dimensions = await cursor.u32();
    const shape: number[] = [];
    for (let d = 0; d < dimensions; d += 1) shape.unshift(await cursor.u64());
    const type = typeNames.get(await cursor.u32()) as GgmlType;
    tensors.set(name, { shape, type, offset: await cursor.u64() });
  }
  const data = cursor.position + padding(cursor.position);
  return {
    metadata,
    tensors,
    async values(name) {
      const found = tensors.get(name);
      if (found === undefined) throw new LowrankError('integrity_failed', `the GGUF file has no ${name}`);
      const bytes = Buffer.from(new ArrayBuffer(tensorBytes(found)));
      for (let at = 0; at < bytes.length;) {
        const position = data + found.offset + at;
        const { bytesRead } = await file.read(bytes, at, Math.min(bytes.length - at, 1 << 30), position);
        if (bytesRead === 0) throw new LowrankError('integrity_failed', `the GGUF file ends within ${name}`);
        at += bytesRead;
      }
      return decodeValues(bytes, found.type);
    },
    close: () => file.close(),
  };
}
