import { AppShell, Burger, Group, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { Link, Outlet, useLocation } from '@tanstack/react-router';
import { useEffect, useRef } from 'react';
import { Icon } from '../components/icon';
import { useMay } from '../lib/session';
import { AccountMenu } from './account-menu';
import { navigation } from './navigation';

/** The frame of every page: header with account and team, navigation that a burger opens on small screens, and the page itself. */
export function Shell() {
  const [isOpen, { toggle, close }] = useDisclosure(false);
  const { pathname } = useLocation();
  const main = useRef<HTMLElement>(null);
  const shown = useRef(pathname);
  useEffect(() => {
    if (shown.current === pathname) return;
    shown.current = pathname;
    close();
    main.current?.focus({ preventScroll: true });
  }, [pathname, close]);
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 208, breakpoint: 'sm', collapsed: { mobile: !isOpen } }}
      padding={{ base: 'sm', sm: 'lg' }}
    >
      <a className="skip-link" href="#main">
        Skip to the page
      </a>
      <AppShell.Header px="sm">
        <Group h="100%" justify="space-between" wrap="nowrap">
          <Group gap="xs" wrap="nowrap">
            <Burger
              opened={isOpen}
              onClick={toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label={isOpen ? 'Close the navigation' : 'Open the navigation'}
              aria-expanded={isOpen}
            />
            <Link to="/" className="brand">
              <img src="/favicon.svg" width={24} height={24} alt="" />
              <Text fw={700} span>
                Lowrank
              </Text>
            </Link>
          </Group>
          <AccountMenu />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm" aria-label="Main">
        <Navigation />
      </AppShell.Navbar>
      <AppShell.Main id="main" ref={main} tabIndex={-1}>
        <Outlet />
      </AppShell.Main>
    </AppShell>
  );
}

function Navigation() {
  const may = useMay();
  return navigation.map(({ title, entries }) => {
    const shown = entries.filter(({ needs }) => needs === undefined || may(needs));
    if (shown.length === 0) return null;
    return (
      <div key={title ?? ''} style={{ marginBottom: 12 }}>
        {title !== null && (
          <Text size="xs" fw={600} c="dimmed" px={12} mb={4}>
            {title}
          </Text>
        )}
        {shown.map(({ to, label, icon }) => (
          <Link
            key={to}
            to={to}
            className="nav-link"
            activeOptions={{ exact: to === '/' || to === '/jobs', includeSearch: false }}
          >
            <Icon name={icon} />
            {label}
          </Link>
        ))}
      </div>
    );
  });
}
