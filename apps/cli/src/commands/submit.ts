import { loadConfig } from '@lowrank/config';
import { type CreateJobInput, datasetRefSchema, type Estimate, idSchema } from '@lowrank/contracts';
import { type Command } from 'commander';
import { access } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Api } from '../client/api';
import { connect } from '../connect';
import { convertToChats, needsConversion, withJsonl } from '../convert';
import { CliError, exitCodes } from '../errors';
import { summary } from '../estimate-view';
import { isJobFile, readJobFile } from '../job-file';
import { addRecipeOptions, makeRecipe, type RecipeOptions } from '../recipe-options';
import { addSchedulingOptions, makeScheduling, type SchedulingOptions } from '../scheduling-options';
import { formatBytes, note, print } from '../terminal';
import { parseVersionRef } from '../version-ref';
import { assertSucceeded, describeSuccess, watchUntilInterrupted } from '../watch/watch-job';

interface SubmitOptions extends RecipeOptions, SchedulingOptions {
  base?: string;
  adapter?: string;
  validation?: string;
  from?: string;
  watch?: boolean;
}

export function addSubmitCommand(program: Command): void {
  const submit = program
    .command('submit')
    .description('train an adapter on a dataset: uploads the file and submits a job')
    .argument(
      '<file|dataset|job.yaml>',
      'a JSONL, CSV or Parquet file, or a dataset uploaded before: its id, chats, or chats@3; or a YAML file with all fields of a job',
    )
    .option('--base <name>', 'base model to train on; see: lowrank models')
    .option('--adapter <name>', 'adapter that the result becomes the next version of')
    .option(
      '--from <adapter@version>',
      'start from the weights of a version; its base model and adapter are the defaults then',
    );
  submit.option('--validation <file|dataset>', validationHelp);
  addSchedulingOptions(addRecipeOptions(submit))
    .option('--watch', 'follow the job until it ends')
    .action(async (source: string, options: SubmitOptions, command: Command) => {
      const whole = isJobFile(source) ? await jobOfFile(source, command) : null;
      const named = whole === null ? namedSubject(options, command) : null;
      const api = connect(command);
      const job = await api.submit(whole ?? (await jobOfOptions(api, source, named, options)));
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

/** A job as a file has it, which says all of it. Ends with a usage error when options say something, too. */
async function jobOfFile(path: string, command: Command): Promise<CreateJobInput> {
  const given = command.options.filter(
    (option) =>
      option.attributeName() !== 'watch' && command.getOptionValueSource(option.attributeName()) === 'cli',
  );
  if (given.length > 0)
    command.error(`error: ${path} says all of the job; ${given[0]?.long} is for jobs on a dataset.`, {
      exitCode: exitCodes.usage,
    });
  return readJobFile(path);
}

async function jobOfOptions(
  api: Api,
  source: string,
  named: Subject | null,
  options: SubmitOptions,
): Promise<CreateJobInput> {
  const recipe = await makeRecipe(options);
  const what = named ?? (await subjectOf(api, options));
  const dataset = await datasetOf(api, source, what.baseModel);
  const validationDataset = await validationOf(api, options.validation, what.baseModel);
  return { ...what, dataset, validationDataset, recipe, ...makeScheduling(options) };
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

/** A dataset that was uploaded before, or else the id of the file, which is uploaded. A file is what there is on this machine, or what has a path or an ending. */
export const datasetOf = async (api: Api, source: string, baseModel: string): Promise<string> =>
  (await isDataset(source)) ? source : uploadFile(api, source, baseModel);

/** Whether a source is the id of a dataset, or names one as `chats@3` does, and is no file. */
export async function isDataset(source: string): Promise<boolean> {
  if (idSchema('dataset').safeParse(source).success) return true;
  const isThere = await access(source).then(
    () => true,
    () => false,
  );
  return (
    !isThere &&
    datasetRefSchema.safeParse(source).success &&
    !/\.(jsonl|json|csv|tsv|parquet|gz)$/.test(source)
  );
}

/** Tells of every tenth of a large upload. */
function showProgress(): (there: number, bytes: number) => void {
  let told = -1;
  return (there, bytes) => {
    const tenth = Math.floor((10 * there) / bytes);
    if (tenth <= told) return;
    note(`${formatBytes(there)} of ${formatBytes(bytes)} are there.`);
    told = tenth;
  };
}

/** Uploads a dataset and resolves to its id; question/answer rows go up as chats. */
export async function uploadFile(
  api: Api,
  path: string,
  baseModel?: string,
  datasetName?: string,
): Promise<string> {
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
    const dataset = await api.data.upload(file, name, {
      ...{ baseModel, name: datasetName, onProgress: showProgress() },
    });
    const tokens = dataset.tokens === null ? '' : `, ${dataset.tokens.toLocaleString('en')} tokens`;
    note(
      `Dataset ${dataset.id}, ${dataset.name}@v${dataset.version}: ${dataset.rows.toLocaleString('en')} rows${tokens}.`,
    );
    return dataset.id;
  });
}

export const validationHelp = 'evaluate on this file or dataset; default: on rows held out of the first';

/** What `--validation` names; null: nothing. */
export const validationOf = async (
  api: Api,
  source: string | undefined,
  baseModel: string,
): Promise<string | null> => (source === undefined ? null : datasetOf(api, source, baseModel));
