import { type ExportFormat, exportFormatSchema, type VersionExport } from '@lowrank/contracts';
import { type Command, Option } from 'commander';
import { type Api } from '../client/api';
import { connect } from '../connect';
import {
  addParityOptions,
  describeCertificate,
  describeRows,
  makeParity,
  type ParityOptions,
  percent,
} from '../parity-options';
import { pullExport } from '../pull';
import { addSchedulingOptions, makeScheduling, type SchedulingOptions } from '../scheduling-options';
import { formatAge, formatBytes, note, print, printTable } from '../terminal';
import { parseVersionRef } from '../version-ref';
import { assertSucceeded, watchUntilInterrupted } from '../watch/watch-job';

interface ExportOptions extends SchedulingOptions, ParityOptions {
  format: ExportFormat;
  watch?: boolean;
  to?: string;
}

const help = `
Formats:
  merged        a model folder for transformers and vLLM: base and adapter in one
  gguf-adapter  a LoRA adapter for llama.cpp and Ollama, beside its base in GGUF
  gguf-f16      the merged model for llama.cpp and Ollama, 16 bits
  gguf-q8_0     the same in 8 bits
Those in GGUF come with an Ollama Modelfile. Nothing is published that does not answer as the adapter does: docs/exports.md.

  lowrank export support@v3 --format gguf-q8_0 --to ./support
  ollama create support -f ./support/Modelfile`;

export function addExportCommands(program: Command): void {
  const command = program
    .command('export')
    .description('write a version in another format, as a job')
    .argument('<adapter[@version]>', 'e.g. support@v3 or support@prod; without a version the latest')
    .addOption(
      new Option('--format <format>', 'see below').choices(exportFormatSchema.options).makeOptionMandatory(),
    );
  addSchedulingOptions(addParityOptions(command, 'format'))
    .option('--watch', 'follow the job until it ends')
    .option('--to <folder>', 'follow it, and download what it has made')
    .addHelpText('after', help)
    .action(async (text: string, options: ExportOptions, command: Command) => {
      const api = connect(command);
      const { adapter, version } = parseVersionRef(text);
      const { format, watch, to } = options;
      const job = await api.exports.submit(adapter, version ?? 'latest', {
        ...{ format, ...makeParity(options) },
        ...makeScheduling(options),
      });
      print(`Job ${job.id} is ${job.state}.`);
      if (!watch && to === undefined) {
        note(`Follow it with: lowrank watch ${job.id}`);
        return;
      }
      const done = await watchUntilInterrupted(api, job.id);
      assertSucceeded(done);
      if (done.work.kind !== 'export') return;
      const made = await api.exports.find(adapter, done.work.version.number, format);
      print(describeExport(made));
      if (to !== undefined) await pull(api, made, to);
    });

  program
    .command('exports')
    .description('list the exports of a version, or download one')
    .argument('<adapter[@version]>', 'e.g. support@v3 or support@prod; without a version the latest')
    .addOption(new Option('--format <format>', 'the one to download').choices(exportFormatSchema.options))
    .option('--to <folder>', 'where to put it; default: <adapter>-v<number>-<format> here')
    .action(async (text: string, { format, to }: Partial<ExportOptions>, command: Command) => {
      const api = connect(command);
      const { adapter, version } = parseVersionRef(text);
      if (format === undefined) return list(await api.exports.list(adapter, version ?? 'latest'), text);
      const found = await api.exports.find(adapter, version ?? 'latest', format);
      await pull(api, found, to ?? `${adapter}-v${found.version}-${format}`);
    });
}

const describeExport = ({ adapter, version, format, bytes, certificate }: VersionExport): string =>
  `${adapter} v${version} as ${format}, ${formatBytes(bytes)}: ${describeCertificate(certificate)}.`;

async function pull(api: Api, found: VersionExport, folder: string): Promise<void> {
  await pullExport(api, found, folder);
  print(`${found.files.length} files in ${folder}, all verified.`);
}

function list(exports: VersionExport[], of: string): void {
  if (exports.length === 0)
    return print(`${of} has no exports. Make one with: lowrank export ${of} --format merged`);
  printTable(
    ['FORMAT', 'SIZE', 'SAME TOKEN', 'MEAN KL', 'MAX KL', 'COMPARED ON', 'JOB', 'MADE'],
    exports.map(({ format, bytes, certificate, jobId, createdAt }) => [
      format,
      formatBytes(bytes),
      percent(certificate.agreement),
      certificate.klMean.toExponential(2),
      certificate.klMax.toExponential(2),
      describeRows(certificate),
      jobId,
      formatAge(createdAt),
    ]),
  );
}
