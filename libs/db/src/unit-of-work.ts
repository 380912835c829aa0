import { PrismaPg } from '@prisma/adapter-pg';
import { type Repositories, type UnitOfWork } from '@lowrank/domain';
import { setTimeout as sleep } from 'node:timers/promises';
import { withAdvisoryLock } from './advisory-lock';
import { isSerializationFailure, translated } from './errors';
import { PrismaClient } from './generated/client';
import { adapterRepository } from './repositories/adapters';
import { apiKeyRepository } from './repositories/api-keys';
import { baseModelRepository } from './repositories/base-models';
import { datasetRepository } from './repositories/datasets';
import { jobRepository } from './repositories/jobs';
import { outboxRepository } from './repositories/outbox';
import { workerRepository } from './repositories/workers';
import { type Tx } from './values';

const defaultConnections = 10;
/** Longest that a transaction waits for a connection, and that it may take. */
const maxWaitMs = 10_000;
const timeoutMs = 20_000;
/** A process that is frozen inside a transaction loses it, and its locks, after this time. */
const idleInTransactionMs = 30_000;
const attempts = 5;

const repositoriesOf = (db: Tx): Repositories => ({
  apiKeys: apiKeyRepository(db),
  baseModels: baseModelRepository(db),
  datasets: datasetRepository(db),
  jobs: jobRepository(db),
  adapters: adapterRepository(db),
  outbox: outboxRepository(db),
  workers: workerRepository(db),
});

/**
 * The repositories on Postgres, with at most `max` connections at a time besides one per `exclusively`. Connects when first used.
 * Errors of all methods: what the repositories say, and store_unavailable when the database does not answer.
 */
export function createUnitOfWork(databaseUrl: string, options: { max?: number } = {}): UnitOfWork {
  const prisma = new PrismaClient({
    adapter: new PrismaPg({
      connectionString: databaseUrl,
      application_name: 'lowrank',
      max: options.max ?? defaultConnections,
      connectionTimeoutMillis: maxWaitMs,
      idle_in_transaction_session_timeout: idleInTransactionMs,
      keepAlive: true,
    }),
    transactionOptions: { maxWait: maxWaitMs, timeout: timeoutMs },
  });

  return {
    async run(work) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await prisma.$transaction((db) => work(repositoriesOf(db)));
        } catch (error) {
          if (attempt >= attempts || !isSerializationFailure(error)) throw translated(error);
          await sleep(2 ** attempt * 5 * (0.5 + Math.random()));
        }
      }
    },

    async exclusively(lock, work) {
      try {
        return await withAdvisoryLock(databaseUrl, lock, work);
      } catch (error) {
        throw translated(error);
      }
    },

    async ping() {
      try {
        await prisma.$queryRaw`SELECT 1`;
      } catch (error) {
        throw translated(error);
      }
    },

    close: () => prisma.$disconnect(),
  };
}
