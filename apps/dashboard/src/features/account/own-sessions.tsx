import { Group, Text } from '@mantine/core';
import { type OwnSession } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { ConfirmButton } from '../../components/confirm-button';
import { DataTable } from '../../components/data-table';
import { Section } from '../../components/section';
import { QueryState } from '../../components/states';
import { TagBadge } from '../../components/tag-badge';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { notify } from '../../lib/notify';
import { apiQuery, invalidate } from '../../lib/query';
import { clientName } from './client-name';

const path = '/api/v1/me/sessions';

/** Where one is signed in, with a way to end each session but this one, or all of those. */
export function OwnSessions({ isKey }: { isKey: boolean }) {
  const sessions = useQuery(apiQuery<{ data: OwnSession[] }>(path));
  const others = sessions.data?.data.filter(({ isCurrent }) => !isCurrent) ?? [];
  const title = isKey ? 'Sessions of the key' : 'Your sessions';
  return (
    <Section
      title={title}
      aside={
        others.length > 0 && (
          <ConfirmButton
            title="End all other sessions?"
            explanation="Every other browser has to sign in again. This one stays signed in."
            confirm="End them"
            act={async () => {
              await api.delete(path);
              notify('Your other sessions are over.');
              await invalidate(path);
            }}
          >
            End all others
          </ConfirmButton>
        )
      }
    >
      <QueryState query={sessions}>
        {({ data }) => (
          <>
            <DataTable
              label={title}
              rows={data}
              rowKey={({ id }) => id}
              columns={[
                {
                  key: 'client',
                  header: 'Signed in with',
                  cell: ({ userAgent, isCurrent }) => (
                    <Group gap={6} title={userAgent ?? undefined}>
                      {clientName(userAgent)}
                      {isCurrent && <TagBadge color="blue">this session</TagBadge>}
                    </Group>
                  ),
                },
                {
                  key: 'address',
                  header: 'From',
                  cell: ({ address }) => address ?? 'unknown',
                  from: 'sm',
                },
                {
                  key: 'created',
                  header: 'Began',
                  cell: ({ createdAt }) => <Ago time={createdAt} />,
                  from: 'sm',
                },
                { key: 'used', header: 'Last used', cell: ({ usedAt }) => <Ago time={usedAt} /> },
                {
                  key: 'over',
                  header: 'Over',
                  cell: ({ expiresAt }) => <Ago time={expiresAt} />,
                  from: 'md',
                },
                {
                  key: 'end',
                  header: 'End',
                  cell: ({ id, userAgent, address, isCurrent }) =>
                    !isCurrent && (
                      <ConfirmButton
                        aria-label={`End the session of ${clientName(userAgent)} from ${address ?? 'unknown'}`}
                        title="End this session?"
                        explanation={`${clientName(userAgent)} from ${address ?? 'an unknown address'} has to sign in again.`}
                        confirm="End it"
                        act={async () => {
                          await api.delete(`${path}/${id}`);
                          notify('The session is over.');
                          await invalidate(path);
                        }}
                      >
                        End
                      </ConfirmButton>
                    ),
                },
              ]}
            />
            {others.length === 0 && (
              <Text size="sm" c="dimmed" mt="sm">
                There is no other session.
              </Text>
            )}
          </>
        )}
      </QueryState>
    </Section>
  );
}
