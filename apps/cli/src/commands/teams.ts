import { type Quotas, type Team } from '@lowrank/contracts';
import { type Command } from 'commander';
import { type TeamApi } from '../client/team-api';
import { connect } from '../connect';
import { CliError, exitCodes } from '../errors';
import { decimal, whole } from '../option-values';
import { note, print, printTable } from '../terminal';

/** Commander takes null for no value. */
type Limit = number | 'none';
interface QuotaOptions {
  weight?: number;
  maxRunning?: Limit;
  maxQueued?: Limit;
  deviceHours?: Limit;
  tokens?: Limit;
}

const orNone =
  (read: (text: string) => number) =>
  (text: string): Limit =>
    text === 'none' ? text : read(text);
const withQuotas = (command: Command): Command =>
  command
    .option('--weight <number>', "share of the machines, beside other teams' 1", decimal)
    .option('--max-running <count>', "jobs at a time, or 'none' for no limit", orNone(whole))
    .option('--max-queued <count>', "jobs that wait at a time, or 'none'", orNone(whole))
    .option('--device-hours <hours>', "hours of slots a month, or 'none'", orNone(decimal))
    .option('--tokens <count>', "tokens of completions a month, or 'none'", orNone(whole));

/** What was given; the rest stays as it is. */
function quotasOf({ weight, maxRunning, maxQueued, deviceHours, tokens }: QuotaOptions): Partial<Quotas> {
  const seconds = typeof deviceHours === 'number' ? Math.round(deviceHours * 3600) : deviceHours;
  const given = Object.entries({
    ...{ weight, maxRunning, maxQueued, deviceSecondsPerMonth: seconds, tokensPerMonth: tokens },
  });
  const limits = given.map(([name, value]) => [name, value === 'none' ? null : value]);
  return Object.fromEntries(limits.filter(([, value]) => value !== undefined)) as Partial<Quotas>;
}

const hours = (seconds: number | null): string => (seconds === null ? '–' : (seconds / 3600).toFixed(1));
const limit = (count: number | null): string => (count === null ? '–' : String(count));
const toRow = (team: Team): string[] => [
  ...[team.id, team.name, String(team.weight), limit(team.maxRunning), limit(team.maxQueued)],
  ...[hours(team.deviceSecondsPerMonth), hours(team.deviceSecondsUsed)],
  ...[limit(team.tokensPerMonth), String(team.tokensUsed)],
];
const columns = [
  'TEAM',
  'NAME',
  'WEIGHT',
  'MAX RUNNING',
  'MAX QUEUED',
  'HOURS A MONTH',
  'USED',
  'TOKENS A MONTH',
  'USED',
];

async function idOf(api: TeamApi, nameOrId: string): Promise<string> {
  const team = (await api.teams()).find(({ id, name }) => id === nameOrId || name === nameOrId);
  if (team) return team.id;
  throw new CliError(`there is no team '${nameOrId}'`, {
    help: 'lowrank teams lists them.',
    exitCode: exitCodes.failed,
  });
}

/** All teams; for admins of the operator's. */
export function addTeamCommands(program: Command): void {
  const teams = program.command('teams').description('make teams and share the machines among them');

  teams
    .command('list', { isDefault: true })
    .description('list teams, their shares, quotas, and what they have used this month')
    .action(async (_options, command: Command) =>
      printTable(columns, (await connect(command).team.teams()).map(toRow)),
    );

  withQuotas(teams.command('make'))
    .description("make a team; the token of its owner's invitation is shown this once")
    .argument('<name>')
    .requiredOption('--owner <address>', 'who is to own it, e.g. ann@example.org')
    .action(async (name: string, options: QuotaOptions & { owner: string }, command: Command) => {
      const api = connect(command);
      const request = { name, owner: options.owner, ...quotasOf(options) };
      const { id, invitation } = await api.team.makeTeam(request);
      note(`Team ${name} (${id}). ${options.owner} becomes its owner until ${invitation.expiresAt} by:`);
      print(`lowrank --url ${api.url} members accept ${invitation.token} --name '<their name>'`);
    });

  withQuotas(teams.command('change'))
    .description('rename a team, or change its share and quotas; what is not named stays')
    .argument('<team>', 'name or id')
    .option('--name <name>', 'another name')
    .action(async (team: string, options: QuotaOptions & { name?: string }, command: Command) => {
      const { team: api } = connect(command);
      const named = options.name === undefined ? {} : { name: options.name };
      const changed = await api.changeTeam(await idOf(api, team), { ...named, ...quotasOf(options) });
      printTable(columns, [toRow(changed)]);
    });
}
