import { NativeSelect } from '@mantine/core';
import { type Role } from '@lowrank/contracts';
import { rolesUpTo } from '../lib/roles';

/** The field `role` of a form: what somebody with the role `highest` may give. */
export function RoleSelect({ highest }: { highest: Role }) {
  return (
    <NativeSelect
      name="role"
      label="Role"
      data={rolesUpTo(highest)}
      defaultValue={highest === 'viewer' ? 'viewer' : 'member'}
    />
  );
}
