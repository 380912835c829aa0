import {
  type BaseStorage,
  type Certificate,
  type ExportFormat,
  type ParityThresholds,
} from '@lowrank/contracts';
import { type ChatTokenizer, loadChatTokenizer, parseModelConfig } from '@lowrank/datasets';
import { type Kernels } from '@lowrank/kernels';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openQuantizedBase } from '../caches';
import { readPairs } from '../combine/pairs';
import { openDevice } from '../device';
import { isCancelled, publicError } from '../errors';
import { loadMeasured, type MeasuredData, type MeasuredRows } from '../held-out';
import { adapterOf, assertParity, certify, compareAnswers, type Speaker } from '../parity';
import { loadAdapter } from '../peft';
import { readAdapterConfig } from '../peft-config';
import { readGgufAdapter, writeGgufAdapter } from './gguf-adapter';
import { writeGgufModel } from './gguf-model';
import { ggufTokenizer } from './gguf-tokenizer';
import { type ExportProgress, mergeFolder } from './merge';
import { modelfile } from './modelfile';
import { readGgufModel } from './read-back';
import { openWeights } from './weights';

/** `dataset`: what the version was trained on, or a validation dataset. */
export interface ExportOptions extends ExportProgress, MeasuredData {
  format: ExportFormat;
  /** What it is called: of files, and in their metadata. */
  name: string;
  thresholds: ParityThresholds;
  base: {
    /** modelKey of its files, and the folder that holds all of them. */
    key: string;
    dir: string;
    source: string;
  };
  /** A version's files. */
  adapterDir: string;
  /** A folder of this export's own, which is made and emptied. */
  workDir: string;
  threads: number;
  signal: AbortSignal;
  onMessage(level: 'info' | 'warn', message: string): void;
}

export interface ExportedVersion {
  /** Where the files lie, which stay until the caller removes `workDir`. */
  folder: string;
  paths: string[];
  certificate: Certificate;
}

/** How the kernel library keeps a base of plain weights without changing a number. */
async function plainStorage(modelDir: string): Promise<BaseStorage> {
  const config = parseModelConfig(JSON.parse(await readFile(join(modelDir, 'config.json'), 'utf8')));
  const { files, close } = await openWeights(modelDir);
  await close();
  const linears = files.flatMap(({ weights }) => weights).filter(({ name }) => config.tensors.has(name));
  const isBf16 = linears.every(({ entry }) => entry.dtype === 'BF16');
  return { quantization: isBf16 ? 'bf16' : 'f32', doubleQuantization: false };
}

async function write(options: ExportOptions, folder: string): Promise<string> {
  const { format, base, adapterDir, name, signal, onProgress } = options;
  const progress = { signal, onProgress };
  const file = join(folder, `${name}.gguf`);
  switch (format) {
    case 'merged':
      await mergeFolder(base.dir, adapterDir, folder, progress);
      return folder;
    case 'gguf-adapter':
      await writeGgufAdapter(base.dir, adapterDir, file, { name, ...progress });
      return file;
    case 'gguf-f16':
    case 'gguf-q8_0':
      await writeGgufModel(base.dir, adapterDir, file, {
        precision: format === 'gguf-f16' ? 'f16' : 'q8_0',
        name,
        ...progress,
      });
      return file;
  }
}

/** What was written, read as others read it. `made` is the folder or file; the caller closes what it gets. */
async function openResult(
  kernels: Kernels,
  made: string,
  wanted: Speaker,
  { format, base, adapterDir, workDir, signal }: ExportOptions,
): Promise<Speaker> {
  if (format === 'gguf-adapter') {
    const modules = [...(await readPairs(adapterDir, await readAdapterConfig(adapterDir))).keys()];
    const pairs = await readGgufAdapter(base.dir, made, modules);
    return { base: wanted.base, adapter: adapterOf(wanted.base, pairs) };
  }
  const folder = format === 'merged' ? made : join(workDir, 'read-back');
  if (format !== 'merged') await readGgufModel(base.dir, made, folder, { signal });
  const file = join(workDir, 'result.lrb');
  const { quantization: storage, doubleQuantization } = await plainStorage(folder);
  await kernels.quantizeBase(folder, file, { signal, quantization: { format: storage, doubleQuantization } });
  return { base: await kernels.openBase(file), adapter: null };
}

async function certifyResult(
  options: ExportOptions,
  made: string,
  { compared, rowsFrom }: MeasuredRows,
): Promise<Certificate> {
  const { base, adapterDir, cacheDir, threads, signal, thresholds } = options;
  const kernels = openDevice({ threads, compute: 'f32' });
  const closing: { close(): void }[] = [kernels];
  const keep = <T extends { close(): void }>(handle: T): T => {
    closing.unshift(handle);
    return handle;
  };
  try {
    const stored = { key: base.key, storage: await plainStorage(base.dir), cacheDir };
    const plain = keep(await openQuantizedBase(kernels, async () => base.dir, stored, { signal }));
    const wanted = { base: plain, adapter: keep(await loadAdapter(plain, adapterDir)) };
    const result = await openResult(kernels, made, wanted, options);
    if (result.adapter !== null) keep(result.adapter);
    if (result.base !== plain) keep(result.base);
    return certify(await compareAnswers(wanted, result, compared, signal), rowsFrom, thresholds);
  } finally {
    for (const handle of closing) handle.close();
  }
}

async function writeModelfile(
  options: ExportOptions,
  folder: string,
  tokenizer: ChatTokenizer,
): Promise<void> {
  const { format, base, name } = options;
  const config = parseModelConfig(JSON.parse(await readFile(join(base.dir, 'config.json'), 'utf8')));
  const file = `./${name}.gguf`;
  const isAdapter = format === 'gguf-adapter';
  // Whether the base's own file begins texts with it is for its converter to say.
  const adds = isAdapter || (await ggufTokenizer(base.dir, config.vocabSize, tokenizer)).addsBos;
  const bos =
    adds && tokenizer.bosId !== null ? tokenizer.decode([tokenizer.bosId], { keepSpecial: true }) : null;
  const text = modelfile({
    ...{ tokenizer, bos },
    ...(isAdapter ? { from: base.source, adapter: file } : { from: file }),
    notes: isAdapter
      ? [`FROM has to be ${base.source} in GGUF, at the revision that the adapter was trained on.`]
      : [`ollama create ${name} -f Modelfile`],
  });
  await writeFile(join(folder, 'Modelfile'), text);
}

/**
 * Writes a version in another format, reads the result back as others do, and compares what it answers with what the adapter answers on its base, in
 * the precision of the base's own weights. GGUF comes with an Ollama Modelfile. Throws LowrankError parity_failed below the thresholds,
 * export_unsupported, and the signal's reason.
 */
export async function runExport(options: ExportOptions): Promise<ExportedVersion> {
  const { workDir, base, format, signal, onMessage } = options;
  try {
    signal.throwIfAborted();
    await rm(workDir, { recursive: true, force: true });
    const folder = join(workDir, 'files');
    await mkdir(folder, { recursive: true });
    const tokenizer = await loadChatTokenizer(base.dir);
    const made = await write(options, folder);
    if (format !== 'merged') await writeModelfile(options, folder, tokenizer);
    onMessage('info', 'written; comparing it with the adapter on its base');
    const certificate = await certifyResult(options, made, await loadMeasured(options, tokenizer));
    assertParity(certificate, 'the adapter does');
    return { folder, paths: (await readdir(folder)).sort(), certificate };
  } catch (error) {
    if (signal.aborted && isCancelled(error)) throw signal.reason;
    throw publicError(error);
  }
}
