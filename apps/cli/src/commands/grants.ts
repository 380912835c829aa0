import { type Command } from 'commander';
import { connect } from '../connect';
import { formatAge, print, printTable } from '../terminal';
import { parseAlias, parseVersionRef } from '../version-ref';

/** What teams let each other read; making and revoking grants is for admins. */
export function addGrantCommands(program: Command): void {
  const grants = program.command('grants').description('let other teams read your adapters');

  grants
    .command('list', { isDefault: true })
    .description('list what your team lets others read, and what others let it')
    .action(async (_options, command: Command) => {
      const rows = (await connect(command).team.grants()).map(
        ({ id, adapter, from, to, alias, createdAt }) => [
          ...[id, `${from}/${adapter}`, alias ?? 'all versions', to, formatAge(createdAt)],
        ],
      );
      if (rows.length === 0) print('No grants. Make one with: lowrank grants add');
      else printTable(['GRANT', 'ADAPTER', 'WHAT', 'TO', 'MADE'], rows);
    });

  grants
    .command('add')
    .description('let a team read an adapter: all of its versions, or what an alias stands on')
    .argument('<adapter[@alias]>', 'e.g. support, or support@prod')
    .argument('<team>', 'name of the team')
    .action(async (text: string, to: string, _options, command: Command) => {
      const { adapter, alias } = text.includes('@')
        ? parseAlias(text)
        : { ...parseVersionRef(text), alias: null };
      const grant = await connect(command).team.grant({ adapter, to, alias });
      const ref = alias === null ? '' : `@${alias}`;
      print(`${to} may read ${text} (${grant.id}), as: lowrank pull ${grant.from}/${adapter}${ref}`);
    });

  grants
    .command('revoke')
    .description('take a grant back, which works at once')
    .argument('<grant>', 'id of the grant')
    .action(async (id: string, _options, command: Command) => {
      await connect(command).team.revokeGrant(id);
      print(`Grant ${id} is taken back.`);
    });
}
