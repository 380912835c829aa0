import {
  type ChangeTeam,
  type CreatedTeam,
  type CreateTeam,
  LowrankError,
  type Team,
} from '@lowrank/contracts';
import { newInvitation } from '../members/invitations';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type Repositories } from '../ports/repositories';
import { teamOf, teamsOf } from './quotas';

/** All teams, in order of their ids. */
export const listTeams = ({ unitOfWork, clock }: Omit<Ports, 'ids'>): Promise<Team[]> =>
  unitOfWork.acrossTeams.read((repositories) => teamsOf(repositories, clock.now()));

/** Any team. Error: not_found. */
export const findTeam = ({ unitOfWork, clock }: Omit<Ports, 'ids'>, id: string): Promise<Team> =>
  unitOfWork.acrossTeams.read((repositories) => teamOf(repositories, id, clock.now()));

/** Makes a team and invites its first owner, whose token is returned this once. Error: name_taken. */
export async function createTeam(ports: Ports, { name, owner, ...quotas }: CreateTeam): Promise<CreatedTeam> {
  const { unitOfWork, clock, ids } = ports;
  const id = ids.make('team');
  const { token, tokenSha256, ...invitation } = newInvitation(ports, owner, 'owner');
  return unitOfWork.acrossTeams.run(async (repositories) => {
    await assertFree(repositories, name);
    const { teams, invitations, audit } = repositories;
    await teams.insert({ id, name });
    await teams.change(id, quotas);
    await invitations.insert(id, { ...invitation, tokenSha256 });
    await audit.add('make', { kind: 'team', id, name }, { owner: invitation.email, ...quotas });
    return { ...(await teamOf(repositories, id, clock.now())), invitation: { ...invitation, token } };
  });
}

/** Renames a team, or changes its share and quotas; what is not given stays. Errors: not_found, name_taken. */
export const changeTeam = (
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  id: string,
  changes: ChangeTeam,
): Promise<Team> =>
  unitOfWork.acrossTeams.run(async (repositories) => {
    const { teams, audit } = repositories;
    const { name } = found(await teams.lock(id), 'team', id);
    if (changes.name !== undefined && changes.name !== name) await assertFree(repositories, changes.name);
    await teams.change(id, changes);
    await audit.add('change', { kind: 'team', id, name }, changes);
    return teamOf(repositories, id, clock.now());
  });

async function assertFree({ teams }: Repositories, name: string): Promise<void> {
  if ((await teams.findByName(name)) !== null)
    throw new LowrankError('name_taken', `There is a team '${name}' already.`);
}
