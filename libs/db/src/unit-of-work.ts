import { PrismaPg } from '@prisma/adapter-pg';
import { type Deed, type Repositories, type UnitOfWork } from '@lowrank/domain';
import { setTimeout as sleep } from 'node:timers/promises';
import { sharingAdvisoryLock, withAdvisoryLock } from './advisory-lock';
import { isSerializationFailure, translated } from './errors';
import { type Prisma, PrismaClient } from './generated/client';
import { adapterRepository } from './repositories/adapters';
import { aliasRepository } from './repositories/aliases';
import { apiKeyRepository } from './repositories/api-keys';
import { auditRepository } from './repositories/audit';
import { baseModelRepository } from './repositories/base-models';
import { checkpointRepository } from './repositories/checkpoints';
import { datasetRepository } from './repositories/datasets';
import { grantRepository } from './repositories/grants';
import { estimateRepository } from './repositories/estimates';
import { evaluationRepository, gateRepository } from './repositories/evaluations';
import { exportRepository } from './repositories/exports';
import { attemptRepository, passwordResetRepository } from './repositories/accounts';
import { invitationRepository, memberRepository, sessionRepository } from './repositories/members';
import { jobRepository } from './repositories/jobs';
import { outboxRepository } from './repositories/outbox';
import { partyRepository } from './repositories/parties';
import { pinRepository } from './repositories/pins';
import { statisticsRepository } from './repositories/statistics';
import { retentionRepository } from './repositories/retention';
import { sweepRepository } from './repositories/sweeps';
import { teamRepository } from './repositories/teams';
import { uploadRepository } from './repositories/uploads';
import { usageRepository } from './repositories/usage';
import { webhookRepository } from './repositories/webhooks';
import { workerRepository } from './repositories/workers';
import { statementNames } from './statement-names';
import { seeing, type Sight, TeamClient } from './team-client';
import { type Tx } from './values';

const defaultConnections = 10;
/** Longest that a transaction waits for a connection, and that it may take. */
const maxWaitMs = 10_000;
const timeoutMs = 20_000;
/** A process that is frozen inside a transaction loses it, and its locks, after this time. */
const idleInTransactionMs = 30_000;
const attempts = 5;

const repositoriesOf = (db: Tx, traceparent: string | null, deed: Deed | null): Repositories => ({
  apiKeys: apiKeyRepository(db),
  baseModels: baseModelRepository(db),
  datasets: datasetRepository(db),
  jobs: jobRepository(db, traceparent),
  checkpoints: checkpointRepository(db),
  adapters: adapterRepository(db, deed),
  aliases: aliasRepository(db),
  exports: exportRepository(db),
  estimates: estimateRepository(db),
  evaluations: evaluationRepository(db),
  gates: gateRepository(db),
  pins: pinRepository(db),
  outbox: outboxRepository(db, traceparent),
  teams: teamRepository(db),
  workers: workerRepository(db),
  parties: partyRepository(db),
  statistics: statisticsRepository(db),
  webhooks: webhookRepository(db),
  sweeps: sweepRepository(db),
  audit: auditRepository(db, deed),
  members: memberRepository(db),
  sessions: sessionRepository(db),
  invitations: invitationRepository(db),
  grants: grantRepository(db),
  uploads: uploadRepository(db),
  passwordResets: passwordResetRepository(db),
  attempts: attemptRepository(db),
  retention: retentionRepository(db),
  usage: usageRepository(db),
});

type Work<T> = (repositories: Repositories) => Promise<T>;

export interface UnitOfWorkOptions {
  /** Most connections at a time, 10 unless it is given. */
  max?: number;
  /** How long one statement may take before its connection counts as lost. */
  answerWithinMs?: number;
  /** W3C traceparent of what is being done, kept with the jobs and wake-ups that it makes. */
  traceparent?: () => string | null;
}

/**
 * The repositories on Postgres, with at most `max` connections at a time besides one per `exclusively`. Connects when first used.
 * Errors of all methods: what the repositories say, and store_unavailable when the database does not answer.
 */
export function createUnitOfWork(databaseUrl: string, options: UnitOfWorkOptions = {}): UnitOfWork {
  const { max = defaultConnections, answerWithinMs = timeoutMs, traceparent = () => null } = options;
  const prisma = new PrismaClient({
    adapter: new PrismaPg(
      {
        connectionString: databaseUrl,
        application_name: 'lowrank',
        max,
        Client: TeamClient,
        connectionTimeoutMillis: Math.min(maxWaitMs, answerWithinMs),
        query_timeout: answerWithinMs,
        idle_in_transaction_session_timeout: idleInTransactionMs,
        // Prisma writes and reads times without their offset, as if every server lived in UTC. Statements here are short: compiling one
        // takes hundreds of times as long as it does.
        options: '-c TimeZone=UTC -c jit=off',
        keepAlive: true,
      },
      { statementNameGenerator: statementNames() },
    ),
    // Some kilobytes, of use to whoever asks for that one job or adapter.
    omit: { job: { estimate: true }, adapter: { card: true } },
    transactionOptions: { maxWait: maxWaitMs, timeout: timeoutMs },
  });

  const transaction = async <T>(
    sight: Sight,
    work: (db: Tx) => Promise<T>,
    isolationLevel?: Prisma.TransactionIsolationLevel,
  ): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await seeing(sight, () => prisma.$transaction(work, { isolationLevel }));
      } catch (error) {
        if (attempt >= attempts || !isSerializationFailure(error)) throw translated(error);
        await sleep(2 ** attempt * 5 * (0.5 + Math.random()));
      }
    }
  };

  const exclusively: UnitOfWork['exclusively'] = (lock, work) => withAdvisoryLock(databaseUrl, lock, work);
  const ping = async (): Promise<string> => {
    try {
      const [row] = await prisma.$queryRaw<{ now: Date }[]>`SELECT clock_timestamp() AS now`;
      if (row === undefined) throw new Error('Postgres answered without a row.');
      return row.now.toISOString();
    } catch (error) {
      throw translated(error);
    }
  };
  const sharing: UnitOfWork['sharing'] = (lock, work) => sharingAdvisoryLock(databaseUrl, lock, work);
  const answering = { exclusively, sharing, ping, close: () => prisma.$disconnect() };
  /** What is done for a deed, or for nobody in particular. */
  const unitOfWorkFor = (deed: Deed | null): UnitOfWork => {
    const repositories = (db: Tx) => repositoriesOf(db, traceparent(), deed);
    const transactions = (teamId: string | null) => {
      const sight = { teamId, isSingle: false };
      return {
        run: <T>(work: Work<T>) => transaction(sight, (db) => work(repositories(db))),
        runLightly: <T>(work: Work<T>) =>
          transaction(sight, async (db) => {
            await db.$executeRaw`SET LOCAL synchronous_commit = off`;
            return work(repositories(db));
          }),
        read: <T>(work: Work<T>) => transaction(sight, (db) => work(repositories(db)), 'RepeatableRead'),
      };
    };
    const acrossTeams: UnitOfWork = {
      ...answering,
      ...transactions(null),
      async look(work) {
        try {
          // To a repository the client itself is as good as one of a transaction; their types differ in what is left out unless asked for.
          return await work(repositories(prisma as unknown as Tx));
        } catch (error) {
          throw translated(error);
        }
      },
      forTeam: (teamId) => ({
        ...acrossTeams,
        ...transactions(teamId),
        look: (work) => transaction({ teamId, isSingle: true }, (db) => work(repositories(db))),
      }),
      forDeed: (other) => unitOfWorkFor(other).forTeam(other.teamId ?? ''),
      get acrossTeams() {
        return acrossTeams;
      },
    };
    return acrossTeams;
  };
  return unitOfWorkFor(null);
}
