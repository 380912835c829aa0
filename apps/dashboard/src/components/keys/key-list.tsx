import { Checkbox, Group } from '@mantine/core';
import { type ApiKey } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../lib/api';
import { notify } from '../../lib/notify';
import { apiQuery, invalidate } from '../../lib/query';
import { useSession } from '../../lib/session';
import { ConfirmButton } from '../confirm-button';
import { DataTable } from '../data-table';
import { Section } from '../section';
import { EmptyState, QueryState } from '../states';
import { TagBadge } from '../tag-badge';
import { Ago } from '../time';

/** Whether a key still opens something. */
function stateOf({ revokedAt, expiresAt }: ApiKey, now: number): 'in use' | 'revoked' | 'expired' {
  if (revokedAt !== null) return 'revoked';
  return expiresAt !== null && Date.parse(expiresAt) <= now ? 'expired' : 'in use';
}

interface KeyListProps {
  title: string;
  /** Where keys of this kind are made and listed: `/api/v1/keys`, or one's own. */
  path: string;
  mayWrite: boolean;
}

/** API keys in use, or all that there were; revokes them. */
export function KeyList({ title, path, mayWrite }: KeyListProps) {
  const keys = useQuery(apiQuery<{ data: ApiKey[] }>(path));
  const { session } = useSession();
  const [isAll, setAll] = useState(false);
  const [now] = useState(() => Date.now());
  return (
    <Section
      title={title}
      aside={
        <Checkbox
          size="xs"
          label="Revoked and expired ones too"
          checked={isAll}
          onChange={({ currentTarget: { checked } }) => setAll(checked)}
        />
      }
    >
      <QueryState query={keys}>
        {({ data }) => {
          const rows = data.filter((key) => isAll || stateOf(key, now) === 'in use');
          return rows.length === 0 ? (
            <EmptyState icon="key" title="No keys in use" />
          ) : (
            <DataTable
              label={title}
              rows={rows}
              rowKey={({ id }) => id}
              columns={[
                {
                  key: 'name',
                  header: 'Name',
                  cell: (key) => (
                    <Group gap={6}>
                      {key.name}
                      {session.key?.id === key.id && <TagBadge color="blue">this session</TagBadge>}
                      {stateOf(key, now) !== 'in use' && <TagBadge>{stateOf(key, now)}</TagBadge>}
                    </Group>
                  ),
                },
                { key: 'hint', header: 'Begins with', cell: ({ hint }) => <code>{hint}…</code>, from: 'sm' },
                { key: 'role', header: 'Role', cell: ({ role }) => role },
                {
                  key: 'scopes',
                  header: 'Scopes',
                  from: 'md',
                  cell: ({ scopes }) => (scopes === null ? 'all of its role' : scopes.join(', ')),
                },
                {
                  key: 'created',
                  header: 'Made',
                  cell: ({ createdAt }) => <Ago time={createdAt} />,
                  from: 'sm',
                },
                {
                  key: 'expires',
                  header: 'Expires',
                  from: 'md',
                  cell: ({ expiresAt }) => (expiresAt === null ? 'never' : <Ago time={expiresAt} />),
                },
                ...(mayWrite
                  ? [
                      {
                        key: 'revoke',
                        header: 'Revoke',
                        cell: (key: ApiKey) =>
                          key.revokedAt === null && (
                            <ConfirmButton
                              aria-label={`Revoke ${key.name}`}
                              title={`Revoke ${key.name}?`}
                              explanation="It opens nothing any more, within five seconds, and cannot be made good again."
                              confirm="Revoke it"
                              act={async () => {
                                await api.delete(`${path}/${key.id}`);
                                notify(`${key.name} is revoked.`);
                                await invalidate(path);
                              }}
                            >
                              Revoke
                            </ConfirmButton>
                          ),
                      },
                    ]
                  : []),
              ]}
            />
          );
        }}
      </QueryState>
    </Section>
  );
}
