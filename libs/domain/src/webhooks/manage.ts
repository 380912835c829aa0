import {
  type ChangeWebhook,
  type CreateWebhook,
  LowrankError,
  type Page,
  type PageQuery,
  type Webhook,
  type WebhookDelivery,
  type WebhookDeliveryState,
  type WebhookTestPayload,
} from '@lowrank/contracts';
import { after } from '../clock-and-ids';
import { found, notFound } from '../not-found';
import { type Ports } from '../ports';
import { makeWebhookSecret } from './signature';

/** What the audit log says of a URL: the rest of it may be a secret. */
const originOf = (url: string): string => new URL(url).origin;

/** Every move of a job writes a row for each. */
export const maxWebhooks = 20;

/** Makes a webhook. Its secret is returned this once, and kept, since deliveries are signed with it. Error: conflict at the limit. */
export async function createWebhook(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  { url, events }: CreateWebhook,
): Promise<Webhook & { secret: string }> {
  const webhook: Webhook = { id: ids.make('webhook'), url, events, enabled: true, createdAt: clock.now() };
  const secret = makeWebhookSecret();
  await unitOfWork.run(async ({ webhooks, teams, audit }) => {
    await teams.lock(teamId);
    if ((await webhooks.list(teamId)).length >= maxWebhooks)
      throw new LowrankError(
        'conflict',
        `The team has ${maxWebhooks} webhooks, which is the most it can have.`,
      );
    await webhooks.insert(teamId, { ...webhook, secret });
    await audit.add('make', { kind: 'webhook', id: webhook.id, name: originOf(url) }, { events });
  });
  return { ...webhook, secret };
}

/** Error: not_found. */
export function changeWebhook(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  id: string,
  patch: ChangeWebhook,
): Promise<Webhook> {
  const { url, ...rest } = patch;
  return unitOfWork.run(async ({ webhooks, audit }) => {
    if (!(await webhooks.change(teamId, id, patch))) throw notFound('webhook', id);
    const webhook = found(await webhooks.find(teamId, id), 'webhook', id);
    await audit.add(
      'change',
      { kind: 'webhook', id, name: originOf(webhook.url) },
      { ...rest, ...(url && { url: originOf(url) }) },
    );
    return webhook;
  });
}

/** How long the secret before a change signs too: time for the receiver to learn the new one. */
const previousSecretMs = 24 * 3_600_000;

/**
 * Gives a webhook a new secret, which is returned this once. For a day deliveries are signed with the one before too; a second change drops
 * that one. Error: not_found.
 */
export async function rotateWebhookSecret(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string,
  id: string,
): Promise<Webhook & { secret: string }> {
  const secret = makeWebhookSecret();
  const until = after(clock.now(), previousSecretMs);
  return unitOfWork.run(async ({ webhooks, audit }) => {
    if (!(await webhooks.rotate(teamId, id, secret, until))) throw notFound('webhook', id);
    const webhook = found(await webhooks.find(teamId, id), 'webhook', id);
    await audit.add('rotate-secret', { kind: 'webhook', id, name: originOf(webhook.url) });
    return { ...webhook, secret };
  });
}

/** Sends a webhook a delivery of type `webhook.test`, by the way that all take. Errors: not_found; conflict when it is not enabled. */
export async function testWebhook(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string,
  id: string,
): Promise<WebhookDelivery> {
  const at = clock.now();
  return unitOfWork.run(async ({ webhooks, audit }) => {
    const { enabled, url } = found(await webhooks.find(teamId, id), 'webhook', id);
    if (!enabled) throw new LowrankError('conflict', `Webhook ${id} is not enabled: nothing is sent to it.`);
    const payload: WebhookTestPayload = { type: 'webhook.test', timestamp: at, data: { webhookId: id } };
    await audit.add('test', { kind: 'webhook', id, name: originOf(url) });
    return webhooks.deliver(id, { type: payload.type, body: JSON.stringify(payload), at });
  });
}

/** Removes a webhook and what it has yet to get. Error: not_found. */
export async function removeWebhook(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  id: string,
): Promise<void> {
  await unitOfWork.run(async ({ webhooks, audit }) => {
    const { url } = found(await webhooks.find(teamId, id), 'webhook', id);
    await webhooks.remove(teamId, id);
    await audit.add('remove', { kind: 'webhook', id, name: originOf(url) });
  });
}

/** Newest first. Error: not_found. */
export function listDeliveries(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  id: string,
  page: PageQuery & { state?: WebhookDeliveryState },
): Promise<Page<WebhookDelivery>> {
  return unitOfWork.run(async ({ webhooks }) => {
    found(await webhooks.find(teamId, id), 'webhook', id);
    return webhooks.deliveries(teamId, id, page);
  });
}

/** Sends a delivery again, dead or delivered, with all its tries before it. Error: not_found. */
export function replayDelivery(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string,
  webhookId: string,
  id: string,
): Promise<WebhookDelivery> {
  const at = clock.now();
  return unitOfWork.run(async ({ webhooks, audit }) => {
    const delivery = found(await webhooks.replay(teamId, webhookId, id, at), 'delivery', id);
    await audit.add('replay', { kind: 'webhook', id: webhookId }, { delivery: id });
    return delivery;
  });
}
