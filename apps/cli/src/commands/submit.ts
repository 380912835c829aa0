import { loadConfig } from '@lowrank/config';
import { type Estimate, idSchema } from '@lowrank/contracts';
import { type Command } from 'commander';
import { access } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Api } from '../client/api';
import { connect } from '../connect';
import { convertToChats, needsConversion, withJsonl } from '../convert';
import { CliError, exitCodes } from '../errors';
import { summary } from '../estimate-view';
import { addRecipeOptions, makeRecipe, type RecipeOptions } from '../recipe-options';
import { addSchedulingOptions, makeScheduling, type SchedulingOptions } from '../scheduling-options';
import { note, print } from '../terminal';
import { parseVersionRef } from '../version-ref';
import { assertSucceeded, describeSuccess, watchUntilInterrupted } from '../watch/watch-job';

interface SubmitOptions extends RecipeOptions, SchedulingOptions {
  base?: string;
  adapter?: string;
  from?: string;
  watch?: boolean;
}

export function addSubmitCommand(program: Command): void {
  const submit = program
    .command('submit')
    .description('train an adapter on a dataset: uploads the file and submits a job')
    .argument('<file|dataset>', 'a JSONL, CSV or Parquet file, or the id (data_…) of one uploaded before')
    .option('--base <name>', 'base model to train on; see: lowrank models')
    .option('--adapter <name>', 'adapter that the result becomes the next version of')
    .option(
      '--from <adapter@version>',
      'start from the weights of a version; its base model and adapter are the defaults then',
    );
  addSchedulingOptions(addRecipeOptions(submit))
    .option('--watch', 'follow the job until it ends')
    .action(async (source: string, options: SubmitOptions, command: Command) => {
      const named = namedSubject(options, command);
      const api = connect(command);
      const recipe = await makeRecipe(options);
      const what = named ?? (await subjectOf(api, options));
      const dataset = await datasetOf(api, source, what.baseModel);
      const job = await api.submit({ ...what, dataset, recipe, ...makeScheduling(options) });
      print(`Job ${job.id} is ${job.state}.`);
      if (job.estimate !== null) tellEstimate(job.estimate);
      if (!options.watch) {
        note(`Follow it with: lowrank watch ${job.id}`);
        return;
      }
      const done = await watchUntilInterrupted(api, job.id);
      assertSucceeded(done);
      print(describeSuccess(done));
    });
}

/** What is trained. */
interface Subject {
  baseModel: string;
  adapter: string;
  initFrom?: string;
}

/** As the options say it all; null when they name a version to start from. Ends with a usage error when they do neither. */
function namedSubject({ base, adapter, from }: SubmitOptions, command: Command): Subject | null {
  if (from !== undefined) return null;
  if (base !== undefined && adapter !== undefined) return { baseModel: base, adapter };
  const missing = base === undefined ? '--base' : '--adapter';
  return command.error(
    `error: ${missing} is missing. Name base model and adapter, or with --from a version.`,
    {
      exitCode: exitCodes.usage,
    },
  );
}

/** As the version has it that training starts from, where the options leave it out. */
async function subjectOf(api: Api, { base, adapter, from = '' }: SubmitOptions): Promise<Subject> {
  const ref = parseVersionRef(from);
  const version = await api.version(ref.adapter, ref.version ?? 'latest');
  return {
    baseModel: base ?? version.baseModel.id,
    adapter: adapter ?? version.adapter,
    initFrom: `${version.adapter}@v${version.number}`,
  };
}

function tellEstimate(estimate: Estimate): void {
  const text = summary(estimate);
  if (text !== null) note(`It takes ${text}.`);
  for (const warning of estimate.warnings) note(warning);
}

/** The id of a dataset that was uploaded before, or else of the file, which is uploaded. */
export const datasetOf = async (api: Api, source: string, baseModel: string): Promise<string> =>
  idSchema('dataset').safeParse(source).success ? source : uploadFile(api, source, baseModel);

/** Uploads a dataset and resolves to its id; question/answer rows go up as chats. */
export async function uploadFile(api: Api, path: string, baseModel?: string): Promise<string> {
  await access(path).catch((cause) => {
    throw new CliError(`cannot read ${path}: ${cause.message}`, { exitCode: exitCodes.usage, cause });
  });
  const { limits } = loadConfig();
  return withJsonl(path, limits, async (rows, folder) => {
    let file = path;
    if (await needsConversion(rows, limits.lineBytes)) {
      file = join(folder, 'chats.jsonl');
      const count = await convertToChats(rows, file, limits.lineBytes);
      note(
        `${basename(path)} has question/answer rows; uploading them as ${count.toLocaleString('en')} chats.`,
      );
    }
    const name = file === path ? basename(path) : `${basename(path).replace(/\.[a-z.]+$/, '')}.jsonl`;
    const dataset = await api.upload(file, name, baseModel);
    const tokens = dataset.tokens === null ? '' : `, ${dataset.tokens.toLocaleString('en')} tokens`;
    note(`Dataset ${dataset.id}: ${dataset.rows.toLocaleString('en')} rows${tokens}.`);
    return dataset.id;
  });
}
