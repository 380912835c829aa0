import {
  type CheckpointMeta,
  checkpointMetaFile,
  checkpointMetaSchema,
  LowrankError,
} from '@lowrank/contracts';
import { type ObjectStore } from '@lowrank/domain';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { receive, verified } from './received';

/*
 * checkpoints/<job>/attempt-<epoch>                    says that this attempt has begun, which fences off those before it
 * checkpoints/<job>/step-<step>-<epoch>/<file>         what it wrote; the file that lists the others comes last
 */
const root = 'checkpoints/';
const marker = /^attempt-(\d{8})$/;
const member = /^step-(\d{8})-(\d{8})\/([a-z]+\.[a-z]+)$/;
const digits = (n: number): string => String(n).padStart(8, '0');

/** Whole checkpoints of a job that are kept: the newest, and the one before in case the newest turns out to be damaged. */
const kept = 2;

/** One attempt of a job. */
export interface CheckpointWriter {
  jobId: string;
  epoch: number;
}

export interface StoredCheckpoint extends CheckpointWriter {
  step: number;
}

/** A file on its way into the store. */
export interface CheckpointFile {
  name: string;
  bytes: number;
  /** Its content from the start; called once, when its turn has come. */
  open(): Readable;
}

interface Listed extends StoredCheckpoint {
  /** Names of those of its files that are there. */
  files: string[];
}

const isWhole = ({ files }: Listed): boolean => files.includes(checkpointMetaFile);
/** Newest first. */
const byAge = (a: StoredCheckpoint, b: StoredCheckpoint): number => b.step - a.step || b.epoch - a.epoch;
const folderOf = ({ jobId, step, epoch }: StoredCheckpoint): string =>
  `${root}${jobId}/step-${digits(step)}-${digits(epoch)}/`;
const markerOf = (jobId: string, epoch: number): string => `${root}${jobId}/attempt-${digits(epoch)}`;

/**
 * Checkpoints of jobs in an object store, so that a job can go on where its worker's disk is not. No two attempts write the same key,
 * and none removes anything of one after it. Once a later attempt has begun, `put` and `prune` of those before do nothing: the
 * checkpoint that it goes on from stays.
 */
export class Checkpoints {
  constructor(private readonly store: ObjectStore) {}

  /** Before an attempt looks for a checkpoint: attempts before it are fenced off from here on. */
  async begin({ jobId, epoch }: CheckpointWriter): Promise<void> {
    await this.store.put(markerOf(jobId, epoch), Buffer.alloc(0), { bytes: 0 });
  }

  /** Whole checkpoints of a job, newest first. */
  async list(jobId: string): Promise<StoredCheckpoint[]> {
    const { checkpoints } = await this.#look(jobId);
    return checkpoints.filter(isWhole).map(({ step, epoch }) => ({ jobId, step, epoch }));
  }

  /** Stores a checkpoint, its files one after the other in the given order; false, storing nothing, when the attempt is fenced. */
  async put(checkpoint: StoredCheckpoint, files: readonly CheckpointFile[]): Promise<boolean> {
    if (files.at(-1)?.name !== checkpointMetaFile) throw new Error(`${checkpointMetaFile} has to come last`);
    if (await this.#isFenced(checkpoint)) return false;
    for (const { name, bytes, open } of files)
      await this.store.put(`${folderOf(checkpoint)}${name}`, open(), { bytes });
    return true;
  }

  /**
   * Removes what a checkpoint has made superfluous, if its attempt isn't fenced: all but the last two whole ones up to it. Those beyond
   * it did not load, or the attempt would have gone on from them.
   */
  async prune(checkpoint: StoredCheckpoint): Promise<void> {
    const { jobId, step, epoch } = checkpoint;
    const { checkpoints, attempts } = await this.#look(jobId);
    if (attempts.some((other) => other > epoch)) return;
    const reached = checkpoints.filter((other) => isWhole(other) && other.step <= step);
    const staying = new Set(reached.slice(0, kept));
    for (const other of checkpoints) if (!staying.has(other)) await this.#remove(other);
    for (const other of attempts) if (other < epoch) await this.store.delete(markerOf(jobId, other));
  }

  /**
   * Writes a checkpoint's files into a folder, each checked by its SHA-256.
   * Errors: integrity_failed when it is damaged; not_found when it, or a part of it, is not there; conflict when it is of another run.
   */
  async fetchTo(
    checkpoint: StoredCheckpoint,
    folder: string,
    { run, signal }: { run: string; signal: AbortSignal },
  ): Promise<void> {
    const from = folderOf(checkpoint);
    const listed = await text((await this.store.get(`${from}${checkpointMetaFile}`)).body);
    const meta = parseMeta(from, listed);
    if (meta.run !== run)
      throw new LowrankError('conflict', `${from} is a checkpoint of another recipe, dataset or base.`);
    for (const [name, sha256] of Object.entries(meta.files)) {
      const { body } = await this.store.get(`${from}${name}`);
      const checked = verified(addAbortSignal(signal, body), sha256, `${from}${name} is damaged`);
      await receive(checked, join(folder, name));
    }
    await writeFile(join(folder, checkpointMetaFile), listed, { flush: true });
  }

  /** Removes everything of a job that this attempt and those before it have left. */
  async removeAll({ jobId, epoch }: CheckpointWriter): Promise<void> {
    const { checkpoints, attempts } = await this.#look(jobId);
    for (const other of checkpoints) if (other.epoch <= epoch) await this.#remove(other);
    for (const other of attempts) if (other <= epoch) await this.store.delete(markerOf(jobId, other));
  }

  /** Ids of all jobs of which there is anything. */
  async *jobs(): AsyncIterable<string> {
    let last: string | undefined;
    for await (const key of this.store.list(root)) {
      const jobId = key.slice(root.length).split('/')[0];
      if (jobId !== undefined && jobId !== last) yield jobId;
      last = jobId;
    }
  }

  async #isFenced({ jobId, epoch }: CheckpointWriter): Promise<boolean> {
    return (await this.#look(jobId)).attempts.some((other) => other > epoch);
  }

  /** Everything of a job: checkpoints newest first, whole or not, and the attempts that have begun. */
  async #look(jobId: string): Promise<{ checkpoints: Listed[]; attempts: number[] }> {
    const prefix = `${root}${jobId}/`;
    const checkpoints = new Map<string, Listed>();
    const attempts: number[] = [];
    for await (const key of this.store.list(prefix)) {
      const name = key.slice(prefix.length);
      const [, attempt] = marker.exec(name) ?? [];
      if (attempt !== undefined) attempts.push(Number(attempt));
      const [, step, epoch, file] = member.exec(name) ?? [];
      if (file === undefined) continue;
      const checkpoint = { jobId, step: Number(step), epoch: Number(epoch), files: [] };
      const listed = checkpoints.get(folderOf(checkpoint)) ?? checkpoint;
      checkpoints.set(folderOf(checkpoint), { ...listed, files: [...listed.files, file] });
    }
    return { checkpoints: [...checkpoints.values()].sort(byAge), attempts };
  }

  /** What makes a checkpoint of the files goes first, so that there is never one that cannot be fetched whole. */
  async #remove(checkpoint: Listed): Promise<void> {
    const isMeta = (name: string) => name === checkpointMetaFile;
    const files = [...checkpoint.files].sort((a, b) => Number(isMeta(b)) - Number(isMeta(a)));
    for (const name of files) await this.store.delete(`${folderOf(checkpoint)}${name}`);
  }
}

function parseMeta(folder: string, listed: string): CheckpointMeta {
  try {
    return checkpointMetaSchema.parse(JSON.parse(listed));
  } catch (error) {
    throw new LowrankError('integrity_failed', `${folder}${checkpointMetaFile} is damaged.`, undefined, {
      cause: error,
    });
  }
}
