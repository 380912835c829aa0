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
  own?: boolean;
}

/** `viewer`, … for options and arguments. */
export const roles = roleSchema.options;

const stateOf = ({ revokedAt, expiresAt }: ApiKey): string => {
  if (revokedAt !== null) return 'revoked';
  if (expiresAt === null) return 'live';
  return Date.parse(expiresAt) <= Date.now() ? 'expired' : `until ${expiresAt.slice(0, 10)}`;
};

/** API keys; for admins, and everybody's own. */
export function addKeyCommands(program: Command): void {
  const keys = program.command('keys').description("make, list and revoke your team's API keys");

  keys
    .command('list', { isDefault: true })
    .description('list API keys, revoked ones too')
    .option('--own', 'your own only, which needs no admin')
    .action(async ({ own }: { own?: boolean }, command: Command) => {
      const { team } = connect(command);
      const rows = (await (own ? team.ownKeys() : team.keys())).map((key) => [
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
    .option('--own', 'yours, with your role; needs no admin')
    .action(async (name: string, options: MakeOptions, command: Command) => {
      const { role, scope, days, serviceAccount, own } = options;
      const expiresAt = days === undefined ? null : new Date(Date.now() + days * dayMs).toISOString();
      const { team } = connect(command);
      const { id, secret } = own
        ? await team.makeOwnKey({ name, scopes: scope, expiresAt: expiresAt ?? undefined })
        : await team.makeKey({ name, role, scopes: scope ?? null, expiresAt, serviceAccount });
      note(`API key ${id}, shown this once:`);
      print(secret);
    });

  keys
    .command('revoke')
    .description('revoke an API key; it stops working within five seconds')
    .argument('<key>', 'id of the key')
    .option('--own', 'one of yours; needs no admin')
    .action(async (id: string, { own }: { own?: boolean }, command: Command) => {
      const { team } = connect(command);
      await (own ? team.revokeOwnKey(id) : team.revokeKey(id));
      print(`API key ${id} is revoked.`);
    });
}
