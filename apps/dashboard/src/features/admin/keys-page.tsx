import { Button, Checkbox, Group, NativeSelect, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import { type ApiKey, type Member } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { ConfirmButton } from '../../components/confirm-button';
import { DataTable } from '../../components/data-table';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { EmptyState, ErrorState, QueryState } from '../../components/states';
import { TagBadge } from '../../components/tag-badge';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { notify } from '../../lib/notify';
import { apiQuery, invalidate } from '../../lib/query';
import { useMay, useSession } from '../../lib/session';
import { RoleSelect } from './role-select';
import { SecretOnce } from './secret-once';
import { fieldOf, useFormAction } from './use-form-action';

/** What a key can be narrowed to; writing includes reading. */
const areas = [
  'jobs',
  'datasets',
  'base-models',
  'adapters',
  'team',
  'keys',
  'webhooks',
  'platform',
] as const;
const lifetimes = [
  { value: '', label: 'Never' },
  { value: '7', label: 'In a week' },
  { value: '30', label: 'In 30 days' },
  { value: '90', label: 'In 90 days' },
  { value: '365', label: 'In a year' },
];

/** The team's API keys: making one, whose secret is shown once, and revoking. */
export function KeysPage() {
  const may = useMay();
  return (
    <>
      <PageHeader
        title="API keys"
        description="What programs, the CLI and other clients prove themselves by."
      />
      <Stack gap="md">
        {may('keys.write') && <NewKey />}
        <KeyList />
      </Stack>
    </>
  );
}

function NewKey() {
  const { principal } = useSession();
  const members = useQuery(apiQuery<{ data: Member[] }>('/api/v1/members'));
  const services = members.data?.data.filter(({ isService }) => isService) ?? [];
  const [isNarrow, setNarrow] = useState(false);
  const [made, setMade] = useState<(ApiKey & { secret: string }) | null>(null);
  const { isBusy, error, onSubmit } = useFormAction(async (form) => {
    const days = fieldOf(form, 'expires');
    const service = fieldOf(form, 'service');
    setMade(
      await api.post('/api/v1/keys', {
        name: fieldOf(form, 'name'),
        role: fieldOf(form, 'role'),
        scopes: isNarrow ? form.getAll('scopes').map(String) : null,
        expiresAt: days === '' ? null : new Date(Date.now() + Number(days) * 86_400_000).toISOString(),
        ...(service === '' ? {} : { serviceAccount: service }),
      }),
    );
    await invalidate('/api/v1/keys');
  });
  return (
    <Section title="New key">
      <form onSubmit={(event) => void onSubmit(event)}>
        <Stack>
          <Group align="end" gap="sm">
            <TextInput
              name="name"
              label="Name"
              placeholder="ci"
              required
              maxLength={64}
              style={{ flex: '1 1 160px' }}
              maw={280}
            />
            <RoleSelect highest={principal.role} />
            <NativeSelect name="expires" label="Expires" data={lifetimes} />
            {services.length > 0 && (
              <NativeSelect
                name="service"
                label="For"
                data={[
                  { value: '', label: 'Me' },
                  ...services.map(({ id, name }) => ({ value: id, label: name })),
                ]}
              />
            )}
            <Button type="submit" loading={isBusy}>
              Make a key
            </Button>
          </Group>
          <Checkbox
            label="Narrow it to parts of what its role may do"
            checked={isNarrow}
            onChange={({ currentTarget: { checked } }) => setNarrow(checked)}
          />
          {isNarrow && <Scopes />}
          {error !== null && <ErrorState error={error} />}
          {made !== null && (
            <SecretOnce
              title={`Key ${made.name}`}
              secret={made.secret}
              label={`the secret of ${made.name}`}
            />
          )}
        </Stack>
      </form>
    </Section>
  );
}

function Scopes() {
  return (
    <fieldset style={{ border: 0, padding: 0, margin: 0 }}>
      <Text component="legend" size="sm" fw={500} mb="xs">
        Scopes
      </Text>
      <SimpleGrid cols={{ base: 2, sm: 4 }} spacing="xs">
        {areas.flatMap((area) =>
          (['read', 'write'] as const).map((verb) => (
            <Checkbox
              key={`${area}:${verb}`}
              name="scopes"
              value={`${area}:${verb}`}
              label={`${area}:${verb}`}
            />
          )),
        )}
        <Checkbox name="scopes" value="audit:read" label="audit:read" />
      </SimpleGrid>
    </fieldset>
  );
}

/** Whether a key still opens something. */
function stateOf({ revokedAt, expiresAt }: ApiKey, now: number): 'in use' | 'revoked' | 'expired' {
  if (revokedAt !== null) return 'revoked';
  return expiresAt !== null && Date.parse(expiresAt) <= now ? 'expired' : 'in use';
}

function KeyList() {
  const keys = useQuery(apiQuery<{ data: ApiKey[] }>('/api/v1/keys'));
  const { session } = useSession();
  const mayWrite = useMay()('keys.write');
  const [isAll, setAll] = useState(false);
  const [now] = useState(() => Date.now());
  return (
    <Section
      title="Keys"
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
              label="API keys"
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
                                await api.delete(`/api/v1/keys/${key.id}`);
                                notify(`${key.name} is revoked.`);
                                await invalidate('/api/v1/keys');
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
