import { Button, Checkbox, Group, SimpleGrid, Stack, Switch, Text, TextInput } from '@mantine/core';
import { type Webhook, webhookEventTypes } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useState } from 'react';
import { ConfirmButton } from '../../components/confirm-button';
import { DataTable } from '../../components/data-table';
import { PageHeader } from '../../components/page-header';
import { SecretOnce } from '../../components/secret-once';
import { Section } from '../../components/section';
import { EmptyState, ErrorState, QueryState } from '../../components/states';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { notify, notifyError } from '../../lib/notify';
import { apiQuery, invalidate } from '../../lib/query';
import { useMay } from '../../lib/session';
import { fieldOf, useFormAction } from '../../lib/use-form-action';
import { Deliveries } from './deliveries';

const path = '/api/v1/webhooks';
const route = getRouteApi('/shell/admin/webhooks');

/** Which URLs are told of the team's jobs, and what became of each delivery. */
export function WebhooksPage() {
  const { webhook, state } = route.useSearch();
  const navigate = route.useNavigate();
  const webhooks = useQuery(apiQuery<{ data: Webhook[] }>(path));
  const mayWrite = useMay()('webhooks.write');
  const [secret, setSecret] = useState<{ url: string; secret: string } | null>(null);
  const shown = webhooks.data?.data.find(({ id }) => id === webhook);
  return (
    <>
      <PageHeader
        title="Webhooks"
        description="URLs that are told of your team's jobs as they move. Deliveries are signed, and tried again."
      />
      <Stack gap="md">
        {secret !== null && (
          <SecretOnce
            title={`Deliveries to ${secret.url} are signed with this`}
            secret={secret.secret}
            label="the secret of the webhook"
          />
        )}
        <Section title="Webhooks">
          <QueryState query={webhooks}>
            {({ data }) =>
              data.length === 0 ? (
                <EmptyState icon="bell" title="No webhooks">
                  Nobody is told. Make one below: it gets a POST at every move that you choose.
                </EmptyState>
              ) : (
                <List webhooks={data} mayWrite={mayWrite} onSecret={setSecret} />
              )
            }
          </QueryState>
        </Section>
        {shown !== undefined && (
          <Deliveries
            key={shown.id}
            webhook={shown}
            state={state}
            mayWrite={mayWrite}
            onState={(next) =>
              void navigate({ search: (before) => ({ ...before, state: next }), replace: true })
            }
          />
        )}
        {/* Once it is known whether deliveries come before it. */}
        {mayWrite && !webhooks.isPending && <NewWebhook onMade={setSecret} />}
      </Stack>
    </>
  );
}

interface ListProps {
  webhooks: Webhook[];
  mayWrite: boolean;
  onSecret: (secret: { url: string; secret: string }) => void;
}

function List({ webhooks, mayWrite, onSecret }: ListProps) {
  const enable = async ({ id, url }: Webhook, enabled: boolean) => {
    try {
      await api.patch(`${path}/${id}`, { enabled });
      notify(`${url} ${enabled ? 'is told again' : 'is told nothing; what is due waits'}.`);
    } catch (error) {
      notifyError(error);
    }
    await invalidate(path);
  };
  const test = async ({ id }: Webhook) => {
    try {
      await api.post(`${path}/${id}/test`);
      notify('A test is on its way; see its deliveries.');
    } catch (error) {
      notifyError(error);
    }
    await invalidate(path);
  };
  return (
    <DataTable
      label="Webhooks"
      rows={webhooks}
      rowKey={({ id }) => id}
      columns={[
        {
          key: 'url',
          header: 'URL',
          width: 180,
          cell: ({ id, url }) => (
            <Link
              to="/admin/webhooks"
              search={{ webhook: id }}
              className="row-link wrap-anywhere"
              title="Its deliveries"
            >
              {url}
            </Link>
          ),
        },
        {
          key: 'events',
          header: 'Events',
          from: 'md',
          cell: ({ events }) => (events.length === webhookEventTypes.length ? 'all' : events.join(', ')),
        },
        { key: 'at', header: 'Made', from: 'sm', cell: ({ createdAt }) => <Ago time={createdAt} /> },
        {
          key: 'enabled',
          header: 'Told',
          cell: (webhook) => (
            <Switch
              aria-label={`Tell ${webhook.url}`}
              checked={webhook.enabled}
              disabled={!mayWrite}
              onChange={({ currentTarget: { checked } }) => void enable(webhook, checked)}
            />
          ),
        },
        ...(mayWrite
          ? [
              {
                key: 'actions',
                header: 'Actions',
                cell: (webhook: Webhook) => (
                  <Group gap={6} wrap="nowrap">
                    <Button
                      size="xs"
                      variant="default"
                      aria-label={`Test ${webhook.url}`}
                      onClick={() => void test(webhook)}
                    >
                      Test
                    </Button>
                    <ConfirmButton
                      aria-label={`New secret for ${webhook.url}`}
                      title="Change its secret?"
                      explanation="For a day deliveries are signed with both. A second change drops the first secret at once, as for one that has leaked."
                      confirm="Change it"
                      act={async () => {
                        const made = await api.post<Webhook & { secret: string }>(
                          `${path}/${webhook.id}/rotate-secret`,
                        );
                        onSecret(made);
                      }}
                    >
                      New secret
                    </ConfirmButton>
                    <ConfirmButton
                      aria-label={`Delete ${webhook.url}`}
                      title="Delete the webhook?"
                      explanation={`${webhook.url} is told nothing any more, also of what it has yet to get.`}
                      confirm="Delete it"
                      act={async () => {
                        await api.delete(`${path}/${webhook.id}`);
                        notify('It is deleted.');
                        await invalidate(path);
                      }}
                    >
                      Delete
                    </ConfirmButton>
                  </Group>
                ),
              },
            ]
          : []),
      ]}
    />
  );
}

function NewWebhook({ onMade }: { onMade: (made: { url: string; secret: string }) => void }) {
  const [isNarrow, setNarrow] = useState(false);
  const { isBusy, error, onSubmit } = useFormAction(async (form) => {
    const made = await api.post<Webhook & { secret: string }>(path, {
      url: fieldOf(form, 'url'),
      ...(isNarrow ? { events: form.getAll('events').map(String) } : {}),
    });
    onMade(made);
    await invalidate(path);
  });
  return (
    <Section title="New webhook">
      <form onSubmit={(event) => void onSubmit(event)}>
        <Stack>
          <Group align="end" gap="sm">
            <TextInput
              name="url"
              type="url"
              label="URL"
              placeholder="https://hooks.example/lowrank"
              required
              style={{ flex: '1 1 240px' }}
              maw={520}
            />
            <Button type="submit" loading={isBusy}>
              Make it
            </Button>
          </Group>
          <Checkbox
            label="Tell it of some events only"
            checked={isNarrow}
            onChange={({ currentTarget: { checked } }) => setNarrow(checked)}
          />
          {isNarrow && (
            <fieldset style={{ border: 0, padding: 0, margin: 0 }}>
              <Text component="legend" size="sm" fw={500} mb="xs">
                Events
              </Text>
              <SimpleGrid cols={{ base: 2, sm: 4 }} spacing="xs">
                {webhookEventTypes.map((type) => (
                  <Checkbox key={type} name="events" value={type} label={type} />
                ))}
              </SimpleGrid>
            </fieldset>
          )}
          {error !== null && <ErrorState error={error} />}
        </Stack>
      </form>
    </Section>
  );
}
