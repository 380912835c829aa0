import { Button, Text } from '@mantine/core';
import {
  type Webhook,
  type WebhookDelivery,
  type WebhookDeliveryState,
  webhookDeliveryStates,
} from '@lowrank/contracts';
import { useInfiniteQuery } from '@tanstack/react-query';
import { Choice } from '../../components/choice';
import { DataTable } from '../../components/data-table';
import { Section } from '../../components/section';
import { EmptyState, QueryState } from '../../components/states';
import { TagBadge } from '../../components/tag-badge';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { notify, notifyError } from '../../lib/notify';
import { apiPages, invalidate } from '../../lib/query';

interface DeliveriesProps {
  webhook: Webhook;
  state: WebhookDeliveryState | undefined;
  onState: (state: WebhookDeliveryState | undefined) => void;
  mayWrite: boolean;
}

const colors: Record<WebhookDeliveryState, string> = { pending: 'blue', delivered: 'green', dead: 'red' };

/** What a webhook was told, has yet to be told, and could not be. */
export function Deliveries({ webhook, state, onState, mayWrite }: DeliveriesProps) {
  const path = `/api/v1/webhooks/${webhook.id}/deliveries`;
  const deliveries = useInfiniteQuery({
    ...apiPages<WebhookDelivery>(path, { state, limit: 50 }),
    refetchInterval: 5000,
  });
  const rows = deliveries.data?.pages.flatMap(({ data }) => data) ?? [];
  const replay = async ({ id }: WebhookDelivery) => {
    try {
      await api.post(`${path}/${id}/replay`);
      notify('It is tried again.');
    } catch (error) {
      notifyError(error);
    }
    await invalidate(path);
  };
  return (
    <Section
      title={`Deliveries to ${webhook.url}`}
      aside={
        <Choice
          aria-label="State"
          none="any state"
          data={webhookDeliveryStates}
          value={state}
          onChange={onState}
          w={140}
        />
      }
    >
      <QueryState query={deliveries}>
        {() =>
          rows.length === 0 ? (
            <EmptyState icon="bell" title={state === undefined ? 'Nothing yet' : `None is ${state}`}>
              Deliveries that are over are kept for 14 days.
            </EmptyState>
          ) : (
            <DataTable
              label="Deliveries"
              rows={rows}
              rowKey={({ id }) => id}
              more={{
                hasMore: deliveries.hasNextPage,
                isLoading: deliveries.isFetchingNextPage,
                load: () => void deliveries.fetchNextPage(),
              }}
              columns={[
                { key: 'type', header: 'Event', cell: ({ type }) => type },
                {
                  key: 'state',
                  header: 'State',
                  cell: (one) => <TagBadge color={colors[one.state]}>{one.state}</TagBadge>,
                },
                { key: 'tries', header: 'Tries', align: 'right', cell: ({ attempts }) => attempts },
                {
                  key: 'last',
                  header: 'Last answer',
                  from: 'sm',
                  cell: ({ lastStatus, lastError }) => (
                    <Text size="sm" className="wrap-anywhere" maw={320}>
                      {lastStatus} {lastError}
                    </Text>
                  ),
                },
                {
                  key: 'next',
                  header: 'Next try',
                  from: 'md',
                  cell: ({ nextAttemptAt }) => (nextAttemptAt === null ? '–' : <Ago time={nextAttemptAt} />),
                },
                { key: 'at', header: 'Since', from: 'xs', cell: ({ createdAt }) => <Ago time={createdAt} /> },
                ...(mayWrite
                  ? [
                      {
                        key: 'replay',
                        header: 'Retry',
                        cell: (delivery: WebhookDelivery) =>
                          delivery.state !== 'pending' && (
                            <Button
                              size="xs"
                              variant="default"
                              aria-label={`Retry ${delivery.type}`}
                              onClick={() => void replay(delivery)}
                            >
                              Retry
                            </Button>
                          ),
                      },
                    ]
                  : []),
              ]}
            />
          )
        }
      </QueryState>
    </Section>
  );
}
