import { Group, Text } from '@mantine/core';
import { type PinStatus } from '@lowrank/contracts';
import { Link } from '@tanstack/react-router';
import { api } from '../../lib/api';
import { formatBytes } from '../../lib/format';
import { notify } from '../../lib/notify';
import { apiQuery, invalidate } from '../../lib/query';
import { useMay } from '../../lib/session';
import { ConfirmButton } from '../confirm-button';
import { type Column, DataTable } from '../data-table';
import { TagBadge } from '../tag-badge';
import { Ago } from '../time';

export const pinsPath = '/api/v1/pins';
/** All pins of the team. Servers are asked what has become of them, so that it changes by itself. */
export const pinsQuery = { ...apiQuery<{ data: PinStatus[] }>(pinsPath), refetchInterval: 10_000 };

const colors: Record<PinStatus['state'], string> = { loaded: 'green', refused: 'red', waiting: 'gray' };

/** What servers keep loaded, and whether they do; whoever may ends it. `withAdapter`: they are of several adapters. */
export function PinList({ pins, withAdapter = false }: { pins: PinStatus[]; withAdapter?: boolean }) {
  const mayPin = useMay()('pins.write');
  const columns: Column<PinStatus>[] = [
    {
      key: 'ref',
      header: 'Pinned',
      cell: ({ adapter, ref, version }) => (
        <Group gap={6}>
          {withAdapter ? (
            <Link
              to="/catalog/$name"
              params={{ name: adapter }}
              search={{ view: 'use' }}
              className="row-link"
            >
              {adapter}@{ref}
            </Link>
          ) : (
            <TagBadge color="blue">{ref}</TagBadge>
          )}
          {version !== null && ref !== `v${version}` && `v${version}`}
        </Group>
      ),
    },
    {
      key: 'state',
      header: 'State',
      cell: ({ state, reason }) => (
        <>
          <TagBadge color={colors[state]}>{state}</TagBadge>
          {reason !== null && (
            <Text size="xs" c="dimmed">
              {reason}
            </Text>
          )}
        </>
      ),
    },
    {
      key: 'bytes',
      header: 'Memory',
      align: 'right',
      from: 'xs',
      cell: ({ state, bytes }) => (state === 'loaded' ? formatBytes(bytes) : '–'),
    },
    { key: 'at', header: 'Since', from: 'sm', cell: ({ createdAt }) => <Ago time={createdAt} /> },
    ...(mayPin ? [{ key: 'unpin', header: 'Unpin', cell: (pin: PinStatus) => <Unpin {...pin} /> }] : []),
  ];
  return (
    <DataTable
      label="Pinned"
      rows={pins}
      rowKey={({ adapter, ref }) => `${adapter}@${ref}`}
      columns={columns}
    />
  );
}

const Unpin = ({ adapter, ref }: { adapter: string; ref: string }) => (
  <ConfirmButton
    aria-label={`Unpin ${adapter}@${ref}`}
    title={`Unpin ${adapter}@${ref}?`}
    explanation="It stays loaded until others need the room. The next request to it after that waits until it is loaded again."
    confirm="Unpin it"
    act={async () => {
      await api.delete(`/api/v1/adapters/${adapter}/pins/${ref}`);
      notify(`${adapter}@${ref} is not pinned any more.`);
      await invalidate(pinsPath);
    }}
  >
    Unpin
  </ConfirmButton>
);
