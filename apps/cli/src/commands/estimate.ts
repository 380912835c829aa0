import { type Estimate } from '@lowrank/contracts';
import { type Command } from 'commander';
import { connect } from '../connect';
import { deviceHead, deviceRows, figures, proposalLines, serverHead, serverRows } from '../estimate-view';
import { addRecipeOptions, makeRecipe, type RecipeOptions } from '../recipe-options';
import { addSchedulingOptions, makeScheduling, type SchedulingOptions } from '../scheduling-options';
import { note, paint, print, printTable } from '../terminal';
import { datasetOf } from './submit';

interface EstimateOptions extends RecipeOptions, SchedulingOptions {
  base: string;
  adapter?: string;
}

export function addEstimateCommand(program: Command): void {
  const estimate = program
    .command('estimate')
    .description('say what a job would take, without submitting it: steps, memory, time, who can serve it')
    .argument(
      '<file|dataset>',
      'a JSONL, CSV or Parquet file, which is uploaded, or the id (data_…) of one uploaded before',
    )
    .requiredOption('--base <name>', 'base model to train on; see: lowrank models')
    .option('--adapter <name>', 'as for submit; not needed');
  addSchedulingOptions(addRecipeOptions(estimate)).action(
    async (source: string, options: EstimateOptions, command: Command) => {
      const api = connect(command);
      const recipe = await makeRecipe(options);
      const dataset = await datasetOf(api, source, options.base);
      const { base: baseModel, adapter } = options;
      const request = { baseModel, dataset, adapter, recipe, ...makeScheduling(options) };
      printEstimate(await api.estimate(request));
      note(`Submit it with: lowrank submit ${dataset} --base ${options.base} --adapter NAME`);
    },
  );
}

function printEstimate(estimate: Estimate): void {
  for (const [name, text] of figures(estimate)) print(`${name.padEnd(14)} ${text}`);
  if (estimate.devices.length > 0) {
    print();
    printTable(deviceHead, deviceRows(estimate.devices));
  }
  print();
  printTable(serverHead, serverRows(estimate.servability));
  const sections: [string, string[]][] = [
    ['It would fit with', proposalLines(estimate)],
    ['Warnings', estimate.warnings],
  ];
  for (const [title, lines] of sections) {
    if (lines.length === 0) continue;
    print(paint('bold', `\n${title}`));
    for (const line of lines) print(line);
  }
}
