import { type BaseModel } from '@lowrank/contracts';
import { type Command } from 'commander';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Api } from '../client/api';
import { connect } from '../connect';
import { CliError } from '../errors';
import { formatAge, formatBytes, note, print, printTable } from '../terminal';

export function addModelCommands(program: Command): void {
  const models = program.command('models').description('import or list base models');

  models
    .command('import')
    .description('import a base model: a folder on the server, or owner/name from a hub')
    .argument('<folder|owner/name>', 'Hugging Face layout: config.json, tokenizer.json, *.safetensors')
    .requiredOption('--name <name>', 'what it is called here')
    .option('--revision <revision>', 'branch, tag or commit on the hub', 'main')
    .action(async (source: string, { name, revision }: ImportOptions, command: Command) => {
      const api = connect(command);
      note(`Importing ${source} …`);
      const model = await importBaseModel(api, { name, source, revision });
      print(
        `${model.name}: ${model.modelType}, ${model.parameters.toLocaleString('en')} parameters, context ${model.contextLength}.`,
      );
    });

  models
    .command('list', { isDefault: true })
    .description('list base models, newest first')
    .action(async (_options, command: Command) => {
      const rows: string[][] = [];
      for await (const model of connect(command).baseModels()) {
        const bytes = model.files.reduce((sum, file) => sum + file.bytes, 0);
        rows.push([
          model.name,
          model.status,
          model.modelType,
          `${(model.parameters / 1e6).toPrecision(3)}M`,
          String(model.contextLength),
          formatBytes(bytes),
          formatAge(model.createdAt),
        ]);
      }
      if (rows.length === 0) print('No base models yet. Add one with: lowrank models import');
      else printTable(['BASE MODEL', 'STATUS', 'TYPE', 'PARAMETERS', 'CONTEXT', 'SIZE', 'IMPORTED'], rows);
    });
}

interface ImportOptions {
  name: string;
  revision: string;
}

/** Imports and waits until the base model is ready. What exists as a folder is a folder, everything else a hub's id. */
export async function importBaseModel(
  api: Api,
  { name, source, revision }: ImportOptions & { source: string },
): Promise<BaseModel> {
  const isFolder = existsSync(source) || /^[./~]/.test(source);
  let model = await api.importBaseModel({
    name,
    source: isFolder ? { type: 'folder', path: resolve(source) } : { type: 'hub', id: source, revision },
  });
  while (model.status === 'importing') {
    await sleep(1000);
    model = await api.baseModel(name);
  }
  if (model.status === 'failed') throw new CliError(`importing ${source} failed`);
  return model;
}
