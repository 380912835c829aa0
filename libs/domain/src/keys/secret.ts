import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';

/*
 * An API key is `lrk_`, 43 base64url characters of 256 random bits, and 6 characters of CRC-32 over all before it in base 62.
 * The prefix lets secret scanners recognise a leaked key; the checksum lets them, and us, tell a mistyped one without asking the
 * database. Only the SHA-256 is stored: with 256 random bits there is nothing to guess, so a slow hash would protect nothing.
 */
const prefix = 'lrk_';
const shape = /^lrk_[A-Za-z0-9_-]{43}[A-Za-z0-9]{6}$/;
const checksumLength = 6;
const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** CRC-32 (as in zlib) in base 62, most significant digit first; 62^6 > 2^32. */
function checksum(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let i = 0; i < checksumLength; i++) {
    digits = base62[rest % 62] + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
}

/** A new key, 53 characters. Show it once, store `hashApiKeySecret` of it. */
export function makeApiKeySecret(): string {
  const body = prefix + randomBytes(32).toString('base64url');
  return body + checksum(body);
}

/** A secret of another kind: its prefix and 256 random bits in base64url. Show it once, store `hashApiKeySecret` of it. */
export const makeToken = (kind: string): string => kind + randomBytes(32).toString('base64url');

/** SHA-256 of the whole key in lower-case hexadecimal: what is stored and looked up. */
export const hashApiKeySecret = (secret: string): string => createHash('sha256').update(secret).digest('hex');

/** Whether text has a key's shape and checksum; says nothing about whether the key exists. */
export function isWellFormedApiKey(secret: string): boolean {
  if (!shape.test(secret)) return false;
  const body = secret.slice(0, -checksumLength);
  return timingSafeEqual(Buffer.from(checksum(body)), Buffer.from(secret.slice(-checksumLength)));
}

/** Whether a secret that was sent is the one expected, in a time that tells nothing of either. */
export function isSameSecret(sent: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(sent), digest(expected));
}

/** First characters of a key, to recognise it by in lists: 24 of its 256 random bits. */
export const apiKeyHint = (secret: string): string => secret.slice(0, prefix.length + 4);
