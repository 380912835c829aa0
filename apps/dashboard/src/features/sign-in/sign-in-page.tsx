import { Anchor, Button, Code, Stack, Tabs, Text, TextInput } from '@mantine/core';
import { getRouteApi, useRouter } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import { OpenPage } from '../../components/open-page';
import { ErrorState } from '../../components/states';
import { signIn } from '../../lib/session';

const route = getRouteApi('/sign-in');

/** Signs in by address and password, or by an API key, and goes on to where one wanted to be. */
export function SignInPage() {
  const { next } = route.useSearch();
  const router = useRouter();
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const submit =
    (read: (form: FormData) => Parameters<typeof signIn>[0]) => async (event: FormEvent<HTMLFormElement>) => {
      event.preventDefault();
      setBusy(true);
      setError(null);
      try {
        await signIn(read(new FormData(event.currentTarget)));
        router.history.push(next ?? '/');
      } catch (failure) {
        setError(failure);
        setBusy(false);
      }
    };
  const text = (form: FormData, name: string) => String(form.get(name) ?? '').trim();
  return (
    <OpenPage title="Sign in to Lowrank">
      {next !== undefined && (
        <Text size="sm" c="dimmed" mb="xs">
          You come back to the page that you asked for.
        </Text>
      )}
      <Tabs defaultValue="password" onChange={() => setError(null)} keepMounted={false}>
        <Tabs.List grow mb="md">
          <Tabs.Tab value="password">Password</Tabs.Tab>
          <Tabs.Tab value="key">API key</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="password">
          <form
            onSubmit={submit((form) => ({
              email: text(form, 'email'),
              password: String(form.get('password')),
            }))}
          >
            <Stack>
              <TextInput
                name="email"
                type="email"
                label="Email"
                autoComplete="username"
                required
                data-autofocus
              />
              <TextInput
                type="password"
                name="password"
                label="Password"
                autoComplete="current-password"
                required
              />
              {error !== null && <ErrorState error={error} />}
              <Button type="submit" loading={isBusy}>
                Sign in
              </Button>
              <Text size="xs" c="dimmed">
                No account, or a forgotten password? Whoever administers your team can invite you, or give you
                a link to choose another.
              </Text>
            </Stack>
          </form>
        </Tabs.Panel>
        <Tabs.Panel value="key">
          <form onSubmit={submit((form) => ({ key: text(form, 'key') }))}>
            <Stack>
              <TextInput
                type="password"
                name="key"
                label="API key"
                description="It is exchanged for a session; the browser does not keep it."
                placeholder="lrk_…"
                autoComplete="off"
                required
              />
              {error !== null && <ErrorState error={error} />}
              <Button type="submit" loading={isBusy}>
                Sign in
              </Button>
              <Text size="xs" c="dimmed">
                The first start prints the first key and keeps it in <Code>.lowrank/admin-key</Code>. More at{' '}
                <Anchor href="/docs" size="xs" underline="always">
                  the API's description
                </Anchor>
                .
              </Text>
            </Stack>
          </form>
        </Tabs.Panel>
      </Tabs>
    </OpenPage>
  );
}
