import { type Access, type Action, actions, type Principal, roles } from '@lowrank/contracts';

/** Whether somebody may do something, by the table that the API goes by. It decides in the end; this only says what to show. */
export function may({ role, scopes, operator }: Principal, action: Action): boolean {
  const needed: Access = actions[action];
  const hasScope =
    scopes === null ||
    needed.scope === null ||
    scopes.some((scope) => scope === needed.scope || scope === needed.scope?.replace(':read', ':write'));
  return (
    roles.indexOf(role) >= roles.indexOf(needed.role) && hasScope && (needed.platform !== true || operator)
  );
}
