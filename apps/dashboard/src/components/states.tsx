import {
  Alert,
  Button,
  Center,
  Code,
  Group,
  List,
  Loader,
  Paper,
  Skeleton,
  Stack,
  type StackProps,
  Text,
  Title,
} from '@mantine/core';
import { type UseQueryResult } from '@tanstack/react-query';
import { type ReactNode } from 'react';
import { ApiError } from '../lib/api';
import { Icon, type IconName } from './icon';
import { LinkButton } from './links';

/** What went wrong, what to do about it, and a way to try again. */
export function ErrorState({ error, retry }: { error: unknown; retry?: () => void }) {
  const known = error instanceof ApiError ? error : null;
  return (
    <Alert
      color="red"
      variant="light"
      icon={<Icon name="alert" />}
      title={known?.message ?? 'Something went wrong on this page'}
      role="alert"
    >
      <Stack gap="xs" align="flex-start">
        <Text size="sm">{known?.help ?? (error instanceof Error ? error.message : String(error))}</Text>
        {known !== null && known.details.length > 0 && (
          <List size="sm">
            {known.details.slice(0, 20).map(({ path, line, message }, index) => (
              <List.Item key={index}>
                <Code>{[line && `line ${line}`, path].filter(Boolean).join(', ')}</Code> {message}
              </List.Item>
            ))}
          </List>
        )}
        <Group gap="md">
          {retry && (
            <Button size="xs" variant="default" onClick={retry} leftSection={<Icon name="retry" size={14} />}>
              Try again
            </Button>
          )}
          {known?.requestId && (
            <Text size="xs" c="dimmed">
              Request <Code>{known.requestId}</Code>
            </Text>
          )}
        </Group>
      </Stack>
    </Alert>
  );
}

interface EmptyProps {
  icon?: IconName;
  title: string;
  /** What would be here, and how it comes about. */
  children?: ReactNode;
  action?: ReactNode;
}

/** Says that there is nothing yet, why, and what one can do. */
export function EmptyState({ icon = 'box', title, children, action }: EmptyProps) {
  return (
    <Paper withBorder p="xl" bg="transparent" style={{ borderStyle: 'dashed' }}>
      <Stack align="center" gap="xs" ta="center">
        <Text c="dimmed" component="div">
          <Icon name={icon} size={28} />
        </Text>
        <Text fw={600}>{title}</Text>
        {children !== undefined && (
          <Text size="sm" c="dimmed" maw={520} component="div">
            {children}
          </Text>
        )}
        {action}
      </Stack>
    </Paper>
  );
}

interface LoadingProps {
  rows?: number;
  height?: number;
  /** Least height in all, by the width of the window, where rows are no measure of it. */
  mih?: StackProps['mih'];
}

/** Room of the height that is about to be filled, so that nothing jumps. */
export function LoadingState({ rows = 4, height = 36, mih }: LoadingProps) {
  return (
    <Stack gap="xs" role="status" aria-label="Loading" mih={mih}>
      {Array.from({ length: rows }, (_, index) => (
        <Skeleton key={index} height={height} />
      ))}
    </Stack>
  );
}

interface QueryProps<T> {
  query: Pick<UseQueryResult<T>, 'data' | 'error' | 'isPending' | 'refetch'>;
  /** Default: a few grey rows. */
  loading?: ReactNode;
  children: (data: T) => ReactNode;
}

/**
 * What a query has brought, or that it is loading or has failed. What was read before stays when reading it again fails: pages say so by
 * themselves where it matters.
 */
export function QueryState<T>({ query, loading, children }: QueryProps<T>) {
  if (query.data !== undefined) return children(query.data);
  if (query.isPending) return loading ?? <LoadingState />;
  return <ErrorState error={query.error} retry={() => void query.refetch()} />;
}

/** While a page's code is on its way. */
export function PagePending() {
  return (
    <Center mih={240} role="status" aria-label="Loading the page">
      <Loader />
    </Center>
  );
}

export function NotFoundState() {
  return (
    <Center mih={320}>
      <Stack align="center" gap="xs">
        <title>Not found · Lowrank</title>
        <Title order={1} size="h2">
          There is no such page
        </Title>
        <Text c="dimmed">The address may be mistyped, or what was there is gone.</Text>
        <LinkButton to="/">To the overview</LinkButton>
      </Stack>
    </Center>
  );
}

export function RouteErrorState({ error, reset }: { error: unknown; reset: () => void }) {
  return (
    <Stack p="md" maw={720} mx="auto">
      <ErrorState error={error} retry={reset} />
    </Stack>
  );
}
