import { type ErrorDetail, LowrankError } from '@lowrank/contracts';
import {
  convertRow,
  detectFormat,
  parseLine,
  prepareDatasetFile,
  readLines,
  RowError,
} from '@lowrank/datasets';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { finished } from 'node:stream/promises';

const shownErrors = 20;

/** Runs `work` with a dataset file as JSONL, whatever its encoding, and with a folder for what else it makes; both are gone afterwards. */
export async function withJsonl<T>(
  path: string,
  { uploadBytes, lineBytes }: { uploadBytes: number; lineBytes: number },
  work: (rows: string, folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'lowrank-'));
  try {
    const limits = { maxBytes: uploadBytes, maxLineBytes: lineBytes };
    return await work(
      await prepareDatasetFile(path, folder, { filename: basename(path), ...limits }),
      folder,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Writes the rows of a JSONL file as chats: question/answer rows, or any format that is uploaded. Resolves to how many.
 * Error: dataset_invalid with the first lines at fault; nothing is written then.
 */
export async function convertToChats(source: string, target: string, maxLineBytes: number): Promise<number> {
  const partial = `${target}.${process.pid}.partial`;
  const output = createWriteStream(partial);
  const errors: ErrorDetail[] = [];
  let wrong = 0;
  let rows = 0;
  try {
    for await (const line of readLines(createReadStream(source), maxLineBytes)) {
      const { value, problem } = parseLine(line);
      const converted = problem === null ? convert(value) : { problem };
      if ('problem' in converted) {
        wrong += 1;
        if (errors.length < shownErrors) errors.push({ line: line.line, message: converted.problem });
        continue;
      }
      rows += 1;
      if (!output.write(`${JSON.stringify(converted)}\n`)) await once(output, 'drain');
    }
    output.end();
    await finished(output);
    if (wrong > 0) {
      throw new LowrankError('dataset_invalid', `${wrong} lines of ${source} cannot be converted.`, errors, {
        help: 'Correct these lines and convert again.',
      });
    }
    await rename(partial, target);
    return rows;
  } finally {
    output.destroy();
    await rm(partial, { force: true });
  }
}

function convert(value: unknown): { messages: unknown } | { problem: string } {
  try {
    return convertRow(value);
  } catch (error) {
    if (error instanceof RowError) return { problem: error.message };
    throw error;
  }
}

/** Whether a file's first row is one that only becomes a dataset by conversion: question and answer. */
export async function needsConversion(path: string, maxLineBytes: number): Promise<boolean> {
  for await (const line of readLines(createReadStream(path), maxLineBytes)) {
    const { value, problem } = parseLine(line);
    return problem === null && detectFormat(value) === null && 'messages' in convert(value);
  }
  return false;
}
