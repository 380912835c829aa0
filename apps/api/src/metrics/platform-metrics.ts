import { type Overview, overviewOf, type Ports } from '@lowrank/domain';
import { Gauge, type Registry } from 'prom-client';

/** Several scrapers, and several gauges of one scrape, share one look at Postgres. */
const freshMs = 5000;

/** Gauges of what Postgres says of the whole installation; every API process says the same. They are read when they are scraped. */
export function measurePlatform(ports: Pick<Ports, 'unitOfWork' | 'clock'>, registry: Registry): void {
  let last: { at: number; overview: Promise<Overview> } | null = null;
  const look = () => {
    const now = performance.now();
    if (last === null || now - last.at > freshMs) last = { at: now, overview: overviewOf(ports) };
    return last.overview;
  };
  const gauge = (
    name: string,
    help: string,
    labelNames: string[],
    collect: (gauge: Gauge, seen: Overview) => void,
  ) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      async collect() {
        this.reset();
        collect(this, await look());
      },
    });

  gauge('lowrank_jobs', 'Jobs by state.', ['state'], (self, { jobs }) => {
    for (const { state, count } of jobs) self.set({ state }, count);
  });
  gauge(
    'lowrank_queue_depth',
    'Jobs that wait, by the device class that they ask for.',
    ['device_class'],
    (self, { queued }) => {
      for (const { deviceClass, count } of queued) self.set({ device_class: deviceClass }, count);
    },
  );
  gauge('lowrank_workers', 'Workers seen within the last minute.', ['device_class'], (self, { workers }) => {
    for (const { deviceClass, workers: count } of workers) self.set({ device_class: deviceClass }, count);
  });
  gauge(
    'lowrank_failed_workers',
    'Workers of those that are drained because their device failed.',
    ['device_class'],
    (self, { workers }) => {
      for (const { deviceClass, failed } of workers) self.set({ device_class: deviceClass }, failed);
    },
  );
  gauge(
    'lowrank_slots',
    'Slots of those workers: held by a job, or free.',
    ['device_class', 'state'],
    (self, { workers }) => {
      for (const { deviceClass, slots, busy } of workers) {
        self.set({ device_class: deviceClass, state: 'busy' }, busy);
        self.set({ device_class: deviceClass, state: 'free' }, Math.max(0, slots - busy));
      }
    },
  );
  gauge('lowrank_outbox_entries', 'Rows that the dispatcher has yet to carry.', [], (self, { outbox }) =>
    self.set(outbox.entries),
  );
  gauge('lowrank_outbox_lag_seconds', 'Age of the oldest of them.', [], (self, { outbox }) =>
    self.set(outbox.lagSeconds),
  );
}
