import {
  type Adapter,
  type AdapterVersion,
  type ApiKey,
  type BaseModel,
  type Dataset,
  type JobEvent,
  type JobLogLine,
  type JobMetric,
  type JobWakeUp,
  type Webhook,
  type WebhookDelivery,
} from '@lowrank/contracts';
import { type JobRecord, type TeamRecord, type WorkerRecord } from '../ports/repositories';

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
  jobs: JobRecord[];
  events: (JobEvent & { jobId: string })[];
  metrics: (JobMetric & { jobId: string })[];
  log: (JobLogLine & { jobId: string })[];
  adapters: Owned<Adapter>[];
  versions: Owned<AdapterVersion>[];
  outbox: { id: string; wakeUp: JobWakeUp; at: string }[];
  /** Locks whose holders the transaction tells of news. */
  told: string[];
  workers: WorkerRecord[];
  webhooks: Owned<Webhook & { secret: string }>[];
  deliveries: Owned<WebhookDelivery & { webhookId: string; body: string }>[];
}

export const emptyTables = (): Tables => ({
  sequence: 1,
  teams: [],
  usage: [],
  apiKeys: [],
  baseModels: [],
  datasets: [],
  jobs: [],
  events: [],
  metrics: [],
  log: [],
  adapters: [],
  versions: [],
  outbox: [],
  told: [],
  workers: [],
  webhooks: [],
  deliveries: [],
});

/** A team with nothing decided about it. */
export const freshTeam = (id: string, name: string): TeamRecord => ({
  id,
  name,
  weight: 1,
  maxRunning: null,
  maxQueued: null,
  deviceSecondsPerMonth: null,
});

export const copyOf = (tables: Tables): Tables => structuredClone(tables);
