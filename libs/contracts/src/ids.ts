import { z } from 'zod';

/** Server-made identifiers: a prefix and 24 characters of base32 (120 random bits). The only thing put into paths and keys. */
export const idPrefixes = {
  team: 'team',
  apiKey: 'key',
  baseModel: 'base',
  dataset: 'data',
  job: 'job',
  adapter: 'adp',
  version: 'ver',
  worker: 'wrk',
  webhook: 'whk',
  delivery: 'msg',
  sweep: 'swp',
  party: 'pty',
  auditEntry: 'aud',
  user: 'usr',
  session: 'ses',
  invitation: 'inv',
  grant: 'grt',
  upload: 'upl',
  passwordReset: 'rst',
} as const;

export type IdKind = keyof typeof idPrefixes;

export const idSchema = (kind: IdKind) =>
  z
    .string()
    .regex(new RegExp(`^${idPrefixes[kind]}_[a-z2-7]{24}$`), `must be an id like ${idPrefixes[kind]}_…`);

/** Names people choose: adapters, base models, aliases. Lower case, so that they are the same in URLs, keys and file systems. */
export const nameSchema = z
  .string()
  .min(1)
  .max(96)
  .regex(
    /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/,
    "must be lower-case letters, digits, '.', '_' or '-', starting and ending with a letter or digit",
  )
  .refine((name) => !name.includes('..'), "must not contain '..'");

export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hexadecimal');
export const timeSchema = z.iso.datetime();
/** Names a span to another process, https://www.w3.org/TR/trace-context/. */
export const traceparentSchema = z.string().regex(/^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/);
