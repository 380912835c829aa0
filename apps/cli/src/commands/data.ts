import { loadConfig } from '@lowrank/config';
import { type DatasetPreview, datasetRefSchema, LowrankError } from '@lowrank/contracts';
import { assertDatasetValid, checkDatasetFile, previewInThread, selectRows } from '@lowrank/datasets';
import { type Command } from 'commander';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { connect } from '../connect';
import { convertToChats, withJsonl } from '../convert';
import { CliError, exitCodes } from '../errors';
import { whole } from '../option-values';
import { statisticsLines } from '../statistics-view';
import { setTimeout as sleep } from 'node:timers/promises';
import { previewLines } from '../preview-view';
import { formatAge, formatBytes, isColoured, note, print, printTable } from '../terminal';
import { isDataset, uploadFile } from './submit';

interface StatisticsOptions {
  base?: string;
  sequenceLength: number;
  against?: string;
}

interface PreviewOptions {
  base?: string;
  baseFolder?: string;
  row: number;
  rows: number;
}

export function addDataCommands(program: Command): void {
  const data = program.command('data').description('convert, check, upload and look at datasets');

  data
    .command('list', { isDefault: true })
    .description('list datasets that were uploaded, newest first; with a name its versions')
    .argument('[name]')
    .action(async (name: string | undefined, _options, command: Command) => {
      const rows: string[][] = [];
      for await (const dataset of connect(command).data.list(name))
        rows.push([
          dataset.id,
          `${dataset.name}@v${dataset.version}`,
          dataset.filename,
          dataset.format,
          dataset.rows.toLocaleString('en'),
          dataset.tokens?.toLocaleString('en') ?? '–',
          formatBytes(dataset.bytes),
          formatAge(dataset.createdAt),
        ]);
      if (rows.length === 0)
        return print('No datasets yet. Upload one with: lowrank data upload chats.jsonl');
      printTable(['DATASET', 'VERSION', 'FILE', 'FORMAT', 'ROWS', 'TOKENS', 'SIZE', 'UPLOADED'], rows);
    });

  data
    .command('upload')
    .description('upload a file, which the server checks row by row, and print its id')
    .argument('<file>', 'JSONL, CSV, Parquet or a JSON array, also packed with gzip')
    .option('--base <name>', 'base model whose tokenizer counts its tokens; default: the oldest')
    .option('--name <name>', "what it becomes the next version of; default: the file's name")
    .addHelpText(
      'after',
      '\nLarge files go up in parts. Run it again after a break: it goes on with what is missing.',
    )
    .action(async (file: string, { base, name }: { base?: string; name?: string }, command: Command) => {
      print(await uploadFile(connect(command), file, base, name));
    });

  data
    .command('import')
    .description('have the server fetch a file from a public http or https URL, and print its id')
    .argument('<url>')
    .option('--base <name>', 'base model whose tokenizer counts its tokens; default: the oldest')
    .option('--name <name>', "what it becomes the next version of; default: the file's name")
    .action(async (url: string, { base, name }: { base?: string; name?: string }, command: Command) => {
      const dataset = await connect(command).data.import({ url, baseModel: base, name });
      note(`${dataset.name}@v${dataset.version}: ${dataset.rows.toLocaleString('en')} rows.`);
      print(dataset.id);
    });

  data
    .command('convert')
    .description('write question/answer rows (or prompt/completion, alpaca, ShareGPT) as chats')
    .argument('<in>', 'file to read: JSONL, CSV, Parquet or a JSON array, also packed with gzip')
    .argument('<out.jsonl>', 'file to write')
    .action(async (source: string, target: string) => {
      const { limits } = loadConfig();
      const rows = await withJsonl(source, limits, (file) => convertToChats(file, target, limits.lineBytes));
      print(`${rows.toLocaleString('en')} chats in ${target}.`);
    });

  data
    .command('preview')
    .description(
      'show rows as a model sees them, and what is learnt of them: in colour, or between [[ and ]]',
    )
    .argument('<file|dataset>', 'the id (data_…) of a dataset, or with --base-folder a file')
    .option('--base <name>', 'base model of the server whose template renders; default: the oldest')
    .option('--base-folder <folder>', 'a base model in Hugging Face layout: render without a server')
    .option('--row <n>', 'first row to show', whole, 1)
    .option('--rows <n>', 'how many', whole, 1)
    .action(async (source: string, options: PreviewOptions, command: Command) => {
      const { rows, hasMore } = await previewOf(source, options, command);
      const coloured = isColoured();
      for (const row of rows) for (const line of previewLines(row, coloured)) print(line);
      if (rows.length === 0) note(`There is no row ${options.row}.`);
      else if (hasMore) note(`More with: --row ${options.row + options.rows}`);
    });

  data
    .command('stats')
    .description('lengths of a dataset in tokens, its duplicates, and what it shares with another dataset')
    .argument('<dataset>', 'the id (data_…) of a dataset, or chats, or chats@3')
    .option('--base <name>', 'base model whose tokenizer counts; default: the oldest')
    .option('--sequence-length <tokens>', 'count conversations that are longer', whole, 2048)
    .option('--against <dataset>', 'another dataset, such as the one to evaluate on')
    .action(async (id: string, { base, ...options }: StatisticsOptions, command: Command) => {
      if (!datasetRefSchema.safeParse(id).success)
        throw new CliError(`'${id}' is not the id or name of a dataset`, {
          help: 'See them with: lowrank data. Upload a file with: lowrank data upload',
          exitCode: exitCodes.usage,
        });
      const api = connect(command);
      const request = { baseModel: base, ...options };
      let found = await api.data.statistics(id, request);
      for (
        ;
        found.lengths === null || found.duplicates === null;
        found = await api.data.statistics(id, request)
      ) {
        note('Still counting …');
        await sleep(2000);
      }
      for (const line of statisticsLines(found)) print(line);
    });

  data
    .command('check')
    .description('check a file row by row, as an upload does')
    .argument('<file>', 'file to read: JSONL, CSV, Parquet or a JSON array, also packed with gzip')
    .option('--base-folder <folder>', 'a base model in Hugging Face layout: count tokens with its tokenizer')
    .action(async (file: string, { baseFolder }: { baseFolder?: string }) => {
      const { limits } = loadConfig();
      const check = await withJsonl(file, limits, (rows) =>
        checkDatasetFile(rows, { maxLineBytes: limits.lineBytes, tokenizerDir: baseFolder }),
      );
      assertDatasetValid(check);
      const counted =
        check.tokens === null
          ? ''
          : `, ${check.tokens.toLocaleString('en')} tokens, ${(check.lossTokens ?? 0).toLocaleString('en')} of them learnt`;
      print(`${file}: ${check.rows.toLocaleString('en')} rows, format ${check.format}${counted}.`);
    });
}

async function previewOf(source: string, options: PreviewOptions, command: Command): Promise<DatasetPreview> {
  const { base, baseFolder, ...range } = options;
  if (await isDataset(source)) return connect(command).data.preview(source, { baseModel: base, ...range });
  if (baseFolder === undefined)
    throw new CliError('a file is rendered with --base-folder', {
      help: 'Give the folder of a base model, or upload the file and name the dataset (data_…).',
      exitCode: exitCodes.usage,
    });
  const { limits } = loadConfig();
  return withJsonl(source, limits, async (file) => {
    const { format, errors } = await checkDatasetFile(file, { maxLineBytes: limits.lineBytes });
    // Rows that are wrong are shown as such; only a file of no format has none to show.
    if (format === null)
      throw new LowrankError('dataset_invalid', errors[0]?.message ?? 'the file has no rows', errors);
    const { lines, hasMore } = await selectRows(createReadStream(file), range, limits.lineBytes);
    const rows = await previewInThread(lines, { tokenizerDir: baseFolder, format });
    return { baseModel: basename(baseFolder), rows, hasMore };
  });
}
