import {
  type CheckpointMeta,
  checkpointMetaFile,
  checkpointMetaSchema,
  type JobMetric,
  jobMetricSchema,
  sha256Schema,
} from '@lowrank/contracts';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { sha256, syncPath, writeSynced } from './files';
import { type Progress } from './loop';

// A checkpoint is a folder step-00000050 with adapter.state (weights and Adam's moments, as the kernel library exports them),
// progress.json and meta.json, which holds the SHA-256 of the other two. It is written under another name and then renamed.
// Nothing in it changes any more.

const KEPT = 2;
const STATE = 'adapter.state';
const PROGRESS = 'progress.json';
const NAME = /^step-(\d{8})$/;

const evaluationSchema = z.object({ loss: z.number(), accuracy: z.number() }).nullable();
const progressSchema = z.object({
  step: z.int().nonnegative(),
  trainedTokens: z.int().nonnegative(),
  lossSum: z.number(),
  lossTokens: z.int().nonnegative(),
  evaluatedAt: z.int().nullable(),
  evalBefore: evaluationSchema,
  evalAfter: evaluationSchema,
  skippedSteps: z.int().nonnegative(),
  skippedInRow: z.int().nonnegative(),
  rollbacks: z.int().nonnegative().default(0),
  seconds: z.number(),
}) satisfies z.ZodType<Progress>;
const storedSchema = progressSchema.extend({ metrics: z.array(jobMetricSchema).default([]) });
const metaSchema = checkpointMetaSchema.extend({
  files: z.object({ [STATE]: sha256Schema, [PROGRESS]: sha256Schema }),
});
/** Names of a checkpoint's files; the one without which the others are none comes last. */
export const checkpointFiles = [STATE, PROGRESS, checkpointMetaFile] as const;

export interface Checkpoint {
  progress: Progress;
  /** For Adapter.importState. */
  state: Uint8Array;
  /** Those up to its step that may be written nowhere else. */
  metrics: JobMetric[];
}

const nameOf = (step: number): string => `step-${String(step).padStart(8, '0')}`;
/** Where the checkpoint of a step lies. */
export const checkpointFolder = (folder: string, step: number): string => join(folder, nameOf(step));

/**
 * Writes a checkpoint; it appears whole or not at all, and the last two are kept. `run` identifies recipe, dataset and base.
 * Returns the SHA-256 of its meta.json, which stands for all of it.
 */
export async function saveCheckpoint(
  folder: string,
  run: string,
  { progress, state, metrics }: Checkpoint,
): Promise<string> {
  const meta = await placeCheckpoint(folder, progress.step, async (temporary) => {
    const progressText = JSON.stringify({ ...progress, metrics });
    const files = { [STATE]: sha256(state), [PROGRESS]: sha256(progressText) };
    const listed = JSON.stringify({ format: 1, run, files } satisfies CheckpointMeta);
    await writeSynced(join(temporary, STATE), state);
    await writeSynced(join(temporary, PROGRESS), progressText);
    await writeSynced(join(temporary, checkpointMetaFile), listed);
    return listed;
  });
  await prune(folder, progress.step);
  return sha256(meta);
}

/** Makes the checkpoint of a step from what `fill` writes, and syncs, into a folder: it appears whole, or not at all if that fails. */
export async function placeCheckpoint<T>(
  folder: string,
  step: number,
  fill: (temporary: string) => Promise<T>,
): Promise<T> {
  await mkdir(folder, { recursive: true });
  const target = checkpointFolder(folder, step);
  const temporary = join(folder, `tmp-${process.pid}`);
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary);
  try {
    const result = await fill(temporary);
    await syncPath(temporary);
    await rm(target, { recursive: true, force: true });
    await rename(temporary, target);
    await syncPath(folder);
    return result;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** Names of checkpoints, newest first. */
async function list(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names
    .filter((name) => NAME.test(name))
    .sort()
    .reverse();
}

/** Checkpoints beyond `step` did not load, or the run would have gone on from them: they must not push out those that do. */
async function prune(folder: string, step: number): Promise<void> {
  const reached = (await list(folder)).filter((name) => name <= nameOf(step));
  const kept = new Set(reached.slice(0, KEPT));
  for (const name of await readdir(folder)) {
    const stale = (NAME.test(name) && !kept.has(name)) || /^tmp-\d+$/.test(name);
    if (stale) await rm(join(folder, name), { recursive: true, force: true });
  }
}

async function load(folder: string, run: string): Promise<Checkpoint | null> {
  try {
    const meta = metaSchema.parse(JSON.parse(await readFile(join(folder, checkpointMetaFile), 'utf8')));
    const [state, progress] = await Promise.all([
      readFile(join(folder, STATE)),
      readFile(join(folder, PROGRESS)),
    ]);
    if (meta.run !== run || sha256(state) !== meta.files[STATE] || sha256(progress) !== meta.files[PROGRESS])
      return null;
    const { metrics, ...stored } = storedSchema.parse(JSON.parse(progress.toString('utf8')));
    return { state, progress: stored, metrics };
  } catch {
    return null;
  }
}

/**
 * The newest checkpoint of this run that is whole; null when there is none. `onDamaged` hears the names of those passed over.
 */
export async function loadCheckpoint(
  folder: string,
  run: string,
  onDamaged: (name: string) => void = () => undefined,
): Promise<Checkpoint | null> {
  for (const name of await list(folder)) {
    const checkpoint = await load(join(folder, name), run);
    if (checkpoint !== null) return checkpoint;
    onDamaged(name);
  }
  return null;
}
