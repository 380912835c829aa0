import { isUtf8 } from 'node:buffer';

export interface Line {
  /** 1-based. */
  line: number;
  /** Without its end; null when the line cannot be used, then `problem` says why. */
  text: string | null;
  problem: string | null;
}

const NEWLINE = 0x0a;
const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * The lines of a byte stream: strict UTF-8, ended by LF or CRLF, a byte-order mark at the start dropped, blank lines left out unless
 * they are asked for.
 * A line of more than maxLineBytes comes back as a problem and is never held: memory stays within that and one chunk.
 */
export async function* readLines(
  stream: AsyncIterable<Uint8Array>,
  maxLineBytes: number,
  { blank = false }: { blank?: boolean } = {},
): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let held = 0;
  let tooLong = false;
  let number = 1;

  const keep = (part: Uint8Array) => {
    if (held + part.length > maxLineBytes) {
      tooLong = true;
      parts = [];
    }
    if (!tooLong) {
      parts.push(part);
      held += part.length;
    }
  };
  const finish = (): Line | null => {
    const line = tooLong
      ? { line: number, text: null, problem: `longer than ${maxLineBytes} bytes` }
      : decode(number, Buffer.concat(parts), blank);
    number += 1;
    parts = [];
    held = 0;
    tooLong = false;
    return line;
  };

  for await (const chunk of stream) {
    let begin = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, begin)) {
      keep(chunk.subarray(begin, end));
      begin = end + 1;
      const line = finish();
      if (line !== null) yield line;
    }
    if (begin < chunk.length) keep(chunk.subarray(begin));
  }
  const last = finish();
  if (last !== null) yield last;
}

function decode(line: number, bytes: Buffer, keepBlank: boolean): Line | null {
  const body = line === 1 && bytes.subarray(0, 3).equals(BOM) ? bytes.subarray(3) : bytes;
  if (!isUtf8(body)) return { line, text: null, problem: 'not valid UTF-8' };
  const text = body.toString('utf8').replace(/\r$/, '');
  return text.trim() === '' && !keepBlank ? null : { line, text, problem: null };
}

/** A line's JSON value. `problem` is set instead when it has none. */
export function parseLine({ text, problem }: Line): { value: unknown; problem: string | null } {
  if (text === null) return { value: null, problem };
  try {
    return { value: JSON.parse(text) as unknown, problem: null };
  } catch (error) {
    // V8's message quotes the text, which may be private and long: keep what is wrong, not where it was seen.
    const what = error instanceof Error ? (error.message.split(/[,"]/)[0] ?? '').trim() : '';
    return { value: null, problem: `not JSON: ${what}` };
  }
}
