import { type Command } from 'commander';
import { connect } from '../connect';
import { whole } from '../option-values';
import { formatAge, formatBytes, paint, print, printTable } from '../terminal';

const number = (value: number | null): string => value?.toFixed(4) ?? '–';

/** What a job keeps while it trains. */
export function addRunCommands(program: Command): void {
  program
    .command('checkpoints')
    .description("list the states of a job's adapter that are kept, the newest first; * is the best")
    .argument('<job>', 'id of the job')
    .action(async (id: string, _options, command: Command) => {
      const kept = await connect(command).runs.checkpoints(id);
      if (kept.length === 0)
        return print('None are kept. `checkpoints.keep` of the recipe says how many are.');
      printTable(
        ['STEP', 'TRAIN LOSS', 'HELD OUT', 'VERSION', 'SIZE', 'WRITTEN'],
        kept.map(({ step, trainLoss, evalLoss, isBest, version, bytes, at }) => [
          `${step}${isBest ? ' *' : ''}`,
          number(trainLoss),
          number(evalLoss),
          version === null ? '–' : `v${version}`,
          formatBytes(bytes),
          formatAge(at),
        ]),
      );
    });

  program
    .command('samples')
    .description('show what a job has answered on its way: before training, at evaluations, and after')
    .argument('<job>', 'id of the job')
    .action(async (id: string, _options, command: Command) => {
      const steps = await connect(command).runs.samples(id);
      const [first] = steps;
      if (first === undefined)
        return print('There are none yet. `samples` of the recipe says how many are kept, and of what.');
      for (const [i, { prompt, expected }] of first.samples.entries()) {
        print(paint('bold', `${i > 0 ? '\n' : ''}${prompt}`));
        if (expected !== null) print(`${'expected'.padEnd(10)} ${expected}`);
        for (const { step, samples } of steps)
          print(`${`step ${step}`.padEnd(10)} ${samples[i]?.text ?? ''}`);
      }
    });

  program
    .command('promote')
    .description("make a kept state of a job's adapter the adapter's next version")
    .argument('<job>', 'id of the job')
    .requiredOption('--step <n>', 'the step that it is the state after', whole)
    .action(async (id: string, { step }: { step: number }, command: Command) => {
      const { adapter, number: version } = await connect(command).runs.promote(id, step);
      print(`Step ${step} is ${adapter}@v${version}.`);
    });
}
