import { Button, Menu, Text, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { Icon } from '../components/icon';
import { notifyError } from '../lib/notify';
import { chooseTeam, signOut, useSession } from '../lib/session';

/** Who has signed in and for which team: switches teams, light and dark, and signs out. */
export function AccountMenu() {
  const { session, principal } = useSession();
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme('light');
  const navigate = useNavigate();
  const team = session.teams.find(({ id }) => id === session.teamId);
  const name = session.user?.name ?? session.key?.name ?? '';
  const leave = async () => {
    await signOut().catch(notifyError);
    await navigate({ to: '/sign-in', search: {} });
  };
  const choose = async (teamId: string) => {
    // What is shown belongs to the team before.
    await navigate({ to: '/' });
    await chooseTeam(teamId).catch(notifyError);
  };
  return (
    <Menu position="bottom-end" width={240} shadow="md">
      <Menu.Target>
        <Button
          variant="subtle"
          color="gray"
          c="var(--mantine-color-text)"
          rightSection={<Icon name="chevron" />}
          maw={220}
          aria-label={`Account ${name}, team ${team?.name}`}
        >
          <span className="clip">{team?.name}</span>
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label c="dimmed">
          {session.user === null ? 'API key' : 'Signed in as'}
          <Text size="sm" c="var(--mantine-color-text)" truncate>
            {name}
          </Text>
          {session.user?.email} {principal.role}
        </Menu.Label>
        <Menu.Divider />
        {session.teams.length > 1 && (
          <>
            <Menu.Label c="dimmed">Team</Menu.Label>
            {session.teams.map(({ id, name: teamName, role }) => (
              <Menu.Item
                key={id}
                onClick={() => void choose(id)}
                disabled={id === session.teamId}
                rightSection={id === session.teamId ? <Icon name="check" /> : <Text size="xs">{role}</Text>}
              >
                {teamName}
              </Menu.Item>
            ))}
            <Menu.Divider />
          </>
        )}
        <Menu.Item
          leftSection={<Icon name={scheme === 'dark' ? 'sun' : 'moon'} />}
          onClick={() => setColorScheme(scheme === 'dark' ? 'light' : 'dark')}
        >
          {scheme === 'dark' ? 'Light' : 'Dark'} colours
        </Menu.Item>
        <Menu.Item component="a" href="/docs" leftSection={<Icon name="book" />}>
          API description
        </Menu.Item>
        <Menu.Item leftSection={<Icon name="leave" />} onClick={() => void leave()}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
