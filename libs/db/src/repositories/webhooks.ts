import {
  type DeliveryType,
  type Webhook,
  type WebhookDelivery,
  type WebhookDeliveryState,
} from '@lowrank/contracts';
import { type DueDelivery, locks, randomIds, type WebhookRepository } from '@lowrank/domain';
import { Prisma } from '../generated/client';
import { type WebhookDeliveryModel, type WebhookModel } from '../generated/models';
import { tell } from '../news';
import { placed, readPage } from '../paging';
import { dateOrNull, fromJson, iso, isoOrNull, storableText, toJson, type Tx } from '../values';

const toWebhook = ({ id, url, events, enabled, createdAt }: WebhookModel): Webhook => ({
  ...{ id, url, enabled },
  events: fromJson(events),
  createdAt: iso(createdAt),
});

const toDelivery = (row: WebhookDeliveryModel): WebhookDelivery => ({
  id: row.id,
  type: row.type as DeliveryType,
  state: row.state as WebhookDeliveryState,
  attempts: row.attempts,
  nextAttemptAt: isoOrNull(row.nextAttemptAt),
  lastStatus: row.lastStatus,
  lastError: row.lastError,
  createdAt: iso(row.createdAt),
  finishedAt: isoOrNull(row.finishedAt),
});

export const webhookRepository = (db: Tx): WebhookRepository => ({
  async insert(teamId, { events, createdAt, ...webhook }) {
    const columns = { ...webhook, teamId, events: toJson(events), createdAt: new Date(createdAt) };
    await db.webhook.create({ data: columns });
  },

  async find(teamId, id) {
    const row = await db.webhook.findFirst({ where: { teamId, id } });
    return row && toWebhook(row);
  },

  async list(teamId) {
    const orderBy = [{ createdAt: 'desc' } as const, { id: 'desc' } as const];
    return (await db.webhook.findMany({ where: { teamId }, orderBy })).map(toWebhook);
  },

  async change(teamId, id, { events, ...patch }) {
    const data = { ...patch, ...(events === undefined ? {} : { events: toJson(events) }) };
    return (await db.webhook.updateMany({ where: { teamId, id }, data })).count === 1;
  },

  async rotate(teamId, id, secret, previousUntil) {
    const count = await db.$executeRaw`
      UPDATE webhooks
      SET previous_secret = secret, previous_secret_until = ${new Date(previousUntil)}, secret = ${secret}
      WHERE team_id = ${teamId} AND id = ${id}`;
    return count === 1;
  },

  async remove(teamId, id) {
    return (await db.webhook.deleteMany({ where: { teamId, id } })).count === 1;
  },

  async announce(teamId, { type, bodies, at }) {
    const wanting = await db.webhook.findMany({
      where: { teamId, enabled: true, events: { array_contains: [type] } },
      select: { id: true },
    });
    if (wanting.length === 0) return;
    const rest = {
      type,
      state: 'pending',
      createdAt: new Date(at),
      nextAttemptAt: new Date(at),
    };
    await db.webhookDelivery.createMany({
      data: wanting.flatMap(({ id: webhookId }) =>
        bodies.map((body) => ({
          ...{ ...rest, webhookId, body: storableText(body) },
          id: randomIds.make('delivery'),
        })),
      ),
    });
    await tell(db, locks.webhooks);
  },

  async deliver(webhookId, { type, body, at }) {
    const row = await db.webhookDelivery.create({
      data: {
        ...{ id: randomIds.make('delivery'), webhookId, type, body: storableText(body), state: 'pending' },
        ...{ createdAt: new Date(at), nextAttemptAt: new Date(at) },
      },
    });
    await tell(db, locks.webhooks);
    return toDelivery(row);
  },

  deliveries(teamId, webhookId, { state, ...page }) {
    const where = { webhookId, webhook: { teamId } };
    return readPage(
      page,
      (id) => db.webhookDelivery.findFirst({ where: { ...where, id }, select: placed }),
      (older, window) =>
        db.webhookDelivery.findMany({
          where: { ...where, ...(state ? { state } : {}), ...older },
          ...window,
        }),
      toDelivery,
    );
  },

  async replay(teamId, webhookId, id, at) {
    const where = { id, webhookId, webhook: { teamId } };
    const [row] = await db.webhookDelivery.updateManyAndReturn({
      where,
      data: { state: 'pending', attempts: 0, nextAttemptAt: new Date(at), finishedAt: null },
    });
    if (!row) return null;
    await tell(db, locks.webhooks);
    return toDelivery(row);
  },

  async claim({ now, until, limit, perWebhook, except }) {
    const rows = await db.$queryRaw<(Omit<DueDelivery, 'createdAt'> & { createdAt: Date })[]>`
      WITH due AS (
        SELECT first.id FROM webhooks CROSS JOIN LATERAL (
          SELECT id, next_attempt_at FROM webhook_deliveries
          WHERE webhook_id = webhooks.id AND state = 'pending' AND next_attempt_at <= ${new Date(now)}
          ORDER BY next_attempt_at, id LIMIT ${perWebhook}
        ) first
        WHERE webhooks.enabled AND NOT webhooks.id = ANY (${except})
        ORDER BY first.next_attempt_at, first.id LIMIT ${limit}
      )
      UPDATE webhook_deliveries AS delivery
      SET attempts = delivery.attempts + 1, next_attempt_at = ${new Date(until)}
      FROM due, webhooks
      -- Looked at again for the case that another has taken it meanwhile.
      WHERE delivery.id = due.id AND webhooks.id = delivery.webhook_id
        AND delivery.state = 'pending' AND delivery.next_attempt_at <= ${new Date(now)}
      RETURNING delivery.id, delivery.webhook_id AS "webhookId", webhooks.url, delivery.body,
        array_remove(ARRAY[webhooks.secret, CASE WHEN webhooks.previous_secret_until > ${new Date(now)}
          THEN webhooks.previous_secret END], NULL) AS secrets,
        delivery.attempts, delivery.created_at AS "createdAt"`;
    return rows.map((row) => ({ ...row, createdAt: iso(row.createdAt) }));
  },

  async settle(id, attempts, { nextAttemptAt, finishedAt, lastError, ...patch }) {
    const { count } = await db.webhookDelivery.updateMany({
      where: { id, attempts, state: 'pending' },
      data: {
        ...patch,
        lastError: lastError && storableText(lastError),
        nextAttemptAt: dateOrNull(nextAttemptAt),
        finishedAt: dateOrNull(finishedAt),
      },
    });
    return count === 1;
  },

  purge: (finishedBefore, limit) =>
    db.$executeRaw(
      Prisma.sql`DELETE FROM webhook_deliveries WHERE id IN (
        SELECT id FROM webhook_deliveries WHERE finished_at < ${new Date(finishedBefore)} LIMIT ${limit})`,
    ),
});
