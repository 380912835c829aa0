import {
  type DeliveryType,
  type Page,
  type PageQuery,
  type Webhook,
  type WebhookDelivery,
  type WebhookDeliveryState,
  type WebhookEventType,
} from '@lowrank/contracts';

/** A delivery that is to be tried now, and where to. */
export interface DueDelivery {
  id: string;
  webhookId: string;
  url: string;
  /** What it is signed with: the webhook's secret and, for a while after a change, the one before. */
  secrets: string[];
  body: string;
  /** This try included. */
  attempts: number;
  createdAt: string;
}

/** How a try went. */
export interface DeliveryPatch {
  state: WebhookDeliveryState;
  nextAttemptAt: string | null;
  lastStatus: number | null;
  lastError: string | null;
  finishedAt: string | null;
}

export interface WebhookRepository {
  insert(teamId: string, webhook: Webhook & { secret: string }): Promise<void>;
  find(teamId: string, id: string): Promise<Webhook | null>;
  /** Newest first. */
  list(teamId: string): Promise<Webhook[]>;
  /** Returns false when there is no such webhook. */
  change(
    teamId: string,
    id: string,
    patch: Partial<Pick<Webhook, 'url' | 'events' | 'enabled'>>,
  ): Promise<boolean>;
  /** Gives it a new secret; the one before signs too until `previousUntil`. Returns false when there is no such webhook. */
  rotate(teamId: string, id: string, secret: string, previousUntil: string): Promise<boolean>;
  /** With its deliveries. Returns false when there is no such webhook. */
  remove(teamId: string, id: string): Promise<boolean>;
  /** Makes a delivery of each body for every enabled webhook of the team that wants events of the type, due at once. */
  announce(teamId: string, event: { type: WebhookEventType; bodies: string[]; at: string }): Promise<void>;
  /** Makes a delivery for one webhook, whatever events it wants, due at once. The webhook is there. */
  deliver(
    webhookId: string,
    delivery: { type: DeliveryType; body: string; at: string },
  ): Promise<WebhookDelivery>;
  deliveries(
    teamId: string,
    webhookId: string,
    page: PageQuery & { state?: WebhookDeliveryState },
  ): Promise<Page<WebhookDelivery>>;
  /** Makes a delivery due at `at`, as if it had never been tried. Returns null when there is no such delivery. */
  replay(teamId: string, webhookId: string, id: string, at: string): Promise<WebhookDelivery | null>;
  /**
   * Takes deliveries of enabled webhooks that are due at `now`, at most `perWebhook` of one and none of `except`, counts the try, and
   * makes them due again at `until`, should nobody settle them.
   */
  claim(options: {
    now: string;
    until: string;
    limit: number;
    perWebhook: number;
    except: string[];
  }): Promise<DueDelivery[]>;
  /** Writes only if that was the last try; resolves to false, changing nothing, when it was not. */
  settle(id: string, attempts: number, patch: DeliveryPatch): Promise<boolean>;
  /** Forgets deliveries that were over before that time. */
  purge(finishedBefore: string, limit: number): Promise<number>;
}
