import { type CreateSweepInput, type SweepWithTrials } from '@lowrank/contracts';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { connect } from '../connect';
import { CliError } from '../errors';
import { whole } from '../option-values';
import { addRecipeOptions, makeRecipe, type RecipeOptions } from '../recipe-options';
import { addSchedulingOptions, makeScheduling, type SchedulingOptions } from '../scheduling-options';
import { addDimension, describeDimension, type Space } from '../space-options';
import { formatAge, note, print, printTable } from '../terminal';
import { describeSweep, sweepTable } from '../watch/sweep-table';
import { watchSweep } from '../watch/watch-sweep';
import { datasetOf, validationHelp, validationOf } from './submit';

interface SweepOptions extends RecipeOptions, SchedulingOptions {
  base: string;
  adapter: string;
  from?: string;
  validation?: string;
  set: Space;
  method: 'grid' | 'random' | 'asha';
  trials?: number;
  drawSeed?: number;
  reduction?: number;
  minimum?: number;
  metric?: 'loss' | 'accuracy';
  maxConcurrent?: number;
  watch?: boolean;
}

const setHelp =
  'a field of the recipe and its values or range: lora.rank=8,16 or optimizer.learningRate=log:1e-5..1e-3; once for each field';

/** Sweeps: many trials over a recipe, of which the best is published. */
export function addSweepCommands(program: Command): void {
  const sweep = program.command('sweep').description('find a recipe by trying many, and publish the best');
  addSubmit(sweep);

  sweep
    .command('list', { isDefault: true })
    .description('list sweeps, newest first')
    .option('--limit <n>', 'at most this many', whole, 20)
    .action(async ({ limit }: { limit: number }, command: Command) => {
      const rows: string[][] = [];
      for await (const one of connect(command).sweeps()) {
        if (rows.length >= limit) break;
        rows.push([
          one.id,
          one.state,
          `${one.finishedCount}/${one.trialCount}`,
          one.method.type,
          one.promoted ? `${one.adapter} v${one.promoted.version}` : one.adapter,
          one.baseModel.name,
          formatAge(one.createdAt),
        ]);
      }
      if (rows.length === 0) print('No sweeps yet. Make one with: lowrank sweep submit');
      else printTable(['SWEEP', 'STATE', 'TRIALS', 'METHOD', 'ADAPTER', 'BASE MODEL', 'SUBMITTED'], rows);
    });

  sweep
    .command('show')
    .description('show a sweep and its trials')
    .argument('<sweep>', 'id of the sweep')
    .action(async (id: string, _options, command: Command) => printSweep(await connect(command).sweep(id)));

  sweep
    .command('watch')
    .description('follow a sweep until all of its trials are over')
    .argument('<sweep>', 'id of the sweep')
    .action(async (id: string, _options, command: Command) =>
      conclude(await watchSweep(connect(command), id)),
    );

  sweep
    .command('cancel')
    .description('cancel every trial of a sweep that is not over; nothing is promoted then')
    .argument('<sweep>', 'id of the sweep')
    .action(async (id: string, _options, command: Command) => {
      const { state } = await connect(command).cancelSweep(id);
      print(state === 'cancelled' ? `Sweep ${id} is cancelled.` : `Sweep ${id} will stop in a moment.`);
    });

  sweep
    .command('promote')
    .description("make another trial the adapter's next version")
    .argument('<sweep>', 'id of the sweep')
    .argument('<trial>', 'number of the trial', whole)
    .action(async (id: string, trial: number, _options, command: Command) =>
      print(describeSweep(await connect(command).promoteTrial(id, trial))),
    );
}

function addSubmit(sweep: Command): void {
  const submit = sweep
    .command('submit')
    .description('try recipes on a dataset and publish the best: uploads the file and submits a sweep')
    .argument('<file|dataset>', 'a JSONL file, or the id (data_…) of one uploaded before')
    .requiredOption('--base <name>', 'base model to train on; see: lowrank models')
    .requiredOption('--adapter <name>', 'adapter that the best trial becomes the next version of')
    .option('--from <adapter@version>', 'start all trials from the weights of a version')
    .option('--validation <file|dataset>', validationHelp)
    .requiredOption('--set <field=…>', setHelp, addDimension)
    .addOption(
      new Option(
        '--method <method>',
        'all combinations, some at random, or ASHA: at random, bad ones stopped early',
      )
        .choices(['grid', 'random', 'asha'])
        .default('grid'),
    )
    .option('--trials <n>', 'how many are drawn, for random and asha', whole)
    .option('--draw-seed <n>', 'the same seed draws the same trials, for random and asha', whole)
    .option('--reduction <n>', 'asha: one in so many goes on at each rung', whole)
    .option('--minimum <n>', 'asha: steps of every trial, or below 1 their share of all steps', Number)
    .addOption(
      new Option('--metric <metric>', 'what trials are compared by on held-out rows').choices([
        'loss',
        'accuracy',
      ]),
    )
    .option('--max-concurrent <n>', 'most trials that train at a time', whole);
  addSchedulingOptions(addRecipeOptions(submit))
    .option('--watch', 'follow the sweep until it ends')
    .action(async (source: string, options: SweepOptions, command: Command) => {
      const api = connect(command);
      const method = makeMethod(options);
      const recipe = await makeRecipe(options);
      const { base: baseModel, adapter, from: initFrom, set: space, metric, maxConcurrent } = options;
      const dataset = await datasetOf(api, source, baseModel);
      const validationDataset = await validationOf(api, options.validation, baseModel);
      const made = await api.submitSweep({
        ...{
          baseModel,
          dataset,
          validationDataset,
          adapter,
          initFrom,
          recipe: { ...recipe },
          space,
          method,
          metric,
          maxConcurrent,
        },
        ...makeScheduling(options),
      });
      print(`Sweep ${made.id} has ${made.trialCount} trials.`);
      if (options.watch) conclude(await watchSweep(api, made.id));
      else note(`Follow it with: lowrank sweep watch ${made.id}`);
    });
}

/** Only what was given; the server fills in the rest. */
function makeMethod({
  method: type,
  trials,
  drawSeed: seed,
  reduction,
  minimum,
}: SweepOptions): CreateSweepInput['method'] {
  if (type === 'grid') return { type };
  if (trials === undefined) throw new InvalidArgumentError(`--method ${type} needs --trials <n>.`);
  return type === 'random' ? { type, trials, seed } : { type, trials, seed, reduction, minimum };
}

function printSweep(sweep: SweepWithTrials): void {
  const { seed, ...method } = { seed: undefined, ...sweep.method };
  const rows: [string, string | null][] = [
    ['sweep', sweep.id],
    ['state', sweep.state],
    ['base model', sweep.baseModel.name],
    ['dataset', `${sweep.dataset.filename} (${sweep.dataset.id})`],
    ['compared on', sweep.validationDataset?.filename ?? null],
    ['adapter', sweep.adapter],
    [
      'method',
      Object.entries(method)
        .map(([name, value]) => (name === 'type' ? value : `${name} ${value}`))
        .join(', '),
    ],
    ['seed', seed === undefined ? null : String(seed)],
    ['at a time', sweep.maxConcurrent === null ? null : String(sweep.maxConcurrent)],
    ...Object.entries(sweep.space).map(([field, one]): [string, string] => [field, describeDimension(one)]),
    ['submitted', sweep.createdAt],
    ['finished', sweep.finishedAt],
  ];
  const width = Math.max(14, ...rows.map(([name]) => name.length));
  for (const [name, value] of rows) if (value !== null) print(`${name.padEnd(width)} ${value}`);
  print();
  const { head, rows: trials } = sweepTable(sweep);
  printTable(
    [...head, 'JOB'],
    trials.map((cells, i) => [...cells, sweep.trials[i]?.jobId ?? '']),
  );
  print();
  print(describeSweep(sweep));
}

function conclude(sweep: SweepWithTrials): void {
  if (sweep.state === 'succeeded') return print(describeSweep(sweep));
  throw new CliError(`sweep ${sweep.id} is ${sweep.state}: nothing was promoted`, {
    help: `See why with: lowrank sweep show ${sweep.id}`,
  });
}
