import { loadConfig } from '@lowrank/config';
import { type Command, Option } from 'commander';
import { join } from 'node:path';
import { adminKeyFile } from '../connect';
import { CliError, exitCodes } from '../errors';
import { note, paint, print } from '../terminal';
import { showSample } from '../up/sample';
import { startServices, type Services } from '../up/services';

interface UpOptions {
  logs?: boolean;
  sample?: boolean;
  exit?: boolean;
}

export function addUpCommand(program: Command): void {
  program
    .command('up')
    .description('run Lowrank on this machine: database, API and worker, until Ctrl-C')
    .option('--logs', 'show what the services log')
    .option('--sample', 'train the sample job once everything runs, and show what it learned')
    .addOption(new Option('--exit', 'with --sample: stop everything afterwards').implies({ sample: true }))
    .addHelpText(
      'after',
      '\nWithout DATABASE_URL it brings a Postgres of its own; with REDIS_URL and S3_ENDPOINT it uses those.\nEverything it keeps is in LOWRANK_DATA (default: .lowrank in its folder).',
    )
    .action(async (options: UpOptions) => {
      const config = loadConfig();
      const leaving = leaveOnSignal();
      note('Starting');
      const startedAt = Date.now();
      const services = await startServices(config, {
        showLogs: options.logs ?? false,
        portIsFixed: process.env.LOWRANK_PORT !== undefined,
      });
      note(
        `  ${paint('green', '✓')} database, API, worker  ${((Date.now() - startedAt) / 1000).toFixed(1)} s`,
      );
      try {
        announce(services, config.dataDir);
        if (options.sample && !leaving.aborted) await showSample(services, config, leaving);
        if (options.exit || leaving.aborted) return;
        print(paint('bold', `\nLowrank runs at ${services.url}`) + '. Ctrl-C stops it.');
        await new Promise((resolve) => leaving.addEventListener('abort', resolve));
      } finally {
        note('Stopping …');
        await services.stop();
      }
      if (leaving.aborted && options.exit)
        throw new CliError('stopped before the sample was done', { exitCode: exitCodes.interrupted });
    });
}

function announce({ url, newKey, logDir }: Services, dataDir: string): void {
  print(`  page     ${url}   (the dashboard: sign in with the key below, or with email and password)`);
  print(`  API      ${url}/api/v1   (described at ${url}/docs; a browser takes the key as password)`);
  if (newKey === null) print(`  key      ${adminKeyFile(dataDir)}`);
  else {
    print(`  key      ${newKey}`);
    print(`           shown this once; also kept in ${adminKeyFile(dataDir)}`);
  }
  print(`  logs     ${join(logDir, '{api,worker}.log')}`);
}

/** Aborted by the first SIGINT or SIGTERM; a second one ends the process at once. */
function leaveOnSignal(): AbortSignal {
  const controller = new AbortController();
  const leave = () => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    controller.abort();
  };
  process.on('SIGINT', leave);
  process.on('SIGTERM', leave);
  return controller.signal;
}
