import { TextInput } from '@mantine/core';

/** The field `password` of a form in which somebody chooses another one. */
export const NewPassword = () => (
  <TextInput
    name="password"
    type="password"
    label="New password"
    description="12 characters at least."
    autoComplete="new-password"
    minLength={12}
    required
  />
);
