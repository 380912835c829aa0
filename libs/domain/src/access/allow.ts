import {
  type Access,
  type Action,
  actions,
  LowrankError,
  type Principal,
  type Role,
  roleSchema,
  type Scope,
} from '@lowrank/contracts';

/** Whether a role may do all that another may. */
export const isAtLeast = (role: Role, other: Role): boolean =>
  roleSchema.options.indexOf(role) >= roleSchema.options.indexOf(other);

/** Whether scopes (null: all) let through what needs one of them. */
export const includesScope = (scopes: readonly Scope[] | null, needed: Scope): boolean =>
  scopes === null || scopes.includes(needed) || scopes.includes(needed.replace(':read', ':write') as Scope);

/** Lets a principal do something, or throws LowrankError forbidden with what is missing: the role, the scope, or the operator's team. */
export function assertAllowed(principal: Principal, action: Action): void {
  const { role, scope, platform }: Access = actions[action];
  if (!isAtLeast(principal.role, role))
    throw new LowrankError('forbidden', `${action} needs the role ${role}; yours is ${principal.role}.`);
  if (scope !== null && !includesScope(principal.scopes, scope))
    throw new LowrankError(
      'forbidden',
      `${action} needs the scope ${scope}; yours are ${principal.scopes?.join(', ')}.`,
    );
  if (platform && !principal.operator)
    throw new LowrankError('forbidden', `${action} concerns all teams: it is for the operator's team alone.`);
}

/** Refuses to give more than one has: LowrankError forbidden with the role or the scope that the giver lacks. */
export function assertMayGive(
  giver: Principal,
  { role, scopes }: { role: Role; scopes: readonly Scope[] | null },
): void {
  if (!isAtLeast(giver.role, role))
    throw new LowrankError('forbidden', `Giving the role ${role} needs that role; yours is ${giver.role}.`);
  if (giver.scopes === null) return;
  if (scopes === null)
    throw new LowrankError('forbidden', 'Giving all scopes needs a key of all scopes; yours is limited.');
  const missing = scopes.find((scope) => !includesScope(giver.scopes, scope));
  if (missing !== undefined)
    throw new LowrankError('forbidden', `Giving the scope ${missing} needs that scope.`);
}
