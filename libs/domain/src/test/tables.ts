import { type CountedUsage } from '../ports/usage';
import {
  type Adapter,
  type AdapterVersion,
  type Alias,
  type AliasMove,
  type ApiKey,
  type AuditEntry,
  type BaseModel,
  type Dataset,
  type Estimate,
  type Evaluation,
  type Gate,
  type Pin,
  type Grant,
  type Invitation,
  type JobEvent,
  type JobLogLine,
  type JobMetric,
  type JobSamples,
  type JobWakeUp,
  type Manifest,
  type Role,
  type SweepTrial,
  type VersionExport,
  type Webhook,
  type WebhookDelivery,
} from '@lowrank/contracts';
import { type PartyRecord } from '../ports/parties';
import { type JobRecord } from '../ports/repositories';
import { type TeamRecord } from '../ports/teams';
import { type WorkerRecord } from '../ports/workers';
import { type PasswordResetRecord, type SessionRecord, type UserRecord } from '../ports/members';
import { type UploadRecord } from '../ports/uploads';
import { type SweepRecord, type TrialResult } from '../ports/sweeps';

type Owned<T> = T & { teamId: string };

/** What Postgres would hold. */
export interface Tables {
  /** Next number of an outbox row. */
  sequence: number;
  teams: TeamRecord[];
  usage: { teamId: string; hour: string; seconds: number }[];
  apiKeys: (ApiKey & { secretSha256: string })[];
  baseModels: Owned<BaseModel>[];
  datasets: Owned<Dataset>[];
  uploads: UploadRecord[];
  passwordResets: PasswordResetRecord[];
  attempts: { key: string; failures: number; until: string }[];
  datasetNames: { teamId: string; name: string; lastVersion: number }[];
  jobs: (JobRecord & { estimate: Estimate | null })[];
  events: (JobEvent & { jobId: string })[];
  metrics: (JobMetric & { jobId: string })[];
  log: (JobLogLine & { jobId: string })[];
  samples: (JobSamples & { jobId: string })[];
  checkpoints: { jobId: string; step: number; at: string; manifest: Manifest; versionId: string | null }[];
  /** Their aliases and versions are in the tables of those. */
  adapters: Owned<
    Omit<Adapter, 'aliases' | 'latest' | 'sharedBy'> & { card: string | null; lastNumber: number }
  >[];
  aliases: Owned<Alias & { adapter: string }>[];
  aliasMoves: Owned<AliasMove & { adapter: string; alias: string }>[];
  versions: Owned<AdapterVersion>[];
  exports: Owned<VersionExport>[];
  evaluations: Owned<Evaluation>[];
  gates: Owned<Gate>[];
  pins: Owned<Pin>[];
  /** Blobs that something has stopped to refer to. */
  discarded: { sha256: string; at: string }[];
  outbox: { id: string; wakeUp: JobWakeUp; at: string }[];
  /** Locks whose holders the transaction tells of news. */
  told: string[];
  workers: WorkerRecord[];
  parties: PartyRecord[];
  webhooks: Owned<Webhook & { secret: string; previous?: { secret: string; until: string } }>[];
  deliveries: Owned<WebhookDelivery & { webhookId: string; body: string }>[];
  sweeps: Omit<SweepRecord, 'trialCount' | 'finishedCount'>[];
  trials: (Pick<SweepTrial, 'number' | 'jobId' | 'parameters'> & {
    sweepId: string;
    result: TrialResult | null;
  })[];
  audit: (Omit<AuditEntry, 'at'> & { createdAt: string; teamId: string | null })[];
  tokenUsage: (CountedUsage & { writer: string })[];
  grants: Owned<Omit<Grant, 'from' | 'to'> & { toTeamId: string }>[];
  users: UserRecord[];
  members: Owned<{ userId: string; role: Role; createdAt: string }>[];
  sessions: SessionRecord[];
  invitations: Owned<Invitation & { tokenSha256: string }>[];
  /** What trials have reported at rungs. */
  rungs: { sweepId: string; rung: number; trial: number; value: number }[];
}

export const emptyTables = (): Tables => ({
  sequence: 1,
  teams: [],
  usage: [],
  apiKeys: [],
  baseModels: [],
  datasets: [],
  uploads: [],
  passwordResets: [],
  attempts: [],
  datasetNames: [],
  jobs: [],
  events: [],
  metrics: [],
  log: [],
  samples: [],
  checkpoints: [],
  adapters: [],
  aliases: [],
  aliasMoves: [],
  versions: [],
  exports: [],
  evaluations: [],
  gates: [],
  pins: [],
  discarded: [],
  outbox: [],
  told: [],
  workers: [],
  parties: [],
  webhooks: [],
  deliveries: [],
  sweeps: [],
  trials: [],
  rungs: [],
  audit: [],
  tokenUsage: [],
  grants: [],
  users: [],
  members: [],
  sessions: [],
  invitations: [],
});

/** A team with nothing decided about it. */
export const freshTeam = (id: string, name: string): TeamRecord => ({
  id,
  name,
  weight: 1,
  maxRunning: null,
  maxQueued: null,
  deviceSecondsPerMonth: null,
  tokensPerMonth: null,
});

export const copyOf = (tables: Tables): Tables => structuredClone(tables);
