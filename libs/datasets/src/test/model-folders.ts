import { writeTinyModel } from '@lowrank/testing';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileTemplate } from '../template';
import { type ChatTokenizer } from '../tokenizer';

/** The sample base model that the repository carries: byte-level BPE of 1,024 tokens with ChatML's template. */
export const sampleBase = join(__dirname, '../../../../samples/base');
export const sampleRows = join(__dirname, '../../../../samples/data/train.jsonl');

export const temporaryFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'lowrank-datasets-'));

/** Files to replace in a folder: objects are written as JSON, null removes. */
export type Changes = Record<string, string | Buffer | object | null>;

export async function change(folder: string, changes: Changes): Promise<void> {
  for (const [name, content] of Object.entries(changes)) {
    if (content === null) await rm(join(folder, name), { force: true });
    else {
      const raw = typeof content === 'string' || Buffer.isBuffer(content);
      await writeFile(join(folder, name), raw ? content : JSON.stringify(content));
    }
  }
}

export async function tinyModel(folder: string, changes: Changes = {}): Promise<string> {
  await writeTinyModel(folder);
  await change(folder, changes);
  return folder;
}

/** The same tokenizer with another chat template. */
export function withTemplate(tokenizer: ChatTokenizer, source: string): ChatTokenizer {
  return { ...tokenizer, render: (...args) => compileTemplate(source, {}).render(...args) };
}
