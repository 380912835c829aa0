import { Button, Group, Stack, Text, TextInput } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { ConfirmButton } from '../../components/confirm-button';
import { Facts } from '../../components/facts';
import { KeyForm } from '../../components/keys/key-form';
import { KeyList } from '../../components/keys/key-list';
import { NewPassword } from '../../components/new-password';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { ErrorState } from '../../components/states';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { notify } from '../../lib/notify';
import { invalidate, queryClient } from '../../lib/query';
import { chooseTeam, useMay, useSession } from '../../lib/session';
import { useFormAction } from '../../lib/use-form-action';
import { OwnSessions } from './own-sessions';

const keys = '/api/v1/me/keys';

/** Who has signed in: their sessions, their password, their own keys, and the way out of the team. */
export function AccountPage() {
  const { session, principal } = useSession();
  const may = useMay();
  const team = session.teams.find(({ id }) => id === session.teamId)?.name ?? '';
  const isMember = principal.memberId !== null;
  return (
    <>
      <PageHeader title="Your account" description={`Who you are to Lowrank, and in the team ${team}.`} />
      <Stack gap="md">
        <Section title="This session">
          <Facts
            rows={[
              { name: 'Name', value: principal.actor.name },
              { name: 'Signed in with', value: session.user?.email ?? `the API key ${session.key?.name}` },
              { name: 'Role', value: `${principal.role} of ${team}` },
              { name: 'May do', value: principal.scopes?.join(', ') ?? 'all of the role' },
              { name: 'Over', value: <Ago time={session.expiresAt} /> },
            ]}
          />
        </Section>
        <OwnSessions isKey={session.user === null} />
        {session.user !== null && <Password />}
        {isMember && may('own-keys.write') && (
          <Section title="New key of your own">
            <Text size="sm" c="dimmed" mb="sm">
              For the CLI and programs that act as you in {team}. It may never do more than you may.
            </Text>
            <KeyForm path={keys} />
          </Section>
        )}
        {isMember && may('own-keys.read') && (
          <KeyList title="Your keys" path={keys} mayWrite={may('own-keys.write')} />
        )}
        {isMember && may('team.leave') && <Leave team={team} />}
      </Stack>
    </>
  );
}

function Password() {
  const { isBusy, error, onSubmit } = useFormAction(async (form) => {
    await api.put('/api/v1/session/password', {
      current: String(form.get('current')),
      password: String(form.get('password')),
    });
    notify('Your password is changed, and your other sessions are over.');
    await invalidate('/api/v1/me/sessions');
  });
  return (
    <Section title="Password">
      <form onSubmit={(event) => void onSubmit(event)}>
        <Stack>
          <Group align="end" gap="sm">
            <TextInput
              name="current"
              type="password"
              label="Current password"
              autoComplete="current-password"
              required
            />
            <NewPassword />
            <Button type="submit" loading={isBusy}>
              Change it
            </Button>
          </Group>
          <Text size="xs" c="dimmed">
            Your sessions elsewhere are over then.
          </Text>
          {error !== null && <ErrorState error={error} />}
        </Stack>
      </form>
    </Section>
  );
}

function Leave({ team }: { team: string }) {
  const { session } = useSession();
  const navigate = useNavigate();
  const other = session.teams.find(({ id }) => id !== session.teamId);
  return (
    <Section title="Leave the team">
      <Group justify="space-between" gap="sm">
        <Text size="sm">Your keys in {team} are revoked. What you have made there stays with the team.</Text>
        <ConfirmButton
          title={`Leave ${team}?`}
          explanation="Your keys there stop working at once. Only an invitation brings you back. The last owner of a team stays."
          confirm="Leave the team"
          act={async () => {
            await api.post('/api/v1/me/leave');
            if (other === undefined) {
              // Without a team there is no session any more.
              queryClient.clear();
              await navigate({ to: '/sign-in', search: {} });
            } else {
              await navigate({ to: '/' });
              await chooseTeam(other.id);
            }
            notify(`You have left ${team}.`);
          }}
        >
          Leave {team}
        </ConfirmButton>
      </Group>
    </Section>
  );
}
