import { combineFolders, combineMethods, type CombineMethod } from '@lowrank/training';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '../connect';
import { CliError, exitCodes } from '../errors';
import { number, whole } from '../option-values';
import { pullVersion } from '../pull';
import { print } from '../terminal';
import { parseVersionRef } from '../version-ref';

interface CombineOptions {
  method: CombineMethod;
  weights?: number[];
  rank?: number;
  density: number;
  majoritySign: 'total' | 'frequency';
  seed: number;
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

  lowrank combine tone@v3 facts@v1 ./both --method svd --rank 16 --weights 0.7,0.3`;

export function addCombineCommand(program: Command): void {
  program
    .command('combine')
    .description('make one adapter of several on the same base model')
    .argument('<adapters...>', 'names with versions, e.g. tone@v3 facts@v1, and last the folder to write')
    .addOption(
      new Option('--method <name>', 'way to combine, see below').choices(combineMethods).default('cat'),
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
    .addHelpText('after', help)
    .action(async (args: string[], options: CombineOptions, command: Command) => {
      const names = args.slice(0, -1);
      const folder = args.at(-1) as string;
      if (names.length < 2)
        throw new CliError('two adapters or more can be combined', {
          help: 'lowrank combine tone@v3 facts@v1 ./both',
          exitCode: exitCodes.usage,
        });
      const refs = names.map(parseVersionRef);
      const given = options.weights ?? names.map(() => 1 / names.length);
      if (given.length !== names.length)
        throw new CliError(`--weights has ${given.length} numbers for ${names.length} adapters`, {
          exitCode: exitCodes.usage,
        });
      const api = connect(command);
      const work = await mkdtemp(join(tmpdir(), 'lowrank-combine-'));
      try {
        const folders: string[] = [];
        for (const [i, ref] of refs.entries()) {
          const version = await api.version(ref.adapter, ref.version ?? 'latest');
          folders.push(join(work, String(i)));
          await pullVersion(api, version, folders[i] as string);
        }
        const { modules, rank } = await combineFolders(folders, { ...options, weights: given }, folder);
        print(`${names.join(' and ')}: one adapter of rank ${rank} on ${modules} layers, in ${folder}.`);
      } finally {
        await rm(work, { recursive: true, force: true });
      }
    });
}

const weights = (text: string): number[] => text.split(',').map(number);

function share(text: string): number {
  const value = number(text);
  if (value <= 0 || value > 1) throw new InvalidArgumentError('It must be above 0 and up to 1.');
  return value;
}
