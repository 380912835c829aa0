import { type Role } from '@lowrank/contracts';

const roles: Role[] = ['viewer', 'member', 'admin', 'owner'];

/** Roles that somebody may give: no more than their own. */
export const rolesUpTo = (role: Role): Role[] => roles.slice(0, roles.indexOf(role) + 1);
