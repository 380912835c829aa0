// npm run test:failures: breaks things under a running Lowrank and prints what became of its jobs. See docs/failures.md.
import { Command, InvalidArgumentError } from 'commander';
import { randomInt } from 'node:crypto';
import { writeFailures } from './report';
import { failures } from './rows';
import { type Row, runFailures } from './run';

const count = (text: string): number => {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('must be a whole number above 0');
  return Number(text);
};
const ids = (text: string): string[] => {
  const chosen = text.split(',').map((id) => id.trim());
  const known = failures.map(({ id }) => id);
  const unknown = chosen.find((id) => !known.includes(id));
  if (unknown !== undefined)
    throw new InvalidArgumentError(`there is no failure '${unknown}'; there are ${known.join(', ')}`);
  return chosen;
};

const program = new Command('npm run test:failures --')
  .description(
    'Break a running Lowrank in every way of docs/failures.md, and print a row each with its figure.',
  )
  .option('--only <ids>', 'only these, e.g. 3,7', ids)
  .option('--quick', 'small counts and short times, for a check of a few minutes', false)
  .option('--native-seconds <seconds>', 'how long the native call of failure 4 takes', count)
  .option('--kills <number>', 'how often failures 2 and 6 kill', count)
  .option(
    '--seed <number>',
    'of the random draws of failures 6 and 7 (default: another each time, and printed)',
    count,
  )
  .option('--allow-skipped', 'exit with 0 though some were skipped', false)
  .option('--list', 'list them and stop', false)
  .action(async ({ only, quick, nativeSeconds, kills, seed, allowSkipped, list }) => {
    const chosen = failures.filter(({ id }) => only === undefined || only.includes(id));
    if (list) {
      for (const { id, broken, required } of chosen)
        process.stdout.write(`${id.padStart(8)}  ${broken}: ${required}\n`);
      return;
    }
    const scale = {
      quick,
      nativeSeconds: nativeSeconds ?? (quick ? 15 : 600),
      seed: seed ?? randomInt(1, 2 ** 31),
      kills: (full: number, small: number) => kills ?? (quick ? small : full),
      pick: (full: number, small: number) => (quick ? small : full),
    };
    const rows = await runFailures(chosen, scale);
    writeFailures(rows, scale);
    const isBad = ({ state }: Row) => state === 'failed' || (state === 'skipped' && !allowSkipped);
    if (rows.some(isBad)) process.exitCode = 1;
  });

void program.parseAsync();
