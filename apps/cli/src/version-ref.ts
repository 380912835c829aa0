import { aliasNameSchema, nameSchema, versionRefSchema } from '@lowrank/contracts';
import { type z } from 'zod';
import { CliError, exitCodes } from './errors';

export interface VersionRef {
  adapter: string;
  /** `v3`, `3`, `latest` or an alias; null: none was named. */
  version: string | null;
}

/** Reads `name`, `name@v3`, `name@3`, `name@latest` or `name@prod`. Error: CliError saying which part is wrong. */
export function parseVersionRef(text: string): VersionRef {
  const at = text.indexOf('@');
  const adapter = checked(nameSchema, at === -1 ? text : text.slice(0, at), "an adapter's name");
  if (at === -1) return { adapter, version: null };
  return { adapter, version: checked(versionRefSchema, text.slice(at + 1), 'a version') };
}

/** Reads the same with the name of the team that shares it: `research/name@prod`. Error: CliError saying which part is wrong. */
export function parseSharedRef(text: string): VersionRef & { team: string | null } {
  const slash = text.indexOf('/');
  const team = slash === -1 ? null : checked(nameSchema, text.slice(0, slash), "a team's name");
  return { team, ...parseVersionRef(text.slice(slash + 1)) };
}

/** Reads `name@prod` where an alias is to be changed. Error: CliError saying which part is wrong. */
export function parseAlias(text: string): { adapter: string; alias: string } {
  const { adapter, version } = parseVersionRef(text);
  return { adapter, alias: checked(aliasNameSchema, version ?? '', 'an alias') };
}

function checked(schema: z.ZodType<string>, text: string, what: string): string {
  const parsed = schema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new CliError(`'${text}' is not ${what}: ${parsed.error.issues[0]?.message}`, {
    help: 'Versions are named like support@v3, support@latest or, by an alias, support@prod.',
    exitCode: exitCodes.usage,
  });
}
