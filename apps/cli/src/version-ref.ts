import { nameSchema } from '@lowrank/contracts';
import { CliError, exitCodes } from './errors';

export interface VersionRef {
  adapter: string;
  /** null: none was named. */
  number: number | 'latest' | null;
}

/** Reads `name`, `name@v3`, `name@3` or `name@latest`. Error: CliError saying which part is wrong. */
export function parseVersionRef(text: string): VersionRef {
  const at = text.indexOf('@');
  const adapter = at === -1 ? text : text.slice(0, at);
  const name = nameSchema.safeParse(adapter);
  if (!name.success) {
    throw new CliError(`'${adapter}' is not an adapter's name: ${name.error.issues[0]?.message}`, {
      exitCode: exitCodes.usage,
    });
  }
  if (at === -1) return { adapter, number: null };
  const version = text.slice(at + 1);
  if (version === 'latest') return { adapter, number: 'latest' };
  const digits = /^v?([1-9]\d{0,8})$/.exec(version)?.[1];
  if (digits === undefined) {
    throw new CliError(`'${version}' is not a version`, {
      help: 'Versions look like v3, 3 or latest.',
      exitCode: exitCodes.usage,
    });
  }
  return { adapter, number: Number(digits) };
}
