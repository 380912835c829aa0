import { locks, type OutboxRepository } from '../ports/outbox';
import { refuseUnless } from './rows';
import { type Tables } from './tables';

export const outboxOf = (tables: Tables): OutboxRepository => ({
  add: async (...wakeUps) =>
    wakeUps.map((wakeUp) => {
      refuseUnless(
        tables.jobs.some((job) => job.id === wakeUp.jobId),
        'job',
      );
      const id = String(tables.sequence++);
      tables.outbox.push({ id, wakeUp, at: new Date().toISOString() });
      if (wakeUp.workerId === null) tables.told.push(locks.dispatcher);
      return { id, wakeUp };
    }),
  take: async (limit) => tables.outbox.slice(0, limit).map(({ id, wakeUp }) => ({ id, wakeUp })),
  remove: async (ids) => {
    tables.outbox = tables.outbox.filter((entry) => !ids.includes(entry.id));
  },
  removeNews: async () => {
    tables.outbox = tables.outbox.filter(({ wakeUp }) => wakeUp.workerId !== null);
  },
});
