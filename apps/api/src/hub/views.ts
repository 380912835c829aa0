import { type Principal, type StoredFile } from '@lowrank/contracts';
import { z } from 'zod';
import { type Repo } from './repos';

/* Bodies as huggingface_hub 0.26 to 2.4 and transformers read them; what they do without is left out. */

const lfsSchema = z.object({ sha256: z.string(), size: z.int(), pointerSize: z.int() });
export const repoSchema = z.object({
  _id: z.string(),
  id: z.string(),
  modelId: z.string(),
  author: z.string(),
  sha: z.string(),
  private: z.literal(true),
  gated: z.literal(false),
  disabled: z.literal(false),
  downloads: z.int(),
  likes: z.int(),
  tags: z.array(z.string()),
  pipeline_tag: z.string(),
  library_name: z.string(),
  cardData: z.record(z.string(), z.unknown()),
  siblings: z.array(
    z.object({
      rfilename: z.string(),
      size: z.int().optional(),
      blobId: z.string().optional(),
      lfs: lfsSchema.optional(),
    }),
  ),
  createdAt: z.string(),
  lastModified: z.string(),
});

export const treeEntrySchema = z.object({
  type: z.literal('file'),
  path: z.string(),
  size: z.int(),
  oid: z.string(),
  lfs: z.object({ oid: z.string(), size: z.int(), pointerSize: z.int() }).optional(),
});

export const whoamiSchema = z.object({
  type: z.literal('user'),
  id: z.string(),
  name: z.string(),
  fullname: z.string(),
  isPro: z.literal(false),
  orgs: z.array(z.object({ type: z.literal('org'), id: z.string(), name: z.string(), fullname: z.string() })),
  auth: z.object({
    type: z.literal('access_token'),
    accessToken: z.object({ displayName: z.string(), role: z.literal('read') }),
  }),
});

/** Weights, which the hub keeps in Git LFS, and which are read from the object store itself where it has an address. */
export const isLarge = ({ path }: StoredFile): boolean => path.endsWith('.safetensors');

/** Length of the text that stands for a large file in Git (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md). */
const pointerSize = ({ sha256, bytes }: StoredFile): number =>
  `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${bytes}\n`.length;

/** In place of a Git object id, which we do not have: 40 digits that change with the content. */
const blobId = ({ sha256 }: StoredFile): string => sha256.slice(0, 40);

export function treeEntryOf(file: StoredFile): z.infer<typeof treeEntrySchema> {
  const { path, bytes: size, sha256: oid } = file;
  const lfs = isLarge(file) ? { lfs: { oid, size, pointerSize: pointerSize(file) } } : {};
  return { type: 'file', path, size, oid: blobId(file), ...lfs };
}

function siblingOf(file: StoredFile, withBlobs: boolean) {
  const { path: rfilename, bytes: size, sha256 } = file;
  if (!withBlobs) return { rfilename };
  const lfs = isLarge(file) ? { lfs: { sha256, size, pointerSize: pointerSize(file) } } : {};
  return { rfilename, size, blobId: blobId(file), ...lfs };
}

export function modelInfoOf(repo: Repo, withBlobs: boolean): z.infer<typeof repoSchema> {
  const { id, sha, tags, library, baseModel, createdAt, lastModified, files } = repo;
  return {
    _id: sha.slice(0, 24),
    id,
    modelId: id,
    author: id.split('/')[0] ?? '',
    sha,
    private: true,
    gated: false,
    disabled: false,
    downloads: 0,
    likes: 0,
    tags: [...tags, ...(baseModel === null ? [] : [`base_model:${baseModel}`])],
    pipeline_tag: 'text-generation',
    library_name: library,
    cardData: { library_name: library, tags, ...(baseModel === null ? {} : { base_model: baseModel }) },
    siblings: files.map((file) => siblingOf(file, withBlobs)),
    createdAt,
    lastModified,
  };
}

/** An API key as a user, and its team as the organisation that owns what it sees. */
export function whoamiOf(
  { actor }: Principal,
  team: { id: string; name: string },
): z.infer<typeof whoamiSchema> {
  return {
    type: 'user',
    id: actor.id,
    name: actor.name,
    fullname: actor.name,
    isPro: false,
    orgs: [{ type: 'org', id: team.id, name: team.name, fullname: team.name }],
    auth: { type: 'access_token', accessToken: { displayName: actor.name, role: 'read' } },
  };
}
