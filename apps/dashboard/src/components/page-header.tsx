import { Anchor, Breadcrumbs, Group, Stack, Text, Title } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { type ReactNode } from 'react';

interface PageHeaderProps {
  title: string;
  /** Beside the title, such as a state. */
  badge?: ReactNode;
  description?: ReactNode;
  /** Buttons, on the right where there is room. */
  actions?: ReactNode;
  /** Where the page belongs, from the outside in. */
  above?: { label: string; to: string }[];
}

/** The one first-order heading of a page; also the title of its tab. */
export function PageHeader({ title, badge, description, actions, above = [] }: PageHeaderProps) {
  return (
    <Stack gap={6} mb="md">
      <title>{`${title} · Lowrank`}</title>
      {above.length > 0 && (
        <Breadcrumbs component="nav" aria-label="Breadcrumbs">
          {above.map(({ label, to }) => (
            <Anchor key={to} component={Link} to={to} size="sm">
              {label}
            </Anchor>
          ))}
        </Breadcrumbs>
      )}
      <Group justify="space-between" align="flex-start" gap="sm">
        <Group gap="sm" miw={0} maw="100%">
          <Title order={1} size="h3" style={{ overflowWrap: 'anywhere' }}>
            {title}
          </Title>
          {badge}
        </Group>
        {actions !== undefined && <Group gap="xs">{actions}</Group>}
      </Group>
      {description !== undefined && (
        <Text c="dimmed" size="sm" component="div">
          {description}
        </Text>
      )}
    </Stack>
  );
}
