import { open } from 'node:fs/promises';
import { entriesOfHeader, HeaderError } from './safetensors-header';

/** Bytes of one value of every dtype that the format names (https://github.com/huggingface/safetensors#format). */
const DTYPE_BYTES = new Map([
  ['BOOL', 1],
  ['U8', 1],
  ['I8', 1],
  ['F8_E5M2', 1],
  ['F8_E4M3', 1],
  ['I16', 2],
  ['U16', 2],
  ['F16', 2],
  ['BF16', 2],
  ['I32', 4],
  ['U32', 4],
  ['F32', 4],
  ['F64', 8],
  ['I64', 8],
  ['U64', 8],
]);

/** The kernel library reads no larger header, and the largest models stay far below. */
const MAX_HEADER_BYTES = 16 << 20;
const MAX_DIMENSIONS = 8;

export interface SafetensorsEntry {
  name: string;
  dtype: string;
  shape: number[];
  /** Position in the file and length, in bytes. */
  offset: number;
  bytes: number;
  elements: number;
}

/** A file that is not what it claims to be; `message` begins with its name. */
export class SafetensorsError extends Error {}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Checks one header entry: a known dtype, a shape whose size is that of data_offsets, inside the data. */
function readEntry(where: string, name: string, entry: unknown, dataBytes: number): SafetensorsEntry {
  const fail = (what: string): never => {
    throw new SafetensorsError(`${where}, tensor '${name.slice(0, 200)}': ${what}`);
  };
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
  const valueBytes = typeof dtype === 'string' ? DTYPE_BYTES.get(dtype) : undefined;
  if (typeof dtype !== 'string' || valueBytes === undefined)
    return fail(`unknown dtype ${JSON.stringify(dtype)?.slice(0, 40)}`);
  if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS || !shape.every(isSize))
    return fail('shape is not a list of at most 8 sizes');
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize))
    return fail('data_offsets are not two positions');
  const [begin, end] = offsets as [number, number];
  const elements = (shape as number[]).reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(elements * valueBytes)) return fail('the shape is too large');
  if (begin > end || end > dataBytes)
    return fail(`data offsets [${begin}, ${end}] lie outside the ${dataBytes} data bytes (truncated file?)`);
  if (end - begin !== elements * valueBytes)
    return fail(`shape and dtype need ${elements * valueBytes} bytes, data offsets give ${end - begin}`);
  return { name, dtype, shape: shape as number[], offset: begin, bytes: end - begin, elements };
}

/** The tensors have to cover the data exactly: overlaps and holes could smuggle bytes past whoever scans the file. */
function checkCover(where: string, entries: SafetensorsEntry[], dataBytes: number): void {
  let at = 0;
  for (const entry of [...entries].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (entry.offset !== at)
      throw new SafetensorsError(
        `${where}: tensors ${entry.offset < at ? 'overlap' : 'leave a hole'} at data byte ${Math.min(at, entry.offset)}`,
      );
    at += entry.bytes;
  }
  if (at !== dataBytes) throw new SafetensorsError(`${where}: ${dataBytes - at} bytes after the last tensor`);
}

/**
 * Reads and checks the header of a safetensors file: its length, that it is JSON, every entry's dtype, shape and offsets, and
 * that the tensors cover the rest of the file without overlap or hole. The weights themselves are not read.
 * `where` names the file in messages. Throws SafetensorsError.
 */
export async function readSafetensorsHeader(path: string, where: string): Promise<SafetensorsEntry[]> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const prefix = Buffer.alloc(8);
    if (size < 8 || (await file.read(prefix, 0, 8, 0)).bytesRead !== 8)
      throw new SafetensorsError(`${where}: ${size} bytes are too few for a safetensors file`);
    const headerBytes = prefix.readBigUInt64LE();
    if (headerBytes > BigInt(MAX_HEADER_BYTES) || headerBytes > BigInt(size - 8))
      throw new SafetensorsError(
        `${where}: a header of ${headerBytes} bytes in a file of ${size}: not a safetensors file, or truncated`,
      );
    const header = Buffer.alloc(Number(headerBytes));
    const { bytesRead } = await file.read(header, 0, header.length, 8);
    if (bytesRead !== header.length || header[0] !== 0x7b)
      throw new SafetensorsError(`${where}: a safetensors header begins with '{'`);
    return parseHeader(header, where, size - 8 - header.length);
  } finally {
    await file.close();
  }
}

function parseHeader(header: Buffer, where: string, dataBytes: number): SafetensorsEntry[] {
  const entries: SafetensorsEntry[] = [];
  try {
    for (const [name, entry] of entriesOfHeader(header))
      entries.push(readEntry(where, name, entry, dataBytes));
  } catch (error) {
    if (error instanceof HeaderError) throw new SafetensorsError(`${where}: ${error.message}`);
    throw error;
  }
  checkCover(where, entries, dataBytes);
  return entries.map((entry) => ({ ...entry, offset: entry.offset + 8 + header.length }));
}
