import { LowrankError, type DatasetFormat, type TokenLengths } from '@lowrank/contracts';
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { encodeChat, type EncodedRow } from './encode';
import { RowError } from './row-error';
import { LengthCollector } from './lengths';
import { parseLine, readLines } from './lines';
import { parseConversations } from './preference';
import { type ChatTokenizer } from './tokenizer';

// A token file, little-endian: 8 bytes magic, u32 conversations (two a preference), u32 zero, f64 file bytes; then for each u32 n, int32 tokens[n], and the
// loss mask as n bytes padded to a multiple of 4.
const MAGIC = Buffer.from('LRTOK1\r\n');
const HEADER_BYTES = 24;
const FLUSH_BYTES = 4 << 20;

export interface EncodeFileOptions {
  format: DatasetFormat;
  maxLineBytes: number;
}

function rowBytes({ tokens, lossMask }: EncodedRow): Buffer {
  const bytes = Buffer.alloc(4 + tokens.length * 4 + Math.ceil(tokens.length / 4) * 4);
  bytes.writeUInt32LE(tokens.length);
  bytes.set(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength), 4);
  bytes.set(lossMask, 4 + tokens.byteLength);
  return bytes;
}

/**
 * The conversations of each row of a JSONL dataset, encoded: of a preference two.
 * Throws LowrankError dataset_invalid with the first line that cannot be used.
 */
async function* encodedRows(
  source: string,
  tokenizer: ChatTokenizer,
  { format, maxLineBytes }: EncodeFileOptions,
): AsyncGenerator<EncodedRow[]> {
  for await (const line of readLines(createReadStream(source, { highWaterMark: 1 << 20 }), maxLineBytes)) {
    const { value, problem } = parseLine(line);
    let conversations: EncodedRow[];
    try {
      if (problem !== null) throw new RowError(problem);
      conversations = parseConversations(value, format).map((chat) => encodeChat(chat, tokenizer));
    } catch (error) {
      // The template may refuse a row too: an order of roles that it does not know, for instance.
      if (!(error instanceof RowError || error instanceof LowrankError)) throw error;
      const path = error instanceof RowError ? error.path : undefined;
      throw new LowrankError('dataset_invalid', `line ${line.line}: ${error.message}`, [
        { line: line.line, ...(path ? { path } : {}), message: error.message },
      ]);
    }
    yield conversations;
  }
}

/** Lengths of every conversation of a JSONL dataset, as encodeDataset would write it. Throws what that throws. */
export async function measureDataset(
  source: string,
  tokenizer: ChatTokenizer,
  options: EncodeFileOptions,
): Promise<TokenLengths> {
  const collector = new LengthCollector();
  for await (const conversations of encodedRows(source, tokenizer, options))
    for (const conversation of conversations) collector.add(conversation);
  return collector.lengths();
}

/**
 * Encodes every row of a JSONL dataset into `target`, which appears whole or not at all.
 * Throws LowrankError dataset_invalid with the first line that cannot be used.
 */
export async function encodeDataset(
  source: string,
  target: string,
  tokenizer: ChatTokenizer,
  options: EncodeFileOptions,
): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const temporary = `${target}.tmp-${randomUUID()}`;
  const file = await open(temporary, 'w');
  try {
    await writeRows(file, source, tokenizer, options);
    await file.sync();
    await file.close();
    await rename(temporary, target);
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeRows(
  file: FileHandle,
  source: string,
  tokenizer: ChatTokenizer,
  options: EncodeFileOptions,
): Promise<void> {
  let pending: Buffer[] = [Buffer.alloc(HEADER_BYTES)];
  let held = HEADER_BYTES;
  let written = 0;
  let rows = 0;
  const flush = async () => {
    for (const part of pending) {
      await file.write(part);
      written += part.length;
    }
    pending = [];
    held = 0;
  };
  for await (const conversations of encodedRows(source, tokenizer, options)) {
    for (const bytes of conversations.map(rowBytes)) {
      pending.push(bytes);
      held += bytes.length;
      rows += 1;
    }
    if (held >= FLUSH_BYTES) await flush();
  }
  await flush();
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt32LE(rows, 8);
  header.writeDoubleLE(written, 16);
  await file.write(header, 0, HEADER_BYTES, 0);
}

/** The conversations of a token file, as views of its bytes; null when there is none or it is not whole. */
export async function readTokenFile(path: string): Promise<EncodedRow[] | null> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (bytes === null || bytes.length < HEADER_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) return null;
  if (bytes.readDoubleLE(16) !== bytes.length) return null;
  // Typed arrays need aligned memory of their own.
  const data = bytes.byteOffset % 4 === 0 ? bytes : Buffer.from(new Uint8Array(bytes));
  const rows: EncodedRow[] = [];
  let at = HEADER_BYTES;
  for (let row = data.readUInt32LE(8); row > 0; row -= 1) {
    if (at + 4 > data.length) return null;
    const length = data.readUInt32LE(at);
    const end = at + 4 + 4 * length + Math.ceil(length / 4) * 4;
    if (end > data.length) return null;
    const tokens = new Int32Array(data.buffer, data.byteOffset + at + 4, length);
    const lossMask = new Uint8Array(data.buffer, data.byteOffset + at + 4 + 4 * length, length);
    rows.push({ tokens, lossMask });
    at = end;
  }
  return at === data.length ? rows : null;
}
