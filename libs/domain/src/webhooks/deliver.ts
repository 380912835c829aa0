import { after } from '../clock-and-ids';
import { type Ports } from '../ports';
import { type DeliveryPatch, type DueDelivery } from '../ports/webhooks';
import { signedHeaders } from './signature';

/** Sends a signed body; resolves to the HTTP status, rejects when there was no answer. */
export type SendWebhook = (url: string, headers: Record<string, string>, body: string) => Promise<number>;

export type DeliveryOutcome = 'delivered' | 'retried' | 'dead';

/** Tries after which a delivery is dead: some eight hours after the first. */
export const maxDeliveryAttempts = 8;
const firstPauseMs = 5000;
const pauseFactor = 4;

/** Pause after the n-th try, from 1: 5 s, 20 s, 80 s, …, 6 h, each between 80 and 120 % by `chance` from 0 to 1. */
export const deliveryPauseMs = (attempts: number, chance: number): number =>
  firstPauseMs * pauseFactor ** (attempts - 1) * (0.8 + 0.4 * chance);

/**
 * Tries one delivery that was claimed and writes down how it went: delivered after a 2xx; else due again after a pause, or dead. At
 * least once: an answer that comes, or is written down, too late is no answer, and the receiver gets the same `webhook-id` again.
 */
export async function deliverWebhook(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  send: SendWebhook,
  { id, url, secrets, body, attempts }: DueDelivery,
  chance = Math.random(),
): Promise<DeliveryOutcome> {
  const seconds = Math.floor(Date.parse(clock.now()) / 1000);
  const headers = {
    ...signedHeaders(secrets, id, seconds, body),
    'content-type': 'application/json',
    'user-agent': 'Lowrank-Webhooks/1',
  };
  let lastStatus: number | null = null;
  let lastError: string | null = null;
  try {
    lastStatus = await send(url, headers, body);
    const isRedirect = lastStatus >= 300 && lastStatus < 400;
    if (lastStatus < 200 || lastStatus > 299)
      lastError = `The answer was ${lastStatus}${isRedirect ? '; redirects are not followed' : ''}.`;
  } catch (error) {
    lastError = (error instanceof Error ? error.message || error.name : String(error)).slice(0, 500);
  }
  const now = clock.now();
  const outcome: DeliveryOutcome =
    lastError === null ? 'delivered' : attempts >= maxDeliveryAttempts ? 'dead' : 'retried';
  const isOver = outcome !== 'retried';
  const patch: DeliveryPatch = {
    ...{ lastStatus, lastError },
    state: outcome === 'retried' ? 'pending' : outcome,
    nextAttemptAt: isOver ? null : after(now, deliveryPauseMs(attempts, chance)),
    finishedAt: isOver ? now : null,
  };
  await unitOfWork.run(({ webhooks }) => webhooks.settle(id, attempts, patch));
  return outcome;
}
