import { Logger } from '@nestjs/common';
import {
  after,
  before,
  deliverWebhook,
  type DueDelivery,
  locks,
  type News,
  type Ports,
  type SendWebhook,
} from '@lowrank/domain';
import { type WorkerMetrics } from '../metrics/worker-metrics';
import { messageOf } from '../retry';
import { type Timings } from '../settings';
import { Standby } from '../standby';

export type WebhookTimings = Pick<Timings, 'webhooks' | 'webhookTimeout' | 'webhookKept' | 'standby'>;

/** Deliveries under way at a time, in all and to one webhook, so that one that hangs does not hold up the others. */
const most = 16;
const mostPerWebhook = 4;
const purgeEveryMs = 60_000;
const purgeAtOnce = 1000;

/**
 * Sends what is due to webhooks. Every worker stands by; the one that holds the advisory lock does it. What it was sending when it died
 * is due again when its time is up.
 */
export class WebhookSender {
  private readonly logger = new Logger(WebhookSender.name);
  /** Webhook of every delivery under way. */
  private readonly underWay = new Map<Promise<void>, string>();
  private readonly standby: Standby;

  constructor(
    private readonly ports: Pick<Ports, 'unitOfWork' | 'clock'>,
    private readonly send: SendWebhook,
    private readonly timings: WebhookTimings,
    private readonly metrics: Pick<WorkerMetrics, 'countDelivery'>,
  ) {
    this.standby = new Standby({
      unitOfWork: ports.unitOfWork,
      lock: locks.webhooks,
      pauseMs: () => timings.standby,
      work: async (over, news, alive) => {
        try {
          await this.work(over, news, alive);
        } finally {
          await Promise.all(this.underWay.keys());
        }
      },
      onTrouble: (error) => this.logger.warn(`Webhooks wait for a moment: ${messageOf(error)}`),
    });
  }

  start(): void {
    this.standby.start();
  }

  /** Resolves when nothing is under way any more, which takes no longer than the limit of one try. */
  stop(): Promise<void> {
    return this.standby.stop();
  }

  private async work(over: AbortSignal, news: News, alive: () => void): Promise<void> {
    const { unitOfWork, clock } = this.ports;
    let purgeAt = Date.now() + purgeEveryMs;
    while (!over.aborted) {
      const claimed = await this.claim();
      for (const due of claimed) this.begin(due);
      alive();
      if (Date.now() >= purgeAt) {
        purgeAt = Date.now() + purgeEveryMs;
        const oldest = before(clock.now(), this.timings.webhookKept);
        await unitOfWork.run(({ webhooks }) => webhooks.purge(oldest, purgeAtOnce));
      }
      // With all hands full the next is due when a hand is free.
      if (this.underWay.size >= most) await Promise.race(this.underWay.keys());
      else if (claimed.length === 0) await news.wait(this.timings.webhooks, over);
    }
  }

  private claim(): Promise<DueDelivery[]> {
    const { unitOfWork, clock } = this.ports;
    const now = clock.now();
    const counts = new Map<string, number>();
    for (const webhook of this.underWay.values()) counts.set(webhook, (counts.get(webhook) ?? 0) + 1);
    const busy = Math.max(0, ...counts.values());
    return unitOfWork.run(({ webhooks }) =>
      webhooks.claim({
        now,
        // Long enough for the try and for writing down how it went.
        until: after(now, 2 * this.timings.webhookTimeout + 10_000),
        limit: most - this.underWay.size,
        perWebhook: Math.max(1, mostPerWebhook - busy),
        except: [...counts].filter(([, count]) => count >= mostPerWebhook).map(([webhook]) => webhook),
      }),
    );
  }

  private begin(due: DueDelivery): void {
    const started = performance.now();
    const trying = deliverWebhook(this.ports, this.send, due)
      .then(
        (outcome) => {
          this.metrics.countDelivery(outcome, (performance.now() - started) / 1000);
          if (outcome === 'dead')
            this.logger.warn(
              `Webhook ${due.webhookId}: delivery ${due.id} is dead after ${due.attempts} tries.`,
            );
        },
        (error) => this.logger.warn(`Delivery ${due.id} will be tried again: ${error}`),
      )
      .finally(() => this.underWay.delete(trying));
    this.underWay.set(trying, due.webhookId);
  }
}
