import { type IncomingHttpHeaders } from 'node:http';

/** Bytes [start, end) of a file. */
export interface ByteRange {
  start: number;
  end: number;
}

/**
 * The bytes that a request asks for (RFC 9110, 14.2): all of them without a Range header, with one of several ranges or none that can be
 * read, and when If-Range names another file. null: the file has none of them.
 */
export function rangeOf(headers: IncomingHttpHeaders, etag: string, bytes: number): ByteRange | null {
  const whole = { start: 0, end: bytes };
  const asked = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(headers.range ?? '');
  const isOther = headers['if-range'] !== undefined && headers['if-range'] !== etag;
  if (asked === null || isOther) return whole;
  const [first = '', last = ''] = asked.slice(1);
  if (first === '') {
    if (last === '') return whole;
    const length = Math.min(Number(last), bytes);
    return length === 0 ? null : { start: bytes - length, end: bytes };
  }
  const start = Number(first);
  const end = last === '' ? bytes : Math.min(Number(last) + 1, bytes);
  if (last !== '' && Number(last) < start) return whole;
  return start >= bytes ? null : { start, end };
}
