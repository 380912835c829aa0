import {
  type ApiKey,
  type BaseModel,
  type CreateJob,
  type Estimate,
  type Job,
  type JobDetail,
  type JobEvent,
  type JobState,
  type Metadata,
  type Page,
  type PageQuery,
  type QueuedJob,
  type QueueQuery,
  type Role,
  type WorkKind,
} from '@lowrank/contracts';
import { type AdapterRepository } from './adapters';
import { type AliasRepository } from './aliases';
import { type CheckpointRepository } from './checkpoints';
import { type DatasetRepository } from './datasets';
import { type JobLogRepository } from './job-log';
import { type AuditRepository, type Deed } from './audit';
import { type GrantRepository } from './grants';
import {
  type AttemptRepository,
  type InvitationRepository,
  type MemberRepository,
  type PasswordResetRepository,
  type SessionRepository,
} from './members';
import { type AddressedWakeUp } from './job-queue';
import { type News, type OutboxRepository } from './outbox';
import { type EstimateRepository } from './estimates';
import { type EvaluationRepository, type GateRepository } from './evaluations';
import { type ExportRepository } from './exports';
import { type PartyRepository } from './parties';
import { type PinRepository } from './pins';
import { type FinishedRun } from '../preflight/time';
import { type RetentionRepository } from './retention';
import { type SweepRepository } from './sweeps';
import { type TeamRepository } from './teams';
import { type UploadRepository } from './uploads';
import { type UsageRepository } from './usage';
import { type WebhookRepository } from './webhooks';
import { type WorkerRepository } from './workers';

/** All repositories of one transaction; see UnitOfWork. Reads and writes are of the given team only. */
export interface Repositories {
  apiKeys: ApiKeyRepository;
  baseModels: BaseModelRepository;
  datasets: DatasetRepository;
  jobs: JobRepository;
  checkpoints: CheckpointRepository;
  adapters: AdapterRepository;
  aliases: AliasRepository;
  exports: ExportRepository;
  estimates: EstimateRepository;
  evaluations: EvaluationRepository;
  gates: GateRepository;
  outbox: OutboxRepository;
  teams: TeamRepository;
  workers: WorkerRepository;
  parties: PartyRepository;
  pins: PinRepository;
  statistics: StatisticsRepository;
  webhooks: WebhookRepository;
  sweeps: SweepRepository;
  audit: AuditRepository;
  members: MemberRepository;
  sessions: SessionRepository;
  invitations: InvitationRepository;
  grants: GrantRepository;
  uploads: UploadRepository;
  passwordResets: PasswordResetRepository;
  attempts: AttemptRepository;
  retention: RetentionRepository;
  usage: UsageRepository;
}

/**
 * One database transaction around `work`: everything it wrote is visible afterwards, or nothing is. No network calls other than
 * the repositories' inside. Serialization failures are retried, so `work` may run more than once.
 */
export interface UnitOfWork {
  run<T>(work: (repositories: Repositories) => Promise<T>): Promise<T>;
  /**
   * The same, without waiting for the disk: should the database crash within the next moment, all of the transaction is undone. For what
   * is made good anyway, such as signs of life and the dispatcher's decisions.
   */
  runLightly<T>(work: (repositories: Repositories) => Promise<T>): Promise<T>;
  /** For work that reads one thing: without a transaction, so that each of its calls sees what is committed by then. */
  look<T>(work: (repositories: Repositories) => Promise<T>): Promise<T>;
  /** A transaction for work that only reads: whatever it reads is as of one instant, though others write meanwhile. */
  read<T>(work: (repositories: Repositories) => Promise<T>): Promise<T>;
  /** The same, for one team's requests: no row of another team can be seen or written, whatever the work asks for. */
  forTeam(teamId: string): UnitOfWork;
  /** The same, for one request of its team; `audit` writes down who asked, `acrossTeams` too. */
  forDeed(deed: Deed): UnitOfWork;
  /** The same, for what concerns all teams. */
  readonly acrossTeams: UnitOfWork;
  /**
   * One advisory lock by name for as long as `work` runs; resolves to undefined at once when somebody else holds it. `lost` is aborted
   * when the lock is, `news` is what others' transactions tell its holder.
   */
  exclusively<T>(lock: string, work: (lost: AbortSignal, news: News) => Promise<T>): Promise<T | undefined>;
  /**
   * The same lock, shared: waits while somebody holds it alone, and keeps others from doing so. `lost` is aborted when the lock is.
   * Error: store_unavailable when it is not to be had within some seconds.
   */
  sharing<T>(lock: string, work: (lost: AbortSignal) => Promise<T>): Promise<T>;
  /** The database's time, ISO 8601 in UTC. Rejects when it does not answer. */
  ping(): Promise<string>;
  close(): Promise<void>;
}

export interface FoundApiKey {
  key: ApiKey;
  operator: boolean;
  memberRole: Role | null;
}

export interface ApiKeyRepository {
  insert(key: ApiKey & { secretSha256: string }): Promise<void>;
  /** Of any team; `operator`: whether it runs the installation; `memberRole`: of the member whose key it is, null when there is none. */
  findBySecret(secretSha256: string): Promise<FoundApiKey | null>;
  /** The same, by its id. */
  findById(id: string): Promise<FoundApiKey | null>;
  list(teamId: string): Promise<ApiKey[]>;
  /** Returns false when there is no such key. */
  revoke(teamId: string, id: string, at: string): Promise<boolean>;
  /** Revokes the keys of a member that are not yet. Resolves to how many. */
  revokeOf(teamId: string, memberId: string, at: string): Promise<number>;
  /** The team of that name, made if need be. The first that is ever made is the operator's. */
  ensureTeam(name: string): Promise<string>;
}

export interface BaseModelRepository {
  /** LowrankError name_taken when the team has one of that name. */
  insert(teamId: string, model: BaseModel): Promise<void>;
  find(teamId: string, nameOrId: string): Promise<BaseModel | null>;
  /** Those that are ready and came from there, the newest first. */
  bySource(teamId: string, source: string): Promise<BaseModel[]>;
  list(teamId: string, page: PageQuery): Promise<Page<BaseModel>>;
  /** Oldest that is ready: whose tokenizer counts tokens of an upload that names none. */
  firstReady(teamId: string): Promise<BaseModel | null>;
}

/** What a worker needs to know of a job besides its public face. */
export interface JobRecord extends Job {
  teamId: string;
  /** Attempts in a row that ended without a checkpoint beyond the one before. */
  fruitlessAttempts: number;
  /** Times that its micro-batches were made smaller, because a trainer ran out of memory. */
  memoryRetries: number;
  /** Devices in a row that have failed while it trained on them, without a new checkpoint in between. */
  deviceFailures: number;
  /**
   * Furthest step of which a checkpoint was ever reported: what an attempt has to go beyond to count as fruitful. It was on the disk of
   * `host` then; the job may go on from one before if that machine is gone.
   */
  checkpointStep: number;
  /** Step of the last checkpoint that is in the object store, from where any machine can go on; 0: none is. */
  mirroredStep: number;
  /** The worker whose slot it holds. */
  workerId: string | null;
  heartbeatAt: string | null;
  /** A job of higher priority is to have its slot. */
  preemptRequested: boolean;
  /** Since when it waits for a slot, and its place in the team's order: see rankAt of dispatch/rank.ts. */
  queuedAt: string;
  rankAt: string;
  /** Of a queued job: the worker whose slot the dispatcher has chosen, and when. */
  assignedTo: string | null;
  assignedAt: string | null;
  /** Since when the current attempt holds a slot. */
  attemptStartedAt: string | null;
  /** Host name of the machine that has its checkpoints on its disk. */
  host: string | null;
  /** The party that the current attempt trains in; null: alone. */
  party: string | null;
  /** Device class of the worker that claimed it last. */
  deviceClass: string | null;
  /** Peak of memory by its estimate, and of that what others on its base share; null: not known. */
  estimatedBytes: number | null;
  sharedBytes: number | null;
  /** Where in a trace it was submitted (W3C traceparent); the store knows, when it writes the job. */
  traceparent: string | null;
}

/** Fields that change with a move or progress of a job; its state only moves: see JobRepository.move. */
export type JobPatch = Partial<
  Pick<
    JobRecord,
    | 'epoch'
    | 'step'
    | 'totalSteps'
    | 'trainedTokens'
    | 'cancelRequested'
    | 'version'
    | 'error'
    | 'startedAt'
    | 'finishedAt'
    | 'fruitlessAttempts'
    | 'memoryRetries'
    | 'deviceFailures'
    | 'checkpointStep'
    | 'mirroredStep'
    | 'workerId'
    | 'heartbeatAt'
    | 'pauseRequested'
    | 'preemptRequested'
    | 'priority'
    | 'queuedAt'
    | 'rankAt'
    | 'assignedTo'
    | 'assignedAt'
    | 'attemptStartedAt'
    | 'deviceSeconds'
    | 'host'
    | 'deviceClass'
    | 'stoppedEarly'
    | 'party'
    | 'waitingFor'
  >
>;

/** What the dispatcher needs to know of a job that waits, and of one that has a slot. */
export type WaitingRecord = Pick<
  JobRecord,
  | 'id'
  | 'epoch'
  | 'teamId'
  | 'priority'
  | 'placement'
  | 'estimatedBytes'
  | 'sharedBytes'
  | 'queuedAt'
  | 'rankAt'
  | 'host'
  | 'waitingFor'
>;
export type PlacedRecord = Pick<
  JobRecord,
  | 'id'
  | 'epoch'
  | 'teamId'
  | 'state'
  | 'priority'
  | 'placement'
  | 'estimatedBytes'
  | 'sharedBytes'
  | 'rankAt'
  | 'workerId'
  | 'assignedTo'
  | 'assignedAt'
  | 'attemptStartedAt'
  | 'cancelRequested'
  | 'pauseRequested'
  | 'preemptRequested'
  | 'party'
>;

/** Room for jobs on workers of a class. */
export interface Offer {
  deviceClass: string;
  /** Most that a job may take; null: anything. */
  roomBytes: number | null;
  /** Whether a job whose need is not known, and so takes an even share of its worker, has room. */
  hasShare: boolean;
  /** How many jobs of a team are looked at for it. */
  most: number;
}

/** What is decided about a job when it is made. */
export type NewJob = Pick<
  Job,
  | 'id'
  | 'work'
  | 'baseModel'
  | 'dataset'
  | 'validationDataset'
  | 'adapter'
  | 'recipe'
  | 'initFrom'
  | 'metadata'
  | 'createdAt'
  | 'clonedFrom'
  | 'sweep'
> &
  Pick<CreateJob, 'priority' | 'placement' | 'notBefore' | 'deadline'> &
  Pick<JobRecord, 'queuedAt' | 'rankAt'> & { estimate: Estimate | null };

export interface JobRepository extends JobLogRepository {
  /** Several jobs have the same datasets. */
  insert(teamId: string, ...jobs: NewJob[]): Promise<void>;
  find(teamId: string, id: string): Promise<Job | null>;
  /** With its estimate, which is too large for lists. */
  detail(teamId: string, id: string): Promise<JobDetail | null>;
  list(
    teamId: string,
    page: PageQuery & {
      state?: JobState;
      kind?: WorkKind;
      adapter?: string;
      sweep?: string;
      metadata?: Metadata;
    },
  ): Promise<Page<Job>>;
  /** Any team's job, its row locked until the transaction ends. For use cases that move it. */
  lock(id: string): Promise<JobRecord | null>;
  /** Writes only if the job still has this epoch; resolves to false, changing nothing, when it has not. */
  update(id: string, epoch: number, patch: JobPatch): Promise<boolean>;
  /**
   * The same for a job's state, with the event that tells of it, which carries the epoch that the job had before: for moveJob, which
   * knows the legal moves. Nothing else writes a state, so none changes without an event.
   */
  move(
    id: string,
    epoch: number,
    to: JobState,
    told: Pick<JobEvent, 'at' | 'level' | 'message'>,
    patch?: JobPatch,
  ): Promise<boolean>;
  /** How many jobs of the team's adapter have not ended. */
  countUnfinished(teamId: string, adapter: string): Promise<number>;
  /** How many of the team's jobs are queued, assigned ones included. */
  countQueued(teamId: string): Promise<number>;
  /**
   * Chooses workers for jobs that are queued, still have these epochs and have none chosen. Resolves to the ids of those jobs that were: others
   * have moved on.
   */
  assign(choices: AddressedWakeUp[], at: string): Promise<string[]>;
  /**
   * Of each team, the first `perTeam` queued jobs by rank that no worker is chosen for and that may start at `now`; of a sweep, no
   * more than may have a slot besides those that have one.
   */
  waiting(now: string, perTeam: number): Promise<WaitingRecord[]>;
  /** Of each team and for each offer, the first `most` of the jobs of `waiting` that suit it; a job that suits several is there once. */
  suited(now: string, offers: Offer[]): Promise<WaitingRecord[]>;
  /**
   * Queued jobs that train and that no worker is chosen for, of the same team, base model and priority as another, that may start at `now` and whose
   * last attempt was not fruitless, by rank; their rows locked until the transaction ends. Rows that others have locked are left out.
   */
  lockAlike(job: JobRecord, now: string, limit: number): Promise<JobRecord[]>;
  /** How many queued jobs that train, of the same team, base model and priority as another, have a worker chosen for them, that one left out. */
  countAssignedAlike(job: JobRecord): Promise<number>;
  /** Jobs that have a slot: in a worker's hands, or queued and assigned; in order of their ids. */
  placed(): Promise<PlacedRecord[]>;
  /** Of any teams' jobs with these ids, those that have ended, and the attempt that they have ended with. */
  finished(ids: string[]): Promise<Pick<JobRecord, 'id' | 'epoch'>[]>;
  /** Unfinished jobs whose deadline has come, the earliest first. */
  overdue(now: string, limit: number): Promise<JobRecord[]>;
  /** Jobs in a worker's hands whose last heartbeat is older than `before`. */
  silent(before: string, limit: number): Promise<JobRecord[]>;
}

/** What the jobs of a team take. */
export interface JobsUse {
  teamId: string;
  /** Of jobs that have not ended, or not before a month's start. */
  trainedTokens: number;
  /** Jobs that hold a slot, and that are queued. */
  running: number;
  queued: number;
}

/** Counts over all teams, or over the one that is named. */
export interface StatisticsRepository {
  /** States that no job is in may be left out. */
  jobsByState(teamId?: string): Promise<{ state: JobState; count: number }[]>;
  /**
   * Queued jobs by the device classes that they name, null for those that name none; one that names several counts in each. With
   * `startableAt` only those that may start by then.
   */
  queuedByDeviceClass(query: {
    teamId?: string;
    startableAt?: string;
  }): Promise<{ deviceClass: string | null; count: number }[]>;
  /** In order of the teams' ids; teams without such jobs may be left out. */
  jobsUse(query: { monthStart: string; teamId?: string }): Promise<JobsUse[]>;
  /** Queued jobs of all teams, the longest waiting first. */
  queue(query: QueueQuery): Promise<QueuedJob[]>;
  /** Version and size of the database. */
  database(): Promise<{ version: string; bytes: number }>;
  outbox(): Promise<{ entries: number; oldestAt: string | null }>;
  /**
   * Newest succeeded jobs that have an estimate of their operations: of each device class up to `limit`, and up to `limit` on this base
   * model.
   */
  finishedRuns(query: {
    deviceClasses: string[];
    baseModelId: string;
    limit: number;
  }): Promise<FinishedRun[]>;
}
