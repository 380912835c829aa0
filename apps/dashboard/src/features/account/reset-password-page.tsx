import { Button, Stack, Text, TextInput } from '@mantine/core';
import { useLocation } from '@tanstack/react-router';
import { useState } from 'react';
import { LinkButton } from '../../components/links';
import { NewPassword } from '../../components/new-password';
import { OpenPage } from '../../components/open-page';
import { ErrorState } from '../../components/states';
import { api } from '../../lib/api';
import { fieldOf, useFormAction } from '../../lib/use-form-action';

/** Takes an admin's token of somebody who has forgotten their password, and has them choose another. */
export function ResetPasswordPage() {
  const { hash } = useLocation();
  const [isDone, setDone] = useState(false);
  const { isBusy, error, onSubmit } = useFormAction(async (form) => {
    const body = { token: fieldOf(form, 'token'), password: String(form.get('password')) };
    await api.post('/api/v1/password-resets/use', body);
    setDone(true);
  });
  if (isDone)
    return (
      <OpenPage title="Your password is changed">
        <Stack>
          <Text size="sm" role="status">
            All of your sessions are over. Sign in with the new one.
          </Text>
          <LinkButton to="/sign-in">Sign in</LinkButton>
        </Stack>
      </OpenPage>
    );
  return (
    <OpenPage title="Choose another password">
      <form onSubmit={(event) => void onSubmit(event)}>
        <Stack>
          <TextInput
            name="token"
            label="Token"
            description="The one that an admin has given you."
            placeholder="lrr_…"
            defaultValue={hash}
            autoComplete="off"
            required
          />
          <NewPassword />
          {error !== null && <ErrorState error={error} />}
          <Button type="submit" loading={isBusy}>
            Change it
          </Button>
          <Text size="xs" c="dimmed">
            A token is good for a day and for one use. It ends your sessions everywhere.
          </Text>
        </Stack>
      </form>
    </OpenPage>
  );
}
