import { downloadFile, HubApiError, type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub';
import { LowrankError } from '@lowrank/contracts';
import { AddressRules, guardedFetch } from '@lowrank/outbound';
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type ReadableStream } from 'node:stream/web';

/** What is fetched of a model repository: configuration, tokenizer and weights that are data only. Nothing that could be code. */
const wanted =
  /^(?:(?:config|generation_config|tokenizer|tokenizer_config|special_tokens_map)\.json|chat_template\.jinja|[A-Za-z0-9._-]+\.safetensors|model\.safetensors\.index\.json|README\.md|LICENSE)$/;
const pickle = /\.(?:bin|pt|pth|ckpt|pkl)$/;

const maxFileBytes = 64 * 2 ** 30;
const maxModelBytes = 512 * 2 ** 30;
const listTimeoutMs = 20_000;

export interface HubModel {
  /** Commit that a branch or tag stood for, 40 hexadecimal digits. */
  revision: string;
}

/**
 * Downloads a model's files from a hub into an empty folder, each checked against the size, and for weights the SHA-256, that the hub
 * states. Only the configured hub is spoken to, and what it sends on to, which has to be public or in one of `networks`; `id` is `owner/name`.
 * Errors: not_found, pickle_refused, body_too_large, hub_unreachable, address_refused.
 */
export async function downloadModel(
  { id, revision }: { id: string; revision: string },
  folder: string,
  hubUrl: string | null,
  networks: readonly string[] = [],
): Promise<HubModel> {
  if (!/^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$/.test(revision) || revision.includes('..'))
    throw new LowrankError('validation_failed', `'${revision}' is not a branch, tag or commit.`, [
      { path: 'source.revision', message: 'must be a branch, tag or commit' },
    ]);
  const guarded = guardedFetch(new AddressRules(networks), hubUrl);
  const hub = { hubUrl: hubUrl ?? undefined, fetch: guarded.fetch };
  try {
    const listing = { ...hub, fetch: fetchWithin(listTimeoutMs, guarded.fetch) };
    const { sha } = await modelInfo({ ...listing, name: id, revision, additionalFields: ['sha'] });
    const files: ListFileEntry[] = [];
    let isPickled = false;
    for await (const entry of listFiles({ ...listing, repo: id, revision: sha })) {
      if (entry.type !== 'file') continue;
      isPickled ||= pickle.test(entry.path);
      if (wanted.test(entry.path)) files.push(entry);
    }
    checkSizes(id, files);
    if (isPickled && !files.some(({ path }) => path.endsWith('.safetensors')))
      throw new LowrankError('pickle_refused', `${id} has pickled weights only, no *.safetensors.`);
    for (const file of files) await download(id, sha, file, join(folder, file.path), hub);
    return { revision: sha };
  } catch (error) {
    throw toHubError(error, id, revision);
  } finally {
    await guarded.close();
  }
}

const fetchWithin =
  (milliseconds: number, by: typeof fetch): typeof fetch =>
  (input, init) =>
    by(input, { ...init, signal: AbortSignal.timeout(milliseconds) });

function checkSizes(id: string, files: ListFileEntry[]): void {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const large = files.find(({ size }) => size > maxFileBytes);
  if (large || total > maxModelBytes)
    throw new LowrankError(
      'body_too_large',
      large
        ? `${large.path} of ${id} has ${large.size} bytes, more than ${maxFileBytes}.`
        : `${id} has ${total} bytes, more than ${maxModelBytes}.`,
    );
}

async function download(
  id: string,
  revision: string,
  { path, size, lfs }: ListFileEntry,
  target: string,
  hub: { hubUrl?: string; fetch: typeof fetch },
): Promise<void> {
  const blob = await downloadFile({ ...hub, repo: id, path, revision, xet: false });
  if (blob === null) throw new LowrankError('not_found', `${id} has no file ${path}.`);
  const hash = createHash('sha256');
  let bytes = 0;
  await pipeline(
    Readable.fromWeb(blob.stream() as ReadableStream<Uint8Array>),
    async function* (chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        if (bytes > size) break;
        hash.update(chunk);
        yield chunk;
      }
    },
    createWriteStream(target, { flags: 'wx' }),
  );
  if (bytes !== size || (lfs && hash.digest('hex') !== lfs.oid))
    throw new LowrankError(
      'hub_unreachable',
      `${path} of ${id} did not arrive as the hub describes it. Try again.`,
    );
}

function toHubError(error: unknown, id: string, revision: string): unknown {
  if (error instanceof LowrankError) return error;
  const { cause } = error as { cause?: unknown };
  if (cause instanceof LowrankError)
    return new LowrankError(cause.code, `The hub sends on for '${id}': ${cause.message}`, undefined, {
      ...{ help: 'Have the network of its files listed in LOWRANK_IMPORT_NETWORKS.', cause: error },
    });
  if (error instanceof HubApiError && [401, 403, 404].includes(error.statusCode))
    return new LowrankError(
      'not_found',
      `The hub has no public model '${id}' at revision '${revision}'.`,
      [{ path: 'source.id', message: 'no such model, or it is private or gated' }],
      {
        help: 'Check the id and the revision; download private and gated models yourself and import the folder.',
      },
    );
  const reason =
    error instanceof HubApiError
      ? `it answered with status ${error.statusCode}`
      : ((error as { cause?: { code?: string } }).cause?.code ?? (error as Error).name);
  return new LowrankError('hub_unreachable', `The hub did not deliver '${id}': ${reason}.`, undefined, {
    cause: error,
  });
}
