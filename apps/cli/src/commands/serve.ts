import { type PinStatus } from '@lowrank/contracts';
import { type Command } from 'commander';
import { connect } from '../connect';
import { whole } from '../option-values';
import { formatBytes, print, printTable } from '../terminal';
import { parseVersionRef } from '../version-ref';

const toRow = ({ adapter, ref, version, state, bytes, reason }: PinStatus): string[] => [
  ...[`${adapter}@${ref}`, version === null ? '–' : `v${version}`, state],
  ...[bytes === 0 ? '–' : formatBytes(bytes), reason ?? ''],
];
const named = (text: string) => {
  const { adapter, version } = parseVersionRef(text);
  return { adapter, ref: version ?? 'latest' };
};

/** What servers have in memory before it is asked for. */
export function addServeCommands(program: Command): void {
  const serve = program.command('serve').description('have adapters loaded before they are asked for');

  serve
    .command('status', { isDefault: true })
    .description('list what is pinned, and whether it is loaded')
    .action(async (_options, command: Command) => {
      const pins = await connect(command).catalog.pins();
      if (pins.length === 0) print('Nothing is pinned.');
      else printTable(['PIN', 'VERSION', 'STATE', 'MEMORY', 'WHY'], pins.map(toRow));
    });

  serve
    .command('pin')
    .description('keep an adapter loaded; of an alias, whichever version it stands on')
    .argument('<adapter@version>', 'e.g. support@prod')
    .action(async (text: string, _options, command: Command) => {
      const { adapter, ref } = named(text);
      const pin = await connect(command).catalog.pin(adapter, ref);
      print(`${pin.adapter}@${pin.ref} is pinned.`);
    });

  serve
    .command('unpin')
    .description('keep it no more: it stays until others need the room')
    .argument('<adapter@version>', 'e.g. support@prod')
    .action(async (text: string, _options, command: Command) => {
      const { adapter, ref } = named(text);
      await connect(command).catalog.unpin(adapter, ref);
      print(`${adapter}@${ref} is not pinned any more.`);
    });

  serve
    .command('prefetch')
    .description('have a version loaded now, and wait for that')
    .argument('<adapter@version>', 'e.g. support@v3')
    .option('--servers <count>', 'on so many servers, those that its requests go to first', whole, 1)
    .action(async (text: string, { servers }: { servers: number }, command: Command) => {
      const { adapter, ref } = named(text);
      const done = await connect(command).catalog.prefetch(adapter, ref, servers);
      print(
        `${done.adapter}@v${done.version} is loaded on ${done.servers} server${done.servers === 1 ? '' : 's'}.`,
      );
    });
}
