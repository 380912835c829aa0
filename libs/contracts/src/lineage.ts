import { z } from 'zod';
import { versionRefSchema } from './alias';
import { idSchema, nameSchema, sha256Schema } from './ids';
import { recipeSchema } from './recipe';
import { type Work } from './work';

/** Names one version for good, whatever becomes of its adapter's aliases. */
export const versionNameSchema = z.object({
  versionId: idSchema('version'),
  adapter: nameSchema,
  number: z.int().positive(),
});
export type VersionName = z.infer<typeof versionNameSchema>;

/** How a version comes from another: training went on from its weights, or it was combined with others. */
export const parentKindSchema = z.enum(['continued', 'combined']);
export const parentSchema = versionNameSchema.extend({ kind: parentKindSchema });
/** A version that another was made from. */
export type Parent = z.infer<typeof parentSchema>;

/** The versions that a job's result is made from. */
export function parentsOf({ initFrom, work }: { initFrom: VersionName | null; work: Work }): Parent[] {
  if (work.kind === 'combine') {
    const parents = work.parents.map(({ id: versionId, adapter, number }): [string, Parent] => [
      versionId,
      { versionId, adapter, number, kind: 'combined' },
    ]);
    return [...new Map(parents).values()];
  }
  if (initFrom === null) return [];
  const { versionId, adapter, number } = initFrom;
  return [{ versionId, adapter, number, kind: 'continued' }];
}

const parts = (text: string): [string, string] => {
  const at = text.indexOf('@');
  return at === -1 ? [text, 'latest'] : [text.slice(0, at), text.slice(at + 1)];
};

/** `support@v3`, `support@prod`, or `support` for the newest. */
export const versionSelectorSchema = z
  .string()
  .max(200)
  .refine((text) => {
    const [adapter, version] = parts(text);
    return nameSchema.safeParse(adapter).success && versionRefSchema.safeParse(version).success;
  }, "must name a version like 'support@v3' or 'support@prod'");

/** What a version's selector names. */
export function readVersionSelector(text: string): { adapter: string; version: string } {
  const [adapter, version] = parts(text);
  return { adapter, version };
}

const gone = {
  /** It was deleted; what is still known of it is its name. */
  isGone: z.boolean(),
};

/** What a version's lineage is about: versions, and what they were made from besides versions. */
export const lineageNodeSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('version'),
    id: idSchema('version'),
    adapter: nameSchema,
    number: z.int().positive(),
    /** What it was trained by, every field decided; null: of the version nothing but its name is known any more. */
    recipe: recipeSchema.nullable(),
    ...gone,
  }),
  z.object({
    type: z.literal('dataset'),
    id: idSchema('dataset'),
    sha256: sha256Schema,
    /** The version of what its name stands for; null: it was deleted. */
    name: z.string().nullable(),
    version: z.int().positive().nullable(),
  }),
  z.object({
    type: z.literal('baseModel'),
    id: idSchema('baseModel'),
    name: nameSchema,
    revision: z.string(),
  }),
  z.object({ type: z.literal('job'), id: idSchema('job') }),
]);
export type LineageNode = z.infer<typeof lineageNodeSchema>;

export const lineageEdgeSchema = z.object({
  /** Ids of nodes: what something was made from, and the version that was made. */
  from: z.string(),
  to: idSchema('version'),
  kind: z.enum([...parentKindSchema.options, 'base', 'data', 'job']),
  /** Of kind `job`: the step that the version is the state after; left out: it is what the job came to. */
  step: z.int().positive().optional(),
});
export type LineageEdge = z.infer<typeof lineageEdgeSchema>;

/** All that a version comes from, and all that was made from it. */
export const lineageSchema = z.object({
  /** Id of the version that was asked for. */
  of: idSchema('version'),
  nodes: z.array(lineageNodeSchema),
  edges: z.array(lineageEdgeSchema),
  /** There is more than could be shown; what is nearest is here. */
  isTruncated: z.boolean(),
});
export type Lineage = z.infer<typeof lineageSchema>;
