import { loadConfig } from '@lowrank/config';
import { type Command } from 'commander';
import { mkdir } from 'node:fs/promises';
import { adminKeyFile } from '../connect';
import { CliError, exitCodes } from '../errors';
import { print } from '../terminal';
import { prepareDatabase } from '../up/services';

export function addMigrateCommand(program: Command): void {
  program
    .command('migrate')
    .description(
      'bring the tables of DATABASE_URL up to date and make the first admin key; "up" does this itself',
    )
    .action(async () => {
      const { databaseUrl, dataDir } = loadConfig();
      if (databaseUrl === null) {
        throw new CliError('DATABASE_URL is not set', {
          help: 'The embedded database is brought up to date by: lowrank up',
          exitCode: exitCodes.usage,
        });
      }
      await mkdir(dataDir, { recursive: true, mode: 0o700 });
      const key = await prepareDatabase(databaseUrl, dataDir);
      print('The tables are up to date.');
      if (key !== null) print(`Admin key, shown this once and kept in ${adminKeyFile(dataDir)}:\n${key}`);
    });
}
