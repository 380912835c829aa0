import { Button, Stack, Text, TextInput } from '@mantine/core';
import { type Member } from '@lowrank/contracts';
import { useLocation, useNavigate } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import { OpenPage } from '../../components/open-page';
import { ErrorState } from '../../components/states';
import { api } from '../../lib/api';
import { signIn } from '../../lib/session';

/** Takes an invitation: a new account, or one more team for an account that there is. Signs in afterwards. */
export function JoinPage() {
  const { hash } = useLocation();
  const navigate = useNavigate();
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const name = String(form.get('name') ?? '').trim();
    const password = String(form.get('password'));
    setBusy(true);
    setError(null);
    try {
      const { email } = await api.post<Member>('/api/v1/invitations/accept', {
        token: String(form.get('token') ?? '').trim(),
        password,
        ...(name === '' ? {} : { name }),
      });
      await signIn({ email: email ?? '', password });
      await navigate({ to: '/' });
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return (
    <OpenPage title="Join a team on Lowrank">
      <form onSubmit={(event) => void submit(event)}>
        <Stack>
          <TextInput
            name="token"
            label="Invitation"
            placeholder="lri_…"
            defaultValue={hash}
            autoComplete="off"
            required
          />
          <TextInput
            name="name"
            label="Your name"
            description="If you have no account yet"
            autoComplete="name"
          />
          <TextInput
            type="password"
            name="password"
            label="Password"
            description="A new one of 12 characters at least, or that of your account"
            autoComplete="current-password"
            required
          />
          {error !== null && <ErrorState error={error} />}
          <Button type="submit" loading={isBusy}>
            Join
          </Button>
          <Text size="xs" c="dimmed">
            An invitation is good once and for a while. An admin of the team makes another.
          </Text>
        </Stack>
      </form>
    </OpenPage>
  );
}
