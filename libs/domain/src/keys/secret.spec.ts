import { crc32 } from 'node:zlib';
import { apiKeyHint, hashApiKeySecret, isSameSecret, isWellFormedApiKey, makeApiKeySecret } from './secret';

describe('API key secrets', () => {
  const secret = makeApiKeySecret();

  it('have prefix, 256 random bits and a checksum', () => {
    expect(secret).toMatch(/^lrk_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/);
    expect(isWellFormedApiKey(secret)).toBe(true);
    expect(new Set(Array.from({ length: 500 }, makeApiKeySecret)).size).toBe(500);
  });

  it('end in the CRC-32 of the rest, in base 62', () => {
    const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
    const value = [...secret.slice(-6)].reduce((sum, digit) => sum * 62 + digits.indexOf(digit), 0);
    expect(value).toBe(crc32(secret.slice(0, -6)));
  });

  it('are refused with any one character changed', () => {
    for (let i = 0; i < secret.length; i++) {
      const changed = secret.slice(0, i) + (secret[i] === 'A' ? 'B' : 'A') + secret.slice(i + 1);
      expect(isWellFormedApiKey(changed)).toBe(false);
    }
  });

  it.each(['', 'lrk_', `${secret}x`, secret.slice(1), ` ${secret}`, `${secret}\n`, 'lrk_'.repeat(1000)])(
    'are not %j',
    (text) => expect(isWellFormedApiKey(text)).toBe(false),
  );

  it('are stored as a SHA-256 and recognised by a hint of 8 characters', () => {
    expect(hashApiKeySecret('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(apiKeyHint(secret)).toBe(secret.slice(0, 8));
  });

  it.each(['', 'Bearer', `${secret}x`, secret.toLowerCase()])(
    'are the same as themselves only, not as %j',
    (other) => {
      expect(isSameSecret(secret, secret)).toBe(true);
      expect(isSameSecret(other, secret)).toBe(false);
    },
  );
});
