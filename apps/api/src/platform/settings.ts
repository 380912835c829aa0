import { type Config, describeConfig, repositoryRoot } from '@lowrank/config';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** A text with the password of every URL in it replaced. */
export const withoutCredentials = (text: string): string =>
  text.replace(/(\w:\/\/[^/\s:@]*):[^/\s@]*@/g, '$1:***@');

const version = z
  .object({ version: z.string() })
  .parse(JSON.parse(readFileSync(join(repositoryRoot, 'package.json'), 'utf8'))).version;

/** Each setting by its name, those within others after a dot, in order of names; null: not set. */
function* rowsOf(value: unknown, name: string): Generator<{ name: string; value: string | null }> {
  if (value === null || value === undefined) yield { name, value: null };
  else if (Array.isArray(value)) yield { name, value: withoutCredentials(value.join(', ')) };
  else if (typeof value === 'object')
    for (const [key, inner] of Object.entries(value))
      yield* rowsOf(inner, name === '' ? key : `${name}.${key}`);
  else yield { name, value: withoutCredentials(String(value)) };
}

/** What a process was started with, without secrets. */
export const settingsOf = (config: Config) => ({
  version,
  node: process.version,
  settings: [...rowsOf(describeConfig(config), '')].sort((a, b) => (a.name < b.name ? -1 : 1)),
});
