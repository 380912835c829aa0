/**
 * The product's own way from several adapter folders to one, for the oracle.
 *
 *     node --require tools/typescript.cjs tools/oracle/combine.ts SETTINGS.json OUT FOLDER…
 */
import { combineSettingsSchema } from '@lowrank/contracts';
import { combineFolders } from '@lowrank/training';
import { readFileSync } from 'node:fs';

const [settings, out, ...folders] = process.argv.slice(2) as [string, string, ...string[]];

combineFolders(folders, combineSettingsSchema.parse(JSON.parse(readFileSync(settings, 'utf8'))), out).catch(
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exitCode = 1;
  },
);
