import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify<string, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(
  scrypt,
);

/*
 * scrypt (RFC 7914) with N = 2^15, r = 8, p = 3: 32 MiB and some hundred milliseconds, one of the settings of OWASP's Password Storage Cheat
 * Sheet. The settings are kept with the hash, so that they can be raised later.
 */
const settings = { log2N: 15, r: 8, p: 3 };
const hashBytes = 32;

const hashed = (password: string, salt: Buffer, { log2N, r, p }: typeof settings): Promise<Buffer> =>
  derive(password.normalize('NFC'), salt, hashBytes, { N: 2 ** log2N, r, p, maxmem: 256 * 2 ** log2N * r });

/** `scrypt$<log2 N>$<r>$<p>$<salt>$<hash>`, both in base64url; the salt has 128 random bits. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const { log2N, r, p } = settings;
  const hash = await hashed(password, salt, settings);
  return ['scrypt', log2N, r, p, salt.toString('base64url'), hash.toString('base64url')].join('$');
}

/** Whether a password is the one that was hashed; null, for nobody, is no password's, and takes as long to tell. */
export async function isPassword(password: string, stored: string | null): Promise<boolean> {
  const [, log2N, r, p, salt = '', hash = ''] = (stored ?? '').split('$');
  const with_ = stored === null ? settings : { log2N: Number(log2N), r: Number(r), p: Number(p) };
  const derived = await hashed(password, Buffer.from(salt, 'base64url'), with_);
  const expected = Buffer.from(hash, 'base64url');
  return derived.length === expected.length && timingSafeEqual(derived, expected);
}
