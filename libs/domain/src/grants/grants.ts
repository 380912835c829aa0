import { type CreateGrant, type Grant, LowrankError } from '@lowrank/contracts';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type Repositories } from '../ports/repositories';

/**
 * Lets another team read an adapter: all of its versions, or what an alias stands on. What was granted of it to that team before is replaced.
 * Errors: not_found (adapter, alias, team); conflict of one's own team.
 */
export async function grant(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  { adapter, to, alias }: CreateGrant,
): Promise<Grant> {
  // Other teams are seen by nobody who has no grant yet.
  const other = await unitOfWork.acrossTeams.look(({ teams }) => teams.findByName(to));
  const { id: toTeamId } = found(other, 'team', to, 'to');
  if (toTeamId === teamId)
    throw new LowrankError('conflict', 'A team reads its own adapters without a grant.');
  const id = ids.make('grant');
  const at = clock.now();
  return unitOfWork.run(async ({ adapters, aliases, grants, audit }) => {
    found(await adapters.lock(teamId, adapter), 'adapter', adapter, 'adapter');
    if (alias !== null)
      found(await aliases.find(teamId, adapter, alias), 'alias', `${adapter}@${alias}`, 'alias');
    await grants.put(teamId, { id, adapter, toTeamId, alias, at });
    await audit.add('grant', { kind: 'adapter', id, name: adapter }, { to, alias });
    return found(await grants.find(teamId, adapter, toTeamId), 'grant', id);
  });
}

/** Takes a grant back, which works at once. Error: not_found. */
export const revokeGrant = (
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  id: string,
): Promise<void> =>
  unitOfWork.run(async ({ grants, audit }) => {
    const { adapter, to, alias } = found(await grants.remove(teamId, id), 'grant', id);
    await audit.add('revoke-grant', { kind: 'adapter', id, name: adapter }, { to, alias });
  });

/**
 * Id of the team whose adapter of that name a team may read: its own where no other is named, else one that has granted it. Of a grant of one
 * alias the database shows no other version.
 * Error: not_found, whether there is no such team, no such adapter, or no grant.
 */
export async function ownerOf(
  { teams, grants }: Pick<Repositories, 'teams' | 'grants'>,
  teamId: string,
  adapter: string,
  team: string | undefined,
): Promise<string> {
  if (team === undefined) return teamId;
  const owner = await teams.findByName(team);
  if (owner?.id === teamId) return teamId;
  const granted = owner && (await grants.find(owner.id, adapter, teamId));
  found(granted, 'adapter', `${team}/${adapter}`);
  return owner?.id ?? teamId;
}
