import { type Role, roles } from '@lowrank/contracts';

/** Roles that somebody may give: no more than their own. */
export const rolesUpTo = (role: Role): Role[] => roles.slice(0, roles.indexOf(role) + 1);
