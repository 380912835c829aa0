import { type CombineMethod, combineMethodSchema } from '@lowrank/contracts';
import { combineFolders } from '@lowrank/training';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Api } from '../client/api';
import { connect } from '../connect';
import { CliError, exitCodes } from '../errors';
import { number, whole } from '../option-values';
import { addParityOptions, describeCertificate, makeParity, type ParityOptions } from '../parity-options';
import { pullVersion } from '../pull';
import { note, print } from '../terminal';
import { parseVersionRef, type VersionRef } from '../version-ref';
import { assertSucceeded, describeSuccess, watchUntilInterrupted } from '../watch/watch-job';

interface CombineOptions extends ParityOptions {
  method: CombineMethod;
  weights?: number[];
  rank?: number | null;
  density: number;
  majoritySign: 'total' | 'frequency';
  seed: number;
  into?: string;
  watch?: boolean;
}

const help = `
Methods, as PEFT has them:
  cat              exact; the ranks add up
  svd              the nearest adapter of --rank to what cat gives
  linear           weighted sums of A and of B, each on its own: rough, and for equal ranks only, as are the following
  magnitude_prune  linear, of the largest values
  ties             of the largest values, the mean of those that have the sign of most
  dare_linear      linear, of values drawn at random
  dare_ties        ties, of values drawn at random

  lowrank combine tone@v3 facts@v1 --into both --method svd --rank 16 --weights 0.7,0.3 --watch
  lowrank combine tone@v3 facts@v1 ./both      # on this machine, into a folder`;

export function addCombineCommand(program: Command): void {
  const command = program
    .command('combine')
    .description('make one adapter of several on the same base model')
    .argument(
      '<adapters...>',
      'names with versions, e.g. tone@v3 facts@v1; without --into the last is the folder to write',
    )
    .addOption(
      new Option('--method <name>', 'way to combine, see below')
        .choices(combineMethodSchema.options)
        .default('cat'),
    )
    .option(
      '--weights <w,…>',
      'a weight for each adapter, may be negative; default: 1 over their number',
      weights,
    )
    .option('--rank <n>', 'rank that svd gives; default: the highest of the adapters', whole)
    .option('--density <share>', 'share of the values that ties, dare and magnitude_prune keep', share, 0.5)
    .addOption(
      new Option('--majority-sign <way>', "ties' sign: of the sum of values, or of most of them")
        .choices(['total', 'frequency'])
        .default('total'),
    )
    .option('--seed <n>', 'seed of what dare leaves out', whole, 0)
    .option(
      '--into <adapter>',
      'make it the next version of this adapter, as a job; the options below are for that',
    );
  addParityOptions(command, 'method')
    .option('--watch', 'with --into: follow the job until it ends')
    .addHelpText('after', help)
    .action(async (args: string[], options: CombineOptions, command: Command) => {
      const names = options.into === undefined ? args.slice(0, -1) : args;
      if (names.length < 2)
        throw new CliError('two adapters or more can be combined', {
          help: 'lowrank combine tone@v3 facts@v1 --into both',
          exitCode: exitCodes.usage,
        });
      const refs = names.map(parseVersionRef);
      const given = options.weights ?? names.map(() => 1 / names.length);
      if (given.length !== names.length)
        throw new CliError(`--weights has ${given.length} numbers for ${names.length} adapters`, {
          exitCode: exitCodes.usage,
        });
      const api = connect(command);
      if (options.into === undefined) return combineHere(api, refs, args.at(-1) as string, options, given);
      const { into: adapter, method, rank, density, majoritySign, seed } = options;
      const versions = refs.map((ref, i) => ({
        ...{ adapter: ref.adapter, version: ref.version ?? 'latest', weight: given[i] },
      }));
      const settings = { method, rank, density, majoritySign, seed };
      const job = await api.combine({ adapter, versions, ...settings, ...makeParity(options) });
      print(`Job ${job.id} is ${job.state}.`);
      if (!options.watch) return note(`Follow it with: lowrank watch ${job.id}`);
      const done = await watchUntilInterrupted(api, job.id);
      assertSucceeded(done);
      print(describeSuccess(done));
      const { certificate } = await api.version(adapter, `v${done.version}`);
      if (certificate !== null) print(`${describeCertificate(certificate)}.`);
    });
}

/** Into a folder, on this machine. */
async function combineHere(
  api: Api,
  refs: readonly VersionRef[],
  folder: string,
  { rank = null, ...options }: CombineOptions,
  weights: number[],
): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'lowrank-combine-'));
  try {
    const folders: string[] = [];
    const names: string[] = [];
    for (const [i, ref] of refs.entries()) {
      const version = await api.version(ref.adapter, ref.version ?? 'latest');
      folders.push(join(work, String(i)));
      names.push(`${version.adapter} v${version.number}`);
      await pullVersion(api, version, folders[i] as string);
    }
    const made = await combineFolders(folders, { ...options, rank, weights }, folder);
    print(
      `${names.join(' and ')}: one adapter of rank ${made.rank} on ${made.modules} layers, in ${folder}.`,
    );
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

const weights = (text: string): number[] => text.split(',').map(number);

function share(text: string): number {
  const value = number(text);
  if (value <= 0 || value > 1) throw new InvalidArgumentError('It must be above 0 and up to 1.');
  return value;
}
