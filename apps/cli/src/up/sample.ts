import { type Config } from '@lowrank/config';
import { type AdapterVersion, type BaseModel, LowrankError } from '@lowrank/contracts';
import { evaluate, evaluationBatches, loadTokens, sha256, toSequences } from '@lowrank/training';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { type LocalModel, openLocalModel } from '../chat/local-model';
import { Api } from '../client/api';
import { importBaseModel } from '../commands/models';
import { CliError } from '../errors';
import { pullVersion } from '../pull';
import { makeRecipe } from '../recipe-options';
import { paint, print } from '../terminal';
import { assertSucceeded, watchJob } from '../watch/watch-job';

/** The repository's samples, seen from this file in dist/. */
const samples = resolve(__dirname, '../../../../../samples');
const trainFile = join(samples, 'data', 'train.jsonl');
const heldOutFile = join(samples, 'data', 'heldout.jsonl');
const promptsFile = join(samples, 'data', 'prompts.json');
/** A model this small learns from small batches and a high rate. */
const recipeFile = join(samples, 'recipe.json');
const baseName = 'sample';
const adapterName = 'captain';
const longestAnswer = 64;
/** Percent by which the sample adapter lowers the held-out loss at the very least; less means something is broken. */
const leastFall = 30;

/**
 * Trains the sample job and shows what it did, the way anybody would with their own data: import, upload, submit, watch, pull, ask.
 * Errors: CliError when the job does not publish or its adapter has not learnt, LowrankError integrity_failed when a published file is not what it should be.
 */
export async function showSample(
  { url, key }: { url: string; key: string | null },
  config: Config,
  signal: AbortSignal,
): Promise<void> {
  if (key === null) {
    throw new CliError('the sample needs the admin key, which is not in the data folder', {
      help: 'Run it against the embedded database, or put the key into LOWRANK_DATA/admin-key.',
    });
  }
  const api = new Api(url, key);
  print(paint('bold', '\nThe sample job'));
  const baseModel = await findOrImport(api);
  print(`  base model ${baseModel.name}: ${(baseModel.parameters / 1e6).toFixed(1)}M parameters`);
  const dataset = await findOrUpload(api);
  print(`  dataset ${dataset.filename}: ${dataset.rows} chats`);
  const submitted = await api.submit({
    baseModel: baseModel.name,
    dataset: dataset.id,
    adapter: adapterName,
    recipe: await makeRecipe({ recipe: recipeFile }),
  });
  const job = await watchJob(api, submitted.id, signal);
  assertSucceeded(job);

  const version = await api.version(job.adapter, String(job.version ?? 'latest'));
  const folder = join(config.dataDir, 'pulled', `${version.adapter}-v${version.number}`);
  await pullVersion(api, version, folder);
  print(
    `  ${paint('green', '✓')} ${version.adapter} v${version.number}: ${version.files.length} files pulled to`,
  );
  print(`    ${folder}, every SHA-256 right`);

  const cacheDir = join(config.dataDir, 'cache');
  const model = await openLocalModel(api, { baseModel, version, cacheDir, threads: config.threads });
  try {
    await showHeldOutLoss(model, version, cacheDir, config.limits.lineBytes);
    await showAnswers(model, signal);
  } finally {
    model.close();
  }
  print(`\nAsk it more:  npx lowrank chat --adapter ${adapterName} --compare`);
}

async function findOrImport(api: Api): Promise<BaseModel> {
  try {
    return await api.baseModel(baseName);
  } catch (error) {
    if (!(error instanceof LowrankError && error.code === 'not_found')) throw error;
    return importBaseModel(api, { name: baseName, source: join(samples, 'base'), revision: 'main' });
  }
}

/** The same file is the same dataset, so a second start uploads nothing. */
async function findOrUpload(api: Api) {
  const hash = sha256(await readFile(trainFile));
  for await (const dataset of api.data.list()) if (dataset.sha256 === hash) return dataset;
  return api.data.upload(trainFile, 'train.jsonl', { baseModel: baseName });
}

/** Loss on chats that the job never saw, of the bare base and of the adapter as it was pulled. */
async function showHeldOutLoss(
  { base, adapter, tokenizer, modelDir }: LocalModel,
  { recipe }: AdapterVersion,
  cacheDir: string,
  maxLineBytes: number,
): Promise<void> {
  const rows = await loadTokens({
    file: heldOutFile,
    sha256: sha256(await readFile(heldOutFile)),
    format: 'chat',
    tokenizerDir: modelDir,
    fingerprint: tokenizer.fingerprint,
    maxLineBytes,
    cacheDir,
  });
  const batches = evaluationBatches(toSequences(rows, recipe).sequences, recipe);
  const before = await evaluate(base, null, batches);
  const after = await evaluate(base, adapter, batches);
  const fall = 100 * (1 - after.loss / before.loss);
  print(
    `  held-out loss on ${rows.length} chats: ${before.loss.toFixed(3)} before, ${after.loss.toFixed(3)} after (${fall.toFixed(0)}% lower)`,
  );
  if (!(fall >= leastFall)) {
    throw new CliError(
      `the sample adapter lowers the held-out loss by ${fall.toFixed(1)}%, not ${leastFall}%`,
      {
        help: 'Its kernels do not compute what they should on this machine: npm test tells which.',
      },
    );
  }
}

async function showAnswers(model: LocalModel, signal: AbortSignal): Promise<void> {
  const prompts = z.array(z.string()).parse(JSON.parse(await readFile(promptsFile, 'utf8')));
  for (const prompt of prompts.slice(0, 3)) {
    const ask = async (adapter: LocalModel['adapter']) => {
      const messages = [{ role: 'user' as const, content: prompt }];
      const { text } = await model.answer(messages, { adapter, maxTokens: longestAnswer, signal });
      return text.trim().replaceAll(/\s+/g, ' ');
    };
    print(`\n  ${paint('bold', prompt)}`);
    print(`    ${paint('yellow', 'before')}  ${await ask(null)}`);
    print(`    ${paint('green', 'after ')}  ${await ask(model.adapter)}`);
  }
}
