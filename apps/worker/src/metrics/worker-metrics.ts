import { type JobMetric } from '@lowrank/contracts';
import { type DeliveryOutcome, type JobRecord } from '@lowrank/domain';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** How attempts end, besides the ends that a trainer reports; see AttemptEnd. */
type Outcome = string;

/** What one attempt tells of itself. */
export interface AttemptMeter {
  plan(resumedFromStep: number): void;
  metric(metric: JobMetric, trainedTokens: number): void;
}

/** The numbers of one worker, for Prometheus. No label ever has a job's, a team's or a user's word as its value. */
export class WorkerMetrics {
  readonly registry = new Registry();
  /** Tokens a second of every attempt that trains. */
  private readonly speeds = new Map<object, number>();
  private readonly registers = [this.registry];

  private readonly attempts = new Counter({
    name: 'lowrank_attempts_total',
    help: 'Attempts that have ended, by how.',
    labelNames: ['outcome'],
    registers: this.registers,
  });
  private readonly running = new Gauge({
    name: 'lowrank_attempts_running',
    help: 'Attempts that run.',
    registers: this.registers,
  });
  private readonly dispatchLatency = new Histogram({
    name: 'lowrank_dispatch_latency_seconds',
    help: 'From when a job could have started to the start of its attempt.',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43_200],
    registers: this.registers,
  });
  private readonly tokens = new Counter({
    name: 'lowrank_trained_tokens_total',
    help: 'Tokens trained on.',
    registers: this.registers,
  });
  private readonly stepSeconds = new Histogram({
    name: 'lowrank_training_step_seconds',
    help: 'Time of an optimizer step.',
    buckets: [0.001, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000],
    registers: this.registers,
  });
  private readonly dispatching = new Gauge({
    name: 'lowrank_dispatcher',
    help: '1 while this worker is the dispatcher.',
    registers: this.registers,
  });

  private readonly deliveries = new Counter({
    name: 'lowrank_webhook_deliveries_total',
    help: 'Tries to deliver to webhooks, by how they went.',
    labelNames: ['outcome'],
    registers: this.registers,
  });
  private readonly deliverySeconds = new Histogram({
    name: 'lowrank_webhook_delivery_duration_seconds',
    help: 'Time of such a try.',
    buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    registers: this.registers,
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    const { speeds } = this;
    new Gauge({
      name: 'lowrank_training_tokens_per_second',
      help: 'Tokens a second of the last step, summed over the attempts that train.',
      registers: this.registers,
      collect() {
        this.set([...speeds.values()].reduce((sum, speed) => sum + speed, 0));
      },
    });
  }

  setDispatching(active: boolean): void {
    this.dispatching.set(Number(active));
  }

  countDelivery(outcome: DeliveryOutcome, seconds: number): void {
    this.deliveries.inc({ outcome });
    this.deliverySeconds.observe(seconds);
  }

  /** Counts an attempt that was just claimed; `work` runs it and resolves to how it ended. */
  async attempt<End extends Outcome>(
    { queuedAt, notBefore, attemptStartedAt }: Pick<JobRecord, 'queuedAt' | 'notBefore' | 'attemptStartedAt'>,
    work: (meter: AttemptMeter) => Promise<End>,
  ): Promise<End> {
    const ready = Math.max(Date.parse(queuedAt), notBefore === null ? 0 : Date.parse(notBefore));
    const waited = attemptStartedAt === null ? 0 : (Date.parse(attemptStartedAt) - ready) / 1000;
    this.dispatchLatency.observe(Math.max(0, waited));
    this.running.inc();
    const meter = this.meter();
    let end: Outcome = 'unsettled';
    try {
      return (end = await work(meter)) as End;
    } finally {
      this.speeds.delete(meter);
      this.running.dec();
      this.attempts.inc({ outcome: end });
    }
  }

  private meter(): AttemptMeter {
    /** Tokens before the next step; unknown after a resumption until one step was seen. */
    let before: number | null = null;
    const meter: AttemptMeter = {
      plan: (resumedFromStep) => {
        before = resumedFromStep === 0 ? 0 : null;
      },
      metric: ({ kind, tokensPerSecond }, trainedTokens) => {
        if (kind !== 'train') return;
        const tokens = before === null ? 0 : trainedTokens - before;
        before = trainedTokens;
        if (tokensPerSecond === null || tokensPerSecond <= 0) return;
        this.speeds.set(meter, tokensPerSecond);
        if (tokens <= 0) return;
        this.tokens.inc(tokens);
        this.stepSeconds.observe(tokens / tokensPerSecond);
      },
    };
    return meter;
  }
}
