import { type EvaluationLimits } from '@lowrank/contracts';
import { type Command } from 'commander';
import { collected, measureHelp, readMeasure, splitCheck, type WrittenCheck } from '../check-options';
import { connect } from '../connect';
import { CliError, exitCodes } from '../errors';
import { evaluationLines, failureLines, gateLines } from '../evaluation-view';
import { whole } from '../option-values';
import { addSchedulingOptions, makeScheduling, type SchedulingOptions } from '../scheduling-options';
import { note, print } from '../terminal';
import { parseAlias, parseVersionRef } from '../version-ref';
import { assertSucceeded, watchUntilInterrupted } from '../watch/watch-job';

type LimitOptions = Partial<EvaluationLimits>;
interface EvaluateOptions extends SchedulingOptions, LimitOptions {
  for?: string;
  move?: boolean;
  dataset?: string;
  measure?: string[];
  watch?: boolean;
}

const addLimitOptions = (command: Command): Command =>
  command
    .option('--max-rows <n>', 'the first rows of the dataset, so many at most; default: 200', whole)
    .option('--max-tokens <n>', 'tokens of one answer at most; default: 256', whole)
    .option('--sequence-length <n>', 'tokens that rows are cut to; default: 2048', whole);

/** Those that were given; null: none was. */
function limitsOf({ maxRows, maxTokens, sequenceLength }: LimitOptions): LimitOptions | null {
  const given = Object.entries({ maxRows, maxTokens, sequenceLength }).filter(
    ([, value]) => value !== undefined,
  );
  return given.length === 0 ? null : Object.fromEntries(given);
}

const evaluateHelp = `${measureHelp}

  lowrank evaluate support@v3 --for prod --move --watch     # by the gate of prod, which moves when v3 passes
  lowrank evaluate support@v3 --dataset data_... --measure loss --measure exact-match --watch`;

const gateHelp = `${measureHelp}

  lowrank gates set support@prod --dataset data_... --check 'loss<=1.2' --check 'json-schema:answer.json>=0.95'`;

export function addEvaluateCommands(program: Command): void {
  const evaluate = program
    .command('evaluate')
    .description('measure a version on a dataset, as a job')
    .argument('<adapter[@version]>', 'e.g. support@v3; without a version the latest')
    .option('--for <alias>', 'measure what the gate of this alias asks for')
    .option('--move', 'with --for: let the alias move to the version when it passes')
    .option(
      '--dataset <dataset>',
      'without --for: rows that it is measured on; default: those it was validated on while it was trained',
    )
    .option(
      '--measure <measure>',
      'without --for: what is measured; may be given several times',
      collected(String),
    );
  addSchedulingOptions(addLimitOptions(evaluate))
    .option('--watch', 'follow the job until it ends, and show the results')
    .addHelpText('after', evaluateHelp)
    .action(async (text: string, options: EvaluateOptions, command: Command) => {
      const api = connect(command);
      const { evaluating } = api;
      const { adapter, version } = parseVersionRef(text);
      const { for: alias, move, dataset, measure, watch } = options;
      const limits = limitsOf(options);
      const job = await evaluating.submit(adapter, version ?? 'latest', {
        ...(alias === undefined ? {} : { alias }),
        ...(move ? { move } : {}),
        ...(dataset === undefined ? {} : { dataset }),
        ...(measure === undefined ? {} : { measures: await Promise.all(measure.map(readMeasure)) }),
        ...(limits === null && alias !== undefined
          ? {}
          : { limits: { maxRows: 200, maxTokens: 256, sequenceLength: 2048, ...limits } }),
        ...makeScheduling(options),
      });
      print(`Job ${job.id} is ${job.state}.`);
      if (!watch) return note(`Follow it with: lowrank watch ${job.id}`);
      const done = await watchUntilInterrupted(api, job.id);
      assertSucceeded(done);
      if (done.work.kind !== 'evaluate') return;
      const all = await evaluating.list(adapter, done.work.version.number);
      const made = all.filter(({ jobId }) => jobId === job.id);
      for (const line of evaluationLines(made)) print(line);
      for (const one of made) for (const line of failureLines(one)) note(line);
      const [moved] = made.flatMap((one) => one.move ?? []);
      if (moved === undefined) return;
      if (!moved.isDone) throw new CliError(moved.reason, { exitCode: exitCodes.failed });
      print(moved.reason);
    });

  program
    .command('evaluations')
    .description('list what a version was measured as')
    .argument('<adapter[@version]>', 'e.g. support@v3; without a version the latest')
    .action(async (text: string, _options, command: Command) => {
      const { adapter, version } = parseVersionRef(text);
      const all = await connect(command).evaluating.list(adapter, version ?? 'latest');
      if (all.length === 0)
        return print(`${text} has not been evaluated. Do so with: lowrank evaluate ${text}`);
      for (const line of evaluationLines(all)) print(line);
    });

  addGateCommands(program);
}

function addGateCommands(program: Command): void {
  const gates = program
    .command('gates')
    .description('what versions have to reach before an alias moves to them');

  gates
    .command('list', { isDefault: true })
    .description("list the gates of an adapter's aliases")
    .argument('<adapter>', 'e.g. support')
    .action(async (adapter: string, _options, command: Command) => {
      const all = await connect(command).evaluating.gates(adapter);
      if (all.length === 0)
        return print(`No alias of ${adapter} has a gate. Set one with: lowrank gates set`);
      for (const line of gateLines(all)) print(line);
    });

  addLimitOptions(
    gates
      .command('set')
      .description('let an alias move only to versions that pass')
      .argument('<adapter@alias>', 'e.g. support@prod')
      .requiredOption('--dataset <id>', 'rows that versions are measured on')
      .requiredOption(
        '--check <check>',
        'a measure and where it has to be; may be given several times',
        collected(splitCheck),
      ),
  )
    .addHelpText('after', gateHelp)
    .action(async (text: string, options: GateOptions, command: Command) => {
      const { adapter, alias } = parseAlias(text);
      const checks = await Promise.all(
        options.check.map(async ({ measure, ...check }) => ({
          measure: await readMeasure(measure),
          ...check,
        })),
      );
      const limits = limitsOf(options) ?? {};
      const { dataset } = options;
      const gate = await connect(command).evaluating.setGate(adapter, alias, { dataset, checks, limits });
      print(`${adapter}@${alias} moves to versions that pass:`);
      for (const line of gateLines([gate])) print(line);
    });

  gates
    .command('remove')
    .description('let an alias move to any version again')
    .argument('<adapter@alias>', 'e.g. support@prod')
    .action(async (text: string, _options, command: Command) => {
      const { adapter, alias } = parseAlias(text);
      await connect(command).evaluating.removeGate(adapter, alias);
      print(`${adapter}@${alias} moves to any version.`);
    });
}

interface GateOptions extends LimitOptions {
  dataset: string;
  check: WrittenCheck[];
}
