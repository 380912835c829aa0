import { Button, Text, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { type ReactNode, useRef } from 'react';
import { Icon, type IconName } from '../components/icon';
import { notifyError } from '../lib/notify';
import { chooseTeam, signOut, useSession } from '../lib/session';

/** Who has signed in and for which team: leads to their account, switches teams, light and dark, and signs out. */
export function AccountMenu() {
  const { session, principal } = useSession();
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme('light');
  const navigate = useNavigate();
  const menu = useRef<HTMLDivElement>(null);
  const close = () => menu.current?.hidePopover();
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
  const item = (icon: IconName, label: ReactNode, act: () => void) => (
    <button
      type="button"
      className="nav-link"
      onClick={() => {
        close();
        act();
      }}
    >
      <Icon name={icon} />
      {label}
    </button>
  );
  return (
    <>
      <Button
        variant="subtle"
        color="gray"
        c="var(--mantine-color-text)"
        rightSection={<Icon name="chevron" />}
        maw={220}
        aria-label={`Account ${name}, team ${team?.name}`}
        popoverTarget="account-menu"
      >
        <span className="clip">{team?.name}</span>
      </Button>
      <div id="account-menu" ref={menu} popover="auto" className="menu">
        <div className="menu-part">
          <Text size="sm" truncate>
            {name}
          </Text>
          <Text size="xs" c="dimmed" truncate>
            {session.user?.email ?? 'API key'}, {principal.role}
          </Text>
        </div>
        {session.teams.length > 1 && (
          <div className="menu-part" role="group" aria-label="Team">
            {session.teams.map(({ id, name: teamName, role }) =>
              id === session.teamId ? (
                <span key={id} className="nav-link" aria-current="page">
                  <Icon name="check" />
                  {teamName}
                </span>
              ) : (
                <div key={id}>{item('users', `${teamName} (${role})`, () => void choose(id))}</div>
              ),
            )}
          </div>
        )}
        <div className="menu-part">
          {item('users', 'Your account', () => void navigate({ to: '/account' }))}
          {item(scheme === 'dark' ? 'sun' : 'moon', `${scheme === 'dark' ? 'Light' : 'Dark'} colours`, () =>
            setColorScheme(scheme === 'dark' ? 'light' : 'dark'),
          )}
          <a className="nav-link" href="/docs">
            <Icon name="book" />
            API description
          </a>
          {item('leave', 'Sign out', () => void leave())}
        </div>
      </div>
    </>
  );
}
