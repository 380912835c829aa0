import { type ApiKey, type Role, roleSchema, type Scope, scopeSchema } from '@lowrank/contracts';
import { type Command, Option } from 'commander';
import { connect } from '../connect';
import { decimal } from '../option-values';
import { formatAge, note, print, printTable } from '../terminal';

const dayMs = 86_400_000;

interface MakeOptions {
  role: Role;
  scope?: Scope[];
  days?: number;
  serviceAccount?: string;
}

/** `viewer`, … for options and arguments. */
export const roles = roleSchema.options;

const stateOf = ({ revokedAt, expiresAt }: ApiKey): string => {
  if (revokedAt !== null) return 'revoked';
  if (expiresAt === null) return 'live';
  return Date.parse(expiresAt) <= Date.now() ? 'expired' : `until ${expiresAt.slice(0, 10)}`;
};

/** API keys; for admins. */
export function addKeyCommands(program: Command): void {
  const keys = program.command('keys').description("make, list and revoke your team's API keys");

  keys
    .command('list', { isDefault: true })
    .description('list API keys, revoked ones too')
    .action(async (_options, command: Command) => {
      const rows = (await connect(command).team.keys()).map((key) => [
        ...[key.id, key.name, `${key.hint}…`, key.role, key.scopes?.join(' ') ?? 'all'],
        ...[key.memberId ?? '–', stateOf(key), formatAge(key.createdAt)],
      ]);
      printTable(['KEY', 'NAME', 'BEGINS', 'ROLE', 'SCOPES', 'MEMBER', 'STATE', 'MADE'], rows);
    });

  keys
    .command('make')
    .description('make an API key; it is shown this once')
    .argument('<name>', 'what it is for')
    .addOption(new Option('--role <role>', 'what it may do').choices(roles).default('member'))
    .addOption(new Option('--scope <scope...>', 'no more than these').choices(scopeSchema.options))
    .option('--days <days>', 'how long it is good for; default: until it is revoked', decimal)
    .option('--service-account <id>', 'whose key it is; default: yours')
    .action(async (name: string, { role, scope, days, serviceAccount }: MakeOptions, command: Command) => {
      const expiresAt = days === undefined ? null : new Date(Date.now() + days * dayMs).toISOString();
      const request = { name, role, scopes: scope ?? null, expiresAt, serviceAccount };
      const { id, secret } = await connect(command).team.makeKey(request);
      note(`API key ${id}, shown this once:`);
      print(secret);
    });

  keys
    .command('revoke')
    .description('revoke an API key; it stops working within five seconds')
    .argument('<key>', 'id of the key')
    .action(async (id: string, _options, command: Command) => {
      await connect(command).team.revokeKey(id);
      print(`API key ${id} is revoked.`);
    });
}
