import {
  type Adapter,
  type AdapterVersion,
  type ApiKey,
  type BaseModel,
  type Dataset,
  type JobEvent,
  type JobMetric,
  type JobWakeUp,
} from '@lowrank/contracts';
import { type JobRecord, type WorkerRecord } from '../ports/repositories';

type Owned<T> = T & { teamId: string };

/** What Postgres would hold. */
export interface Tables {
  /** Next number of an outbox row. */
  sequence: number;
  /** Ids by name. */
  teams: Record<string, string>;
  apiKeys: (ApiKey & { secretSha256: string })[];
  baseModels: Owned<BaseModel>[];
  datasets: Owned<Dataset>[];
  jobs: JobRecord[];
  events: (JobEvent & { jobId: string })[];
  metrics: (JobMetric & { jobId: string })[];
  adapters: Owned<Adapter>[];
  versions: Owned<AdapterVersion>[];
  outbox: { id: string; wakeUp: JobWakeUp }[];
  workers: WorkerRecord[];
}

export const emptyTables = (): Tables => ({
  sequence: 1,
  teams: {},
  apiKeys: [],
  baseModels: [],
  datasets: [],
  jobs: [],
  events: [],
  metrics: [],
  adapters: [],
  versions: [],
  outbox: [],
  workers: [],
});

export const copyOf = (tables: Tables): Tables => structuredClone(tables);
