import { createJobSchema } from '@lowrank/contracts';
import { type Command } from 'commander';
import { connect } from '../connect';
import { addRecipeOptions, makeRecipe, type RecipeOptions } from '../recipe-options';
import {
  addSchedulingOptions,
  makeScheduling,
  priority,
  type SchedulingOptions,
} from '../scheduling-options';
import { note, print } from '../terminal';
import { isDataset, uploadFile } from './submit';

interface CloneOptions extends RecipeOptions, SchedulingOptions {
  base?: string;
  data?: string;
  adapter?: string;
}

const actions = [
  ['cancel', 'cancel a job; one that trains stops within two seconds', 'will stop in a moment'],
  [
    'pause',
    'pause a job; one that trains writes a checkpoint and gives its slot back',
    'will pause in a moment',
  ],
  ['resume', 'let a paused job go on from its checkpoint', ''],
  ['retry', 'queue a failed or cancelled job again', ''],
] as const;

/** What can be done with a job that exists. */
export function addControlCommands(program: Command): void {
  for (const [action, description, pending] of actions)
    program
      .command(action)
      .description(description)
      .argument('<job>', 'id of the job')
      .action(async (id: string, _options, command: Command) => {
        const job = await connect(command).control(id, action);
        const waits =
          pending !== '' && (job.cancelRequested || job.pauseRequested) && job.state !== 'cancelled';
        print(`Job ${id} ${waits ? pending : `is ${job.state}`}.`);
      });

  program
    .command('priority')
    .description(
      "change a job's priority; a running job keeps its slot unless one of higher priority needs it",
    )
    .argument('<job>', 'id of the job')
    .argument('<n>', 'from -100 to 100; higher goes first within the team', priority)
    .action(async (id: string, value: number, _options, command: Command) => {
      const job = await connect(command).prioritize(id, value);
      print(`Job ${id} has priority ${job.priority}.`);
    });

  const clone = program
    .command('clone')
    .description('submit a job like another one, with changes')
    .argument('<job>', 'id of the job to take over')
    .option('--base <name>', 'another base model')
    .option(
      '--data <file|dataset>',
      'another JSONL file, or a dataset uploaded before: its id, chats, or chats@3',
    )
    .option('--adapter <name>', 'another adapter that the result becomes the next version of');
  addSchedulingOptions(addRecipeOptions(clone)).action(
    async (id: string, options: CloneOptions, command: Command) => {
      const api = connect(command);
      const recipe = await makeRecipe(options);
      const { base: baseModel, adapter, data } = options;
      const dataset =
        data === undefined || (await isDataset(data))
          ? data
          : await uploadFile(api, data, baseModel ?? (await api.job(id)).baseModel.name);
      const { placement, ...scheduling } = makeScheduling(options);
      const job = await api.clone(id, {
        ...{ baseModel, adapter, dataset, recipe: { ...recipe } },
        ...scheduling,
        // A placement replaces the other's whole.
        ...(placement === undefined ? {} : { placement: createJobSchema.shape.placement.parse(placement) }),
      });
      print(`Job ${job.id} is ${job.state}.`);
      note(`Follow it with: lowrank watch ${job.id}`);
    },
  );
}
