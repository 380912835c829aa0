import { Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { PageHeader } from '../../components/page-header';
import { PinList, pinsQuery } from '../../components/pins/pin-list';
import { EmptyState, QueryState } from '../../components/states';
import { formatBytes, formatCount } from '../../lib/format';

/** All adapters of the team that servers keep loaded, and the memory that they take. */
export function PinsPage() {
  const pins = useQuery(pinsQuery);
  return (
    <>
      <PageHeader
        title="Pinned adapters"
        description="What servers keep loaded, whatever else is asked for."
      />
      <QueryState query={pins}>
        {({ data }) => {
          const loaded = data.filter(({ state }) => state === 'loaded');
          // A version that several names stand for is in memory once.
          const bytes = new Map(loaded.map((pin) => [`${pin.adapter}@v${pin.version}`, pin.bytes]));
          return data.length === 0 ? (
            <EmptyState icon="pin" title="Nothing is pinned">
              An adapter is loaded when it is first asked for, and leaves when others need the room. One that
              is pinned stays. Admins pin versions and aliases on the page of an adapter, under “Use it”.
            </EmptyState>
          ) : (
            <Stack gap="sm">
              <PinList pins={data} withAdapter />
              <Text size="sm" c="dimmed">
                {formatCount(loaded.length)} of {formatCount(data.length)} loaded,{' '}
                {formatBytes([...bytes.values()].reduce((sum, one) => sum + one, 0))} together, without the
                base models that they need.
              </Text>
            </Stack>
          );
        }}
      </QueryState>
    </>
  );
}
