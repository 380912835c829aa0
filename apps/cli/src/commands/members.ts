import { type Invitation, type Member, type Role } from '@lowrank/contracts';
import { Argument, type Command, Option } from 'commander';
import { type TeamApi } from '../client/team-api';
import { connect } from '../connect';
import { CliError, exitCodes } from '../errors';
import { whole } from '../option-values';
import { readPassword } from '../password';
import { formatAge, note, print, printTable } from '../terminal';
import { roles } from './keys';

const roleOption = () => new Option('--role <role>', 'what they may do').choices(roles).default('member');

const stateOf = ({ acceptedAt, expiresAt }: Invitation): string => {
  if (acceptedAt !== null) return `accepted ${formatAge(acceptedAt)}`;
  return Date.parse(expiresAt) <= Date.now() ? 'expired' : `open until ${expiresAt.slice(0, 16)}Z`;
};

/** The member that an id, an address, or a service account's name says. */
async function find(api: TeamApi, who: string): Promise<Member> {
  const members = await api.members();
  const member = members.find(({ id, email }) => who === id || who.toLowerCase() === email);
  const named = member ?? members.find(({ name, isService }) => isService && name === who);
  if (named) return named;
  throw new CliError(`there is no member '${who}'`, {
    help: 'lowrank members lists them.',
    exitCode: exitCodes.failed,
  });
}

/** Who is in a team; changing it is for admins. */
export function addMemberCommands(program: Command): void {
  const members = program.command('members').description('see who is in your team, invite and remove them');

  members
    .command('list', { isDefault: true })
    .description('list members and service accounts, the longest first')
    .action(async (_options, command: Command) => {
      const rows = (await connect(command).team.members()).map(
        ({ id, email, name, role, isService, createdAt }) => [
          ...[id, isService ? 'service account' : (email ?? ''), name, role, formatAge(createdAt)],
        ],
      );
      if (rows.length === 0)
        print('No members: only API keys so far. Invite one with: lowrank members invite');
      else printTable(['MEMBER', 'ADDRESS', 'NAME', 'ROLE', 'SINCE'], rows);
    });

  members
    .command('invite')
    .description('invite an address; the token is shown this once, and is for you to send there')
    .argument('<address>', 'e.g. ann@example.org')
    .addOption(roleOption())
    .option('--hours <hours>', 'how long it is open', whole, 72)
    .action(async (email: string, { role, hours }: { role: Role; hours: number }, command: Command) => {
      const api = connect(command);
      const { token, expiresAt } = await api.team.invite({ email, role, expiresInHours: hours });
      note(`${email} is invited until ${expiresAt}. They become a member by:`);
      print(`lowrank --url ${api.url} members accept ${token} --name '<their name>'`);
    });

  members
    .command('invitations')
    .description('list invitations, newest first')
    .action(async (_options, command: Command) => {
      const rows = (await connect(command).team.invitations()).map((invitation) => [
        ...[invitation.id, invitation.email, invitation.role, stateOf(invitation)],
      ]);
      if (rows.length === 0) print('No invitations.');
      else printTable(['INVITATION', 'ADDRESS', 'ROLE', 'STATE'], rows);
    });

  members
    .command('revoke-invitation')
    .description('close an invitation; who came by it stays')
    .argument('<invitation>', 'id of the invitation')
    .action(async (id: string, _options, command: Command) => {
      await connect(command).team.revokeInvitation(id);
      print(`Invitation ${id} is closed.`);
    });

  members
    .command('accept')
    .description('become a member by an invitation; asks for a password, or that of your account')
    .argument('<token>', 'lri_…')
    .option('--name <name>', 'yours, for a new account')
    .action(async (token: string, { name }: { name?: string }, command: Command) => {
      const password = await readPassword();
      const member = await connect(command).team.acceptInvitation({ token, name, password });
      print(`${member.email} is a member now, as ${member.role}.`);
    });

  members
    .command('role')
    .description('give a member another role, which works at once')
    .argument('<member>', 'id, address, or name of a service account')
    .addArgument(new Argument('<role>').choices(roles))
    .action(async (who: string, role: Role, _options, command: Command) => {
      const { team } = connect(command);
      const { id, name } = await team.changeRole((await find(team, who)).id, role);
      print(`${name} (${id}) is ${role}.`);
    });

  members
    .command('remove')
    .description('remove a member or a service account, with their keys; within five seconds they are out')
    .argument('<member>', 'id, address, or name of a service account')
    .action(async (who: string, _options, command: Command) => {
      const { team } = connect(command);
      const { id, name } = await find(team, who);
      await team.removeMember(id);
      print(`${name} (${id}) is removed.`);
    });

  members
    .command('reset-password')
    .description('let a member who has forgotten their password choose another; the token is shown this once')
    .argument('<member>', 'id or address')
    .action(async (who: string, _options, command: Command) => {
      const api = connect(command);
      const { id, email, name } = await find(api.team, who);
      const { token, expiresAt } = await api.team.resetPassword(id);
      note(`Until ${expiresAt}, ${email ?? name} can choose another password by:`);
      print(`lowrank --url ${api.url} members choose-password ${token}`);
    });

  members
    .command('choose-password')
    .description('choose another password by the token of an admin; ends all of your sessions')
    .argument('<token>', 'lrr_…')
    .action(async (token: string, _options, command: Command) => {
      await connect(command).team.choosePassword({ token, password: await readPassword() });
      print('The password is chosen. Sign in with it.');
    });

  members
    .command('leave')
    .description('leave the team of your key, with all of your keys there')
    .action(async (_options, command: Command) => {
      await connect(command).team.leave();
      print('You are in the team no more.');
    });

  members
    .command('add-service-account')
    .description('make a member that is a program: it has keys, and does not sign in')
    .argument('<name>')
    .addOption(roleOption())
    .action(async (name: string, { role }: { role: Role }, command: Command) => {
      const { id } = await connect(command).team.makeServiceAccount({ name, role });
      note(
        `${name} is a service account. Make it a key with: lowrank keys make ${name} --service-account ${id}`,
      );
      print(id);
    });
}
