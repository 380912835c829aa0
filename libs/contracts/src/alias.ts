import { z } from 'zod';
import { nameSchema, timeSchema } from './ids';

const versionNumber = /^v?([1-9]\d{0,8})$/;
const commit = /^[0-9a-f]{40}$/;
/** What stands for the newest version wherever one is named; `main` does so for Hugging Face's clients. */
const newest = ['latest', 'main'];

/** Names one version of an adapter: `v3`, `3`, `latest` or an alias. */
export const versionRefSchema = nameSchema.refine(
  (text) => !/^v?\d+$/.test(text) || versionNumber.test(text),
  "must be a version such as 'v3', 'latest' or an alias",
);

/** The number that a reference to a version spells out, or null: it is `latest` or an alias. */
export function versionNumberOf(ref: string): number | null {
  const [, digits] = versionNumber.exec(ref) ?? [];
  return digits === undefined ? null : Number(digits);
}

/** Whether a reference means the newest version, whichever that is. */
export const isNewest = (ref: string): boolean => newest.includes(ref);

/** A movable name on one of an adapter's versions; never one that says a version or a commit by itself. */
export const aliasNameSchema = nameSchema
  .max(64)
  .refine((name) => !/^v?\d+$/.test(name) && !commit.test(name), 'must not look like a version or a commit')
  .refine((name) => !isNewest(name), `must not be ${newest.join(' or ')}, which follow the newest version`);

export const aliasSchema = z.object({
  name: aliasNameSchema,
  /** Number of the version that it stands on. */
  version: z.int().positive(),
  movedAt: timeSchema,
  /** Who moved it there: the id of an API key or a user. */
  movedBy: z.string(),
});
export type Alias = z.infer<typeof aliasSchema>;

/** One change of an alias. */
export const aliasMoveSchema = z.object({
  /** 1 for the first of that name, counted on when the alias is made again after its removal. */
  seq: z.int().positive(),
  action: z.enum(['move', 'rollback', 'remove']),
  /** Versions before and after; null: the alias was not there. */
  from: z.int().positive().nullable(),
  to: z.int().positive().nullable(),
  /** `seq` of the move whose version a rollback goes back to; null: there is none. */
  returnsTo: z.int().positive().nullable(),
  at: timeSchema,
  by: z.string(),
  /** What its gate had to say: the version had passed, or was not asked because the alias had stood on it before. null: there was no gate. */
  gate: z.enum(['passed', 'stood-before']).nullable(),
});
export type AliasMove = z.infer<typeof aliasMoveSchema>;

/** The same for people. */
export const namedAliasMoveSchema = aliasMoveSchema.extend({
  /** Name of who it was by; null: they are not in the team any more. */
  byName: z.string().nullable(),
});
export type NamedAliasMove = z.infer<typeof namedAliasMoveSchema>;

export const moveAliasSchema = z.strictObject({
  version: versionRefSchema.describe("The version to stand on: 'v3', 'latest', or where another alias is."),
});
export type MoveAlias = z.infer<typeof moveAliasSchema>;
