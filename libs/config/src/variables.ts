import { z } from 'zod';

export const flag = z
  .enum(['true', 'false', '1', '0'], 'must be true or false')
  .transform((text) => text === 'true' || text === '1');

export const url = (protocols: RegExp, example: string) =>
  z.url({ protocol: protocols, error: `must be a URL such as ${example}` });

/** A URL without its password and without query parameters, which may carry one too. */
export function maskUrl(text: string): string {
  const parsed = new URL(text);
  if (parsed.password) parsed.password = '***';
  parsed.search = '';
  return parsed.href;
}

/** The password of a URL as it stands there and as it is meant. */
export function passwordsOf(text: string | null): string[] {
  const password = text === null ? '' : new URL(text).password;
  return password === '' ? [] : [password, decodeURIComponent(password)];
}
