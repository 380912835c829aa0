import {
  type Adapter,
  adapterMethodSchema,
  adapterSortSchema,
  baseStorageSchema,
  objectiveTypeSchema,
} from '@lowrank/contracts';
import { type Command, Option } from 'commander';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AdapterFilter } from '../client/catalog';
import { connect } from '../connect';
import { diffTables } from '../diff-view';
import { evaluationLines } from '../evaluation-view';
import { number } from '../option-values';
import { lineageRows } from '../lineage-view';
import { formatAge, formatBytes, paint, print, printTable } from '../terminal';
import { CliError, exitCodes } from '../errors';
import { parseSharedRef, parseVersionRef } from '../version-ref';
import { pullVersion } from '../pull';

const listColumns = [
  'ADAPTER',
  'LATEST',
  'ALIASES',
  'BASE MODEL',
  'METHOD',
  'HELD OUT',
  'TAGS',
  'BY',
  'UPDATED',
];
const versionColumns = [
  'VERSION',
  'ALIASES',
  'LOSS',
  'HELD OUT: BEFORE',
  'AFTER',
  'SIZE',
  'JOB',
  'PUBLISHED',
];

/** The aliases that stand on a version. */
const namesOf = (aliases: Adapter['aliases'], number: number): string =>
  aliases
    .filter((alias) => alias.version === number)
    .map(({ name }) => name)
    .join(', ') || '–';

export function addAdapterCommands(program: Command): void {
  const adapters = program.command('adapters').description('list or show adapters');

  adapters
    .command('list', { isDefault: true })
    .description('list adapters, newest first')
    .option('--search <words>', 'words that all have to be in name, description, tags or card')
    .option('--deleted', 'those that can be restored, instead')
    .option('--owner <id or name>', 'user or API key that made it')
    .option('--tag <tag>', 'a tag that it has')
    .option('--base <name>', 'base model')
    .addOption(
      new Option('--objective <name>', 'what training minimised').choices(objectiveTypeSchema.options),
    )
    .addOption(new Option('--method <name>', 'how it was trained').choices(adapterMethodSchema.options))
    .option('--max-loss <n>', 'highest loss of the newest version on the rows held out', number)
    .option('--min-accuracy <n>', 'lowest accuracy of the newest version on the rows held out', number)
    .addOption(new Option('--sort <by>', 'order').choices(adapterSortSchema.options).default('created'))
    .action(async ({ search: q, base: baseModel, ...options }: ListOptions, command: Command) => {
      const rows: string[][] = [];
      for await (const adapter of connect(command).catalog.find({ q, baseModel, ...options })) {
        const latest = adapter.latestVersion === null ? '–' : `v${adapter.latestVersion}`;
        const aliases = adapter.aliases.map(({ name, version }) => `${name}=v${version}`).join(' ') || '–';
        const name = adapter.sharedBy === null ? adapter.name : `${adapter.sharedBy}/${adapter.name}`;
        const loss = adapter.latest?.loss?.toFixed(4) ?? '–';
        rows.push([
          ...[name, latest, aliases, adapter.baseModel],
          ...[
            adapter.latest?.method ?? '–',
            loss,
            adapter.tags.join(' ') || '–',
            adapter.createdBy?.name ?? '–',
            formatAge(adapter.updatedAt),
          ],
        ]);
      }
      if (rows.length === 0) print('No adapters found. Train one with: lowrank submit');
      else printTable(listColumns, rows);
    });

  adapters
    .command('show')
    .description('show the versions of an adapter, or files and lineage of one version')
    .argument(
      '<adapter[@version]>',
      'e.g. support, support@v3, support@prod, or research/support of another team',
    )
    .option('--deleted', 'versions that can be restored, instead')
    .action(async (text: string, { deleted }: { deleted?: boolean }, command: Command) => {
      const api = connect(command);
      const ref = parseSharedRef(text);
      if (ref.version === null) {
        const { aliases } = await api.adapter(ref.adapter, ref.team);
        const versions = await api.versions(ref.adapter, { team: ref.team, deleted });
        const rows = versions.map(({ number, metrics, bytes, jobId, createdAt }) => [
          `v${number}`,
          namesOf(aliases, number),
          metrics.trainLoss?.toFixed(4) ?? '–',
          metrics.evalLossBefore?.toFixed(4) ?? '–',
          metrics.evalLossAfter?.toFixed(4) ?? '–',
          formatBytes(bytes),
          jobId ?? 'imported',
          formatAge(createdAt),
        ]);
        if (rows.length === 0) print(`${ref.adapter} has no ${deleted ? 'deleted' : 'published'} version.`);
        else printTable(versionColumns, rows);
        return;
      }
      const version = await api.version(ref.adapter, ref.version, ref.team);
      const { files, ...rest } = version;
      print(JSON.stringify(rest, null, 2));
      print(paint('bold', '\nFiles'));
      printTable(
        ['FILE', 'SIZE', 'SHA-256'],
        files.map(({ path, bytes, sha256 }) => [path, formatBytes(bytes), sha256]),
      );
      // What another team's version was made from is theirs to know.
      if (ref.team !== null) return;
      const evaluations = await api.evaluating.list(ref.adapter, version.number);
      if (evaluations.length > 0) print(paint('bold', '\nEvaluations'));
      if (evaluations.length > 0) for (const line of evaluationLines(evaluations)) print(line);
      const lineage = await api.catalog.lineage(ref.adapter, `v${version.number}`);
      const rows = lineageRows(lineage);
      if (rows.length === 0) return;
      print(paint('bold', '\nLineage'));
      printTable(['FROM', 'HOW', 'TO'], rows);
      if (lineage.isTruncated) print('… and more');
    });

  adapters
    .command('import')
    .description("make a folder in PEFT's format the next version of an adapter")
    .argument('<folder>', 'with adapter_config.json and adapter_model.safetensors')
    .requiredOption('--adapter <name>', 'name of the adapter; made when there is none')
    .requiredOption('--base <name>', 'base model that it was trained on')
    .addOption(
      new Option('--quantization <kind>', 'how the base is kept for it; default: nf4').choices(
        baseStorageSchema.shape.quantization.options,
      ),
    )
    .action(async (folder: string, options: ImportOptions, command: Command) => {
      const { adapter, base: baseModel, quantization } = options;
      const files = await filesToImport(folder);
      const made = await connect(command).catalog.importVersion(adapter, files, { baseModel, quantization });
      print(`Imported as ${made.adapter} v${made.number}: ${Object.keys(files).join(', ')}.`);
    });

  adapters
    .command('diff')
    .description('compare two versions: what they were made from, recipe, metrics, files')
    .argument('<adapter[@version]>', 'e.g. support@v1; without a version the latest')
    .argument('<adapter[@version]>', 'the other one, e.g. support@v2')
    .action(async (first: string, second: string, _options, command: Command) => {
      const [from, to] = [parseVersionRef(first), parseVersionRef(second)];
      const other = `${to.adapter}@${to.version ?? 'latest'}`;
      const diff = await connect(command).catalog.diff(from.adapter, from.version ?? 'latest', other);
      for (const [i, { title, head, rows }] of diffTables(diff).entries()) {
        print(paint('bold', i === 0 ? title : `\n${title}`));
        printTable(head, rows);
      }
    });

  adapters
    .command('card')
    .description("print an adapter's card, which is Markdown")
    .argument('<adapter>', 'e.g. support, or research/support of another team')
    .action(async (text: string, _options, command: Command) => {
      const { adapter, team } = parseSharedRef(text);
      process.stdout.write((await connect(command).card(adapter, team)).text);
    });

  adapters
    .command('describe')
    .description('change what is said of an adapter; what is not named stays')
    .argument('<adapter>')
    .option('--description <text>', 'a sentence or two for lists')
    .option('--tag <tag...>', 'tags in place of those that it has')
    .option('--no-tags', 'no tags')
    .option('--card <file>', 'Markdown in place of the generated card')
    .option('--generated-card', 'the generated card again')
    .action(async (name: string, options: DescribeOptions, command: Command) => {
      const { description, tag, tags, card, generatedCard } = options;
      const adapter = await connect(command).describeAdapter(name, {
        ...(description === undefined ? {} : { description }),
        ...(tag === undefined && tags ? {} : { tags: tag ?? [] }),
        ...(card === undefined ? {} : { card: await readFile(card, 'utf8') }),
        ...(generatedCard ? { card: null } : {}),
      });
      print(
        [adapter.name, adapter.description, ...adapter.tags.map((one) => `#${one}`)]
          .filter(Boolean)
          .join(' '),
      );
    });

  adapters
    .command('delete')
    .description('delete a version, or without one the whole adapter; restore brings it back')
    .argument('<adapter[@version]>', 'e.g. support@v3')
    .action(async (text: string, _options, command: Command) => {
      const { adapter, version } = parseVersionRef(text);
      await connect(command).catalog.delete(adapter, version);
      print(`${text} is deleted. Bring it back with: lowrank adapters restore ${text}`);
    });

  adapters
    .command('restore')
    .description('bring back a deleted version, or without one a deleted adapter')
    .argument('<adapter[@version]>', 'e.g. support@v3')
    .action(async (text: string, _options, command: Command) => {
      const { catalog } = connect(command);
      const { adapter, version } = parseVersionRef(text);
      if (version === null) await catalog.restoreAdapter(adapter);
      else await catalog.restoreVersion(adapter, version);
      print(`${text} is back.`);
    });

  program
    .command('pull')
    .description("download an adapter version in PEFT's layout and check every file's SHA-256")
    .argument(
      '<adapter[@version]>',
      'e.g. support, support@v3, or research/support@prod of another team; without a version the latest',
    )
    .argument('[folder]', 'where to put it; default: <adapter>-v<number> here')
    .action(async (text: string, folder: string | undefined, _options, command: Command) => {
      const api = connect(command);
      const ref = parseSharedRef(text);
      const version = await api.version(ref.adapter, ref.version ?? 'latest', ref.team);
      const target = folder ?? `${version.adapter}-v${version.number}`;
      await pullVersion(api, version, target, ref.team);
      print(
        `${version.adapter} v${version.number}: ${version.files.length} files in ${target}, all verified.`,
      );
    });
}

type ListOptions = Omit<AdapterFilter, 'q' | 'baseModel'> & { search?: string; base?: string };

interface DescribeOptions {
  description?: string;
  tag?: string[];
  /** False with --no-tags. */
  tags: boolean;
  card?: string;
  generatedCard?: boolean;
}

interface ImportOptions {
  adapter: string;
  base: string;
  quantization?: string;
}

/** What of a folder is uploaded: name → path. Error: CliError when it is none in PEFT's format. */
async function filesToImport(folder: string): Promise<Record<string, string>> {
  const there = await readdir(folder).catch(() => [] as string[]);
  const needed = ['adapter_config.json', 'adapter_model.safetensors'];
  const missing = needed.filter((name) => !there.includes(name));
  if (missing.length > 0)
    throw new CliError(`${folder} has no ${missing.join(' and no ')}`, {
      help: "PEFT's save_pretrained writes both; pickled weights (adapter_model.bin) are never read.",
      exitCode: exitCodes.usage,
    });
  const names = [...needed, 'README.md'].filter((name) => there.includes(name));
  return Object.fromEntries(names.map((name) => [name, join(folder, name)]));
}
