import { type Tokens } from '@lowrank/contracts';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type MeterEvents } from './generation/meter';
import { type Turns } from './generation/turns';
import { type Models } from './models/models';
import { type Pins } from './models/pins';

export type Outcome = 'answered' | 'refused' | 'failed' | 'left';

/** From a cached prompt on a GPU to a long one on a CPU, with a base to load before it. */
const firstTokenBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const tokenBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** What a server tells Prometheus (docs/observability.md). No label has a value that users make up. */
export class ServeMetrics implements MeterEvents {
  readonly registry = new Registry();
  private readonly requests = new Counter({
    name: 'lowrank_serve_requests_total',
    help: 'Requests by kind, and by what became of them.',
    labelNames: ['kind', 'outcome'],
    registers: [this.registry],
  });
  private readonly tokens = new Counter({
    name: 'lowrank_serve_tokens_total',
    help: 'Tokens of prompts, of those the ones that were in the cache already, and of answers.',
    labelNames: ['type'],
    registers: [this.registry],
  });
  private readonly firstToken = new Histogram({
    name: 'lowrank_serve_first_token_seconds',
    help: 'Time from a request to the first token of its answer.',
    buckets: firstTokenBuckets,
    registers: [this.registry],
  });
  private readonly token = new Histogram({
    name: 'lowrank_serve_token_seconds',
    help: 'Time from a token of an answer to the next.',
    buckets: tokenBuckets,
    registers: [this.registry],
  });
  private readonly wait = new Histogram({
    name: 'lowrank_serve_wait_seconds',
    help: 'Time that a request waited for its turn.',
    buckets: firstTokenBuckets,
    registers: [this.registry],
  });

  constructor({ models, pins, turns }: { models: Models; pins: Pins; turns: Turns }) {
    collectDefaultMetrics({ register: this.registry });
    const gauge = (name: string, help: string, labelNames: string[], collect: (self: Gauge) => void) =>
      new Gauge({
        ...{ name, help, labelNames, registers: [this.registry] },
        collect() {
          this.reset();
          collect(this);
        },
      });
    gauge('lowrank_serve_requests', 'Requests that are being answered, or wait.', ['state'], (self) => {
      const { running, waiting } = turns.load;
      self.set({ state: 'running' }, running);
      self.set({ state: 'waiting' }, waiting);
    });
    gauge('lowrank_serve_resident', 'Bases and adapters in memory.', ['kind'], (self) => {
      const { bases, adapters } = models.loaded;
      self.set({ kind: 'base' }, bases);
      self.set({ kind: 'adapter' }, adapters);
    });
    gauge(
      'lowrank_serve_resident_bytes',
      'Memory that bases, with their caches, and adapters take.',
      ['kind'],
      (self) => {
        const { bases, adapters } = models.bytes;
        self.set({ kind: 'base' }, bases);
        self.set({ kind: 'adapter' }, adapters);
      },
    );
    gauge('lowrank_serve_pins', 'Pinned adapters, and those that were to be.', ['state'], (self) => {
      for (const state of ['loaded', 'refused'])
        self.set({ state }, pins.states.filter((one) => one.state === state).length);
    });
    gauge('lowrank_serve_pinned_bytes', 'Memory of pinned adapters and their bases.', [], (self) =>
      self.set(pins.bytes),
    );
    gauge('lowrank_serve_disk_bytes', 'Files of adapters on the disk.', [], (self) =>
      self.set(models.diskBytes),
    );
    gauge(
      'lowrank_serve_cache_pages',
      'Pages for keys and values, of all bases in memory.',
      ['state'],
      (self) => {
        const { used, free } = models.pages;
        self.set({ state: 'used' }, used);
        self.set({ state: 'free' }, free);
      },
    );
    new Counter({
      name: 'lowrank_serve_reread_tokens_total',
      help: 'Tokens of conversations that were taken through a model again while nobody waited, and those of them that prompts have found.',
      labelNames: ['type'],
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc({ type: 'read' }, models.rereads.tokens);
        this.inc({ type: 'reused' }, models.rereads.reused);
      },
    });
    const loads = (name: string, help: string, count: () => Record<string, number>) =>
      new Counter({
        ...{ name, help, labelNames: ['kind'], registers: [this.registry] },
        collect() {
          this.reset();
          for (const [kind, value] of Object.entries(count())) this.inc({ kind }, value);
        },
      });
    loads('lowrank_serve_loads_total', 'Bases and adapters that were opened.', () => models.counts.opened);
    loads(
      'lowrank_serve_evictions_total',
      'Those, and files of adapters, that made room for others.',
      () => models.counts.evicted,
    );
  }

  waited(seconds: number): void {
    this.wait.observe(seconds);
  }

  begun(seconds: number): void {
    this.firstToken.observe(seconds);
  }

  went(seconds: number): void {
    this.token.observe(seconds);
  }

  /** A request has ended. */
  ended(kind: 'chat' | 'text', outcome: Outcome, tokens: Tokens): void {
    this.requests.inc({ kind, outcome });
    for (const [type, count] of Object.entries(tokens)) this.tokens.inc({ type }, count);
  }
}
