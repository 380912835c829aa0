/** Bytes of JSON (RFC 8259) and of UTF-8 (RFC 3629). */

export const isSpace = (byte: number): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
export const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;
export const isHex = (byte: number): boolean =>
  isDigit(byte) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
export const isE = (byte: number): boolean => (byte | 0x20) === 0x65;

/**
 * What may follow the first byte of a character of several (RFC 3629): bytes to come, and the limits of the next. 0: no such character
 * begins so. As one number: `sub` of a frame.
 */
export function tailOf(byte: number): number {
  if (byte >= 0xc2 && byte <= 0xdf) return tail(1, 0x80, 0xbf);
  if (byte === 0xe0) return tail(2, 0xa0, 0xbf);
  if (byte === 0xed) return tail(2, 0x80, 0x9f);
  if (byte >= 0xe1 && byte <= 0xef) return tail(2, 0x80, 0xbf);
  if (byte === 0xf0) return tail(3, 0x90, 0xbf);
  if (byte >= 0xf1 && byte <= 0xf3) return tail(3, 0x80, 0xbf);
  if (byte === 0xf4) return tail(3, 0x80, 0x8f);
  return 0;
}
const tail = (left: number, low: number, high: number): number => (left << 16) | (low << 8) | high;
/** `sub` after one more byte of a character: 0 when it is complete, null when it cannot be. */
export function afterTail(sub: number, byte: number): number | null {
  if (byte < ((sub >> 8) & 0xff) || byte > (sub & 0xff)) return null;
  const left = (sub >> 16) - 1;
  return left === 0 ? 0 : tail(left, 0x80, 0xbf);
}
