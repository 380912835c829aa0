import { type NamedAliasMove } from '@lowrank/contracts';
import { type Command } from 'commander';
import { connect } from '../connect';
import { formatAge, print, printTable } from '../terminal';
import { parseAlias } from '../version-ref';

const versionName = (number: number | null): string => (number === null ? '–' : `v${number}`);

function toRow({ action, from, to, gate, at, by, byName }: NamedAliasMove): string[] {
  return [action, versionName(from), versionName(to), gate ?? '–', byName ?? by, formatAge(at)];
}

export function addAliasCommands(program: Command): void {
  const aliases = program.command('alias').description("move names such as prod among an adapter's versions");

  aliases
    .command('move')
    .description('let an alias stand on a version, making it if need be')
    .argument('<adapter@alias>', 'e.g. support@prod')
    .argument('<version>', 'v3, latest, or another alias')
    .action(async (text: string, version: string, _options, command: Command) => {
      const { adapter, alias } = parseAlias(text);
      const moved = await connect(command).catalog.moveAlias(adapter, alias, version);
      print(`${adapter}@${alias} is v${moved.version}.`);
    });

  aliases
    .command('rollback')
    .description('let an alias stand where it stood before its last move; again: one further back')
    .argument('<adapter@alias>', 'e.g. support@prod')
    .action(async (text: string, _options, command: Command) => {
      const { adapter, alias } = parseAlias(text);
      const { catalog } = connect(command);
      const moved = await catalog.rollBackAlias(adapter, alias);
      const [last] = await catalog.aliasHistory(adapter, alias);
      const why = last?.gate === 'stood-before' ? ', without a new evaluation: it stood there before' : '';
      print(`${adapter}@${alias} is v${moved.version} again${why}.`);
    });

  aliases
    .command('history')
    .description('show what became of an alias, and by whom')
    .argument('<adapter@alias>', 'e.g. support@prod')
    .action(async (text: string, _options, command: Command) => {
      const { adapter, alias } = parseAlias(text);
      const moves = await connect(command).catalog.aliasHistory(adapter, alias);
      if (moves.length === 0) print(`${adapter}@${alias} has never been there.`);
      else printTable(['ACTION', 'FROM', 'TO', 'GATE', 'BY', 'WHEN'], moves.map(toRow));
    });

  aliases
    .command('remove')
    .description('remove an alias; its history stays')
    .argument('<adapter@alias>', 'e.g. support@prod')
    .action(async (text: string, _options, command: Command) => {
      const { adapter, alias } = parseAlias(text);
      await connect(command).catalog.removeAlias(adapter, alias);
      print(`${adapter}@${alias} is removed.`);
    });
}
