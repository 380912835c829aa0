import { randomIds } from '../clock-and-ids';
import { locks } from '../ports/outbox';
import { type Repositories } from '../ports/repositories';
import { byAge, compare, ofTeam, orNull, pageOf, refuseUnless, storable } from './rows';
import { type Tables } from './tables';

type WebhookRow = Tables['webhooks'][number];
type DeliveryRow = Tables['deliveries'][number];

const toWebhook = ({ teamId: _team, secret: _secret, previous: _previous, ...webhook }: WebhookRow) =>
  webhook;
const toDelivery = ({ webhookId: _webhook, teamId: _team, body: _body, ...delivery }: DeliveryRow) =>
  delivery;

export function webhookRepositoryOf(tables: Tables): Repositories['webhooks'] {
  const find = (teamId: string, id: string) => ofTeam(tables.webhooks, teamId).find((one) => one.id === id);
  const push = ({
    body,
    at,
    ...rest
  }: Pick<DeliveryRow, 'webhookId' | 'teamId' | 'type' | 'body'> & { at: string }): DeliveryRow => {
    const row: DeliveryRow = {
      ...{ id: randomIds.make('delivery'), ...rest, body: storable(body) },
      ...{ state: 'pending', attempts: 0, nextAttemptAt: at, createdAt: at },
      ...{ lastStatus: null, lastError: null, finishedAt: null },
    };
    tables.deliveries.push(row);
    tables.told.push(locks.webhooks);
    return row;
  };
  return {
    insert: async (teamId, webhook) => {
      refuseUnless(
        tables.teams.some(({ id }) => id === teamId),
        'team',
      );
      tables.webhooks.push({ ...webhook, teamId });
    },
    find: async (teamId, id) => orNull(find(teamId, id), toWebhook),
    list: async (teamId) =>
      ofTeam(tables.webhooks, teamId)
        .sort((a, b) => byAge(b, a))
        .map(toWebhook),
    change: async (teamId, id, patch) => {
      const webhook = find(teamId, id);
      const given = Object.entries(patch).filter(([, value]) => value !== undefined);
      Object.assign(webhook ?? {}, Object.fromEntries(given));
      return webhook !== undefined;
    },
    rotate: async (teamId, id, secret, previousUntil) => {
      const webhook = find(teamId, id);
      if (webhook)
        Object.assign(webhook, { previous: { secret: webhook.secret, until: previousUntil }, secret });
      return webhook !== undefined;
    },
    remove: async (teamId, id) => {
      const webhook = find(teamId, id);
      tables.webhooks = tables.webhooks.filter((one) => one !== webhook);
      tables.deliveries = tables.deliveries.filter((one) => one.webhookId !== webhook?.id);
      return webhook !== undefined;
    },
    announce: async (teamId, { type, bodies, at }) => {
      for (const { id, enabled, events } of ofTeam(tables.webhooks, teamId)) {
        if (!enabled || !events.includes(type)) continue;
        for (const body of bodies) push({ webhookId: id, teamId, type, body, at });
      }
    },
    deliver: async (webhookId, { type, body, at }) => {
      const { teamId } = tables.webhooks.find(({ id }) => id === webhookId) as WebhookRow;
      return toDelivery(push({ webhookId, teamId, type, body, at }));
    },
    deliveries: async (teamId, webhookId, { state, ...page }) =>
      pageOf(
        ofTeam(tables.deliveries, teamId).filter((one) => one.webhookId === webhookId),
        page,
        toDelivery,
        (one) => !state || one.state === state,
      ),
    replay: async (teamId, webhookId, id, at) => {
      const row = ofTeam(tables.deliveries, teamId).find(
        (one) => one.id === id && one.webhookId === webhookId,
      );
      if (!row) return null;
      Object.assign(row, { state: 'pending', attempts: 0, nextAttemptAt: at, finishedAt: null });
      tables.told.push(locks.webhooks);
      return toDelivery(row);
    },
    claim: async ({ now, until, limit, perWebhook, except }) => {
      const enabled = tables.webhooks.filter((one) => one.enabled && !except.includes(one.id));
      const order = (a: DeliveryRow, b: DeliveryRow) =>
        compare(a.nextAttemptAt ?? '', b.nextAttemptAt ?? '') || compare(a.id, b.id);
      const due = enabled
        .flatMap(({ id }) =>
          tables.deliveries
            .filter(
              (one) => one.webhookId === id && one.state === 'pending' && (one.nextAttemptAt ?? '') <= now,
            )
            .sort(order)
            .slice(0, perWebhook),
        )
        .sort(order)
        .slice(0, limit);
      return due.map((row) => {
        row.attempts += 1;
        row.nextAttemptAt = until;
        const { url, secret, previous } = enabled.find(({ id }) => id === row.webhookId) as WebhookRow;
        const { id, webhookId, body, attempts, createdAt } = row;
        const secrets = previous && previous.until > now ? [secret, previous.secret] : [secret];
        return { id, webhookId, url, secrets, body, attempts, createdAt };
      });
    },
    settle: async (id, attempts, patch) => {
      const row = tables.deliveries.find((one) => one.id === id);
      if (row?.attempts !== attempts || row.state !== 'pending') return false;
      Object.assign(row, patch, { lastError: patch.lastError && storable(patch.lastError) });
      return true;
    },
    purge: async (finishedBefore, limit) => {
      const old = tables.deliveries
        .filter(({ finishedAt }) => finishedAt !== null && finishedAt < finishedBefore)
        .slice(0, limit);
      tables.deliveries = tables.deliveries.filter((one) => !old.includes(one));
      return old.length;
    },
  };
}
