import { type Command } from 'commander';
import { connect } from '../connect';
import { formatAge, formatBytes, paint, print, printTable } from '../terminal';
import { parseVersionRef } from '../version-ref';
import { pullVersion } from '../pull';

export function addAdapterCommands(program: Command): void {
  const adapters = program.command('adapters').description('list or show adapters');

  adapters
    .command('list', { isDefault: true })
    .description('list adapters, newest first')
    .action(async (_options, command: Command) => {
      const rows: string[][] = [];
      for await (const adapter of connect(command).adapters()) {
        const latest = adapter.latestVersion === null ? '–' : `v${adapter.latestVersion}`;
        rows.push([adapter.name, latest, adapter.baseModel, formatAge(adapter.updatedAt)]);
      }
      if (rows.length === 0) print('No adapters yet. Train one with: lowrank submit');
      else printTable(['ADAPTER', 'LATEST', 'BASE MODEL', 'UPDATED'], rows);
    });

  adapters
    .command('show')
    .description('show the versions of an adapter, or the files of one version')
    .argument('<adapter[@version]>', 'e.g. support or support@v3')
    .action(async (text: string, _options, command: Command) => {
      const api = connect(command);
      const ref = parseVersionRef(text);
      if (ref.number === null) {
        const versions = await api.versions(ref.adapter);
        const rows = versions.map(({ number, metrics, bytes, jobId, createdAt }) => [
          `v${number}`,
          metrics.trainLoss.toFixed(4),
          metrics.evalLossBefore?.toFixed(4) ?? '–',
          metrics.evalLossAfter?.toFixed(4) ?? '–',
          formatBytes(bytes),
          jobId,
          formatAge(createdAt),
        ]);
        if (rows.length === 0) print(`${ref.adapter} has no published version yet.`);
        else printTable(['VERSION', 'LOSS', 'HELD OUT: BASE', 'ADAPTER', 'SIZE', 'JOB', 'PUBLISHED'], rows);
        return;
      }
      const version = await api.version(ref.adapter, ref.number);
      const { files, ...rest } = version;
      print(JSON.stringify(rest, null, 2));
      print(paint('bold', '\nFiles'));
      printTable(
        ['FILE', 'SIZE', 'SHA-256'],
        files.map(({ path, bytes, sha256 }) => [path, formatBytes(bytes), sha256]),
      );
    });

  program
    .command('pull')
    .description("download an adapter version in PEFT's layout and check every file's SHA-256")
    .argument('<adapter[@version]>', 'e.g. support or support@v3; without a version the latest')
    .argument('[folder]', 'where to put it; default: <adapter>-v<number> here')
    .action(async (text: string, folder: string | undefined, _options, command: Command) => {
      const api = connect(command);
      const ref = parseVersionRef(text);
      const version = await api.version(ref.adapter, ref.number ?? 'latest');
      const target = folder ?? `${version.adapter}-v${version.number}`;
      await pullVersion(api, version, target);
      print(
        `${version.adapter} v${version.number}: ${version.files.length} files in ${target}, all verified.`,
      );
    });
}
