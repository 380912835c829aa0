import { Button, Group, NativeSelect, Stack, Text, TextInput } from '@mantine/core';
import { type Grant } from '@lowrank/contracts';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { ConfirmButton } from '../../components/confirm-button';
import { DataTable } from '../../components/data-table';
import { Section } from '../../components/section';
import { EmptyState, ErrorState, QueryState } from '../../components/states';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { notify } from '../../lib/notify';
import { apiQuery, invalidate } from '../../lib/query';
import { useMay } from '../../lib/session';
import { type AdapterProps } from './adapter-page';

/** Which other teams may read the adapter. */
export default function AccessView({ adapter, aliases, ownerName }: AdapterProps) {
  const grants = useQuery(apiQuery<{ data: Grant[] }>('/api/v1/grants'));
  const mayGrant = useMay()('grants.write');
  return (
    <>
      <Section title="Who may read it">
        <Text size="sm" mb="sm">
          Everybody in {ownerName}, by their role. Other teams see it where they are let in; they can change
          nothing of it.
        </Text>
        <QueryState query={grants}>
          {({ data }) => {
            const rows = data.filter((one) => one.adapter === adapter.name && one.from === ownerName);
            return rows.length === 0 ? (
              <EmptyState icon="users" title="No other team">
                {mayGrant ? 'Let one read it below.' : 'An admin of your team can let others read it.'}
              </EmptyState>
            ) : (
              <DataTable
                label="Teams that may read it"
                rows={rows}
                rowKey={({ id }) => id}
                columns={[
                  { key: 'to', header: 'Team', cell: ({ to }) => to },
                  { key: 'what', header: 'What', cell: ({ alias }) => alias ?? 'All versions' },
                  {
                    key: 'at',
                    header: 'Since',
                    cell: ({ createdAt }) => <Ago time={createdAt} />,
                    from: 'xs',
                  },
                  ...(mayGrant
                    ? [
                        {
                          key: 'revoke',
                          header: 'Take back',
                          cell: ({ id, to }: Grant) => (
                            <ConfirmButton
                              aria-label={`Take back from ${to}`}
                              title={`Take it back from ${to}?`}
                              explanation={`${to} finds ${adapter.name} no more, at once.`}
                              confirm="Take it back"
                              act={async () => {
                                await api.delete(`/api/v1/grants/${id}`);
                                await invalidate('/api/v1/grants');
                              }}
                            >
                              Take back
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
      {mayGrant && (
        <Section title="Let another team read it">
          <GrantForm adapter={adapter.name} aliases={aliases.map(({ name }) => name)} />
        </Section>
      )}
    </>
  );
}

function GrantForm({ adapter, aliases }: { adapter: string; aliases: string[] }) {
  const [to, setTo] = useState('');
  const [alias, setAlias] = useState('');
  const grant = useMutation({
    mutationFn: () => api.post('/api/v1/grants', { adapter, to: to.trim(), alias: alias || null }),
    onSuccess: async () => {
      notify(`${to} may read ${adapter}.`);
      setTo('');
      await invalidate('/api/v1/grants');
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    grant.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Group align="end" gap="sm">
          <TextInput
            label="Team"
            description="By its name."
            value={to}
            onChange={({ currentTarget: { value } }) => setTo(value)}
            required
          />
          <NativeSelect
            label="What"
            description="An alias shows what it stands on."
            value={alias}
            onChange={({ currentTarget: { value } }) => setAlias(value)}
            data={[{ value: '', label: 'All versions' }, ...aliases]}
          />
          <Button type="submit" loading={grant.isPending}>
            Let them read it
          </Button>
        </Group>
        {grant.error !== null && <ErrorState error={grant.error} />}
      </Stack>
    </form>
  );
}
