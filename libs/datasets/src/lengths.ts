import { type TokenLengths } from '@lowrank/contracts';
import { type EncodedRow } from './encode';

/** Learnt tokens of a loss mask as begin, end, begin, end …: [begin, end), ascending. */
export function learntSpans(lossMask: Uint8Array): number[] {
  const spans: number[] = [];
  for (let begin = lossMask.indexOf(1); begin >= 0;) {
    const end = lossMask.indexOf(0, begin);
    spans.push(begin, end < 0 ? lossMask.length : end);
    begin = end < 0 ? -1 : lossMask.indexOf(1, end);
  }
  return spans;
}

/** Numbers in memory that grows by doubling: a plain array of millions takes several times as much. */
class Numbers {
  private values = new Int32Array(1024);
  private count = 0;

  push(value: number): void {
    if (this.count === this.values.length) {
      const larger = new Int32Array(2 * this.count);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.count] = value;
    this.count += 1;
  }

  get length(): number {
    return this.count;
  }

  toArray(): Int32Array {
    return this.values.slice(0, this.count);
  }
}

/** Collects the lengths of conversations, one after the other. */
export class LengthCollector {
  private readonly tokens = new Numbers();
  private readonly starts = new Numbers();
  private readonly spans = new Numbers();

  constructor() {
    this.starts.push(0);
  }

  add({ tokens, lossMask }: EncodedRow): void {
    this.tokens.push(tokens.length);
    for (const edge of learntSpans(lossMask)) this.spans.push(edge);
    this.starts.push(this.spans.length);
  }

  lengths(): TokenLengths {
    return { tokens: this.tokens.toArray(), starts: this.starts.toArray(), spans: this.spans.toArray() };
  }
}

// Lengths as bytes, little-endian: 8 bytes magic, u32 conversations n, u32 numbers in spans, then int32 tokens[n], starts[n + 1], spans.
const MAGIC = Buffer.from('LRLEN1\r\n');
const HEADER_BYTES = 16;

export function packLengths({ tokens, starts, spans }: TokenLengths): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt32LE(tokens.length, 8);
  header.writeUInt32LE(spans.length, 12);
  const parts = [tokens, starts, spans].map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  return Buffer.concat([header, ...parts]);
}

/** null when the bytes are none of packLengths, or not whole. */
export function unpackLengths(bytes: Uint8Array): TokenLengths | null {
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (source.length < HEADER_BYTES || !source.subarray(0, 8).equals(MAGIC)) return null;
  const [n, edges] = [source.readUInt32LE(8), source.readUInt32LE(12)];
  if (source.length !== HEADER_BYTES + 4 * (2 * n + 1 + edges)) return null;
  // Typed arrays need aligned memory of their own.
  const numbers = new Int32Array(new Uint8Array(source.subarray(HEADER_BYTES)).buffer);
  return {
    tokens: numbers.subarray(0, n),
    starts: numbers.subarray(n, 2 * n + 1),
    spans: numbers.subarray(2 * n + 1),
  };
}
