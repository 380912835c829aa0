import { type AdapterVersion, LowrankError, type Page, type PageQuery } from '@lowrank/contracts';
import { type JobQueue } from '../ports/job-queue';
import { type Repositories, type UnitOfWork } from '../ports/repositories';
import { copyOf, emptyTables, type Tables } from './tables';

/**
 * The ports of Postgres in memory: a transaction works on a copy of all tables, which replaces them when it succeeds. Transactions
 * run one at a time, so locks have nothing to do.
 */
export class MemoryUnitOfWork implements UnitOfWork {
  tables: Tables = emptyTables();
  private last: Promise<unknown> = Promise.resolve();
  private held = new Set<string>();

  run<T>(work: (repositories: Repositories) => Promise<T>): Promise<T> {
    const turn = this.last.then(async () => {
      const draft = copyOf(this.tables);
      const result = await work(repositoriesOf(draft));
      this.tables = draft;
      return result;
    });
    this.last = turn.catch(() => undefined);
    return turn;
  }

  async exclusively<T>(lock: string, work: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    if (this.held.has(lock)) return undefined;
    this.held.add(lock);
    try {
      return await work(new AbortController().signal);
    } finally {
      this.held.delete(lock);
    }
  }

  async ping(): Promise<void> {}
  async close(): Promise<void> {}
}

/** Newest first, after the last id of the page before. */
function pageOf<T extends { id: string }>(rows: T[], { after, limit }: PageQuery): Page<T> {
  const newest = rows.toReversed();
  const start = after ? newest.findIndex((row) => row.id === after) + 1 : 0;
  return { data: newest.slice(start, start + limit), hasMore: newest.length > start + limit };
}

function repositoriesOf(tables: Tables): Repositories {
  const owned = <T extends { teamId: string }>(rows: T[], teamId: string) =>
    rows.filter((row) => row.teamId === teamId);

  return {
    apiKeys: {
      insert: async (key) => void tables.apiKeys.push(key),
      findBySecret: async (sha256) => tables.apiKeys.find((key) => key.secretSha256 === sha256) ?? null,
      list: async (teamId) => owned(tables.apiKeys, teamId),
      revoke: async (teamId, id, at) => {
        const key = owned(tables.apiKeys, teamId).find((one) => one.id === id);
        if (key) key.revokedAt = at;
        return key !== undefined;
      },
      ensureTeam: async () => 'team_aaaaaaaaaaaaaaaaaaaaaaaa',
    },
    baseModels: {
      insert: async (teamId, model) => {
        if (owned(tables.baseModels, teamId).some((one) => one.name === model.name))
          throw new LowrankError('name_taken', `There is a base model '${model.name}' already.`);
        tables.baseModels.push({ ...model, teamId });
      },
      find: async (teamId, key) =>
        owned(tables.baseModels, teamId).find((one) => one.id === key || one.name === key) ?? null,
      list: async (teamId, page) => pageOf(owned(tables.baseModels, teamId), page),
      firstReady: async (teamId) =>
        owned(tables.baseModels, teamId).find((one) => one.status === 'ready') ?? null,
    },
    datasets: {
      insert: async (teamId, dataset) => void tables.datasets.push({ ...dataset, teamId }),
      find: async (teamId, id) => owned(tables.datasets, teamId).find((one) => one.id === id) ?? null,
      list: async (teamId, page) => pageOf(owned(tables.datasets, teamId), page),
      delete: async (teamId, id) => {
        const there = owned(tables.datasets, teamId).some((one) => one.id === id);
        tables.datasets = tables.datasets.filter((one) => one.id !== id);
        return there;
      },
    },
    jobs: jobRepositoryOf(tables),
    adapters: adapterRepositoryOf(tables),
    outbox: {
      add: async (wakeUp) => void tables.outbox.push({ id: String(tables.sequence++), wakeUp }),
      take: async (limit) => tables.outbox.slice(0, limit),
      remove: async (ids) => {
        tables.outbox = tables.outbox.filter((entry) => !ids.includes(entry.id));
      },
    },
    workers: {
      upsert: async (worker) => {
        tables.workers = [...tables.workers.filter((one) => one.id !== worker.id), worker];
      },
      seenSince: async (since) => tables.workers.filter((one) => one.seenAt >= since),
      remove: async (id) => {
        tables.workers = tables.workers.filter((one) => one.id !== id);
      },
    },
  };
}

function jobRepositoryOf(tables: Tables): Repositories['jobs'] {
  const find = (id: string) => tables.jobs.find((job) => job.id === id);
  return {
    insert: async (teamId, job) =>
      void tables.jobs.push({
        ...job,
        teamId,
        state: 'queued',
        epoch: 1,
        step: 0,
        totalSteps: null,
        trainedTokens: 0,
        cancelRequested: false,
        version: null,
        error: null,
        startedAt: null,
        finishedAt: null,
        fruitlessAttempts: 0,
        checkpointStep: 0,
        workerId: null,
        heartbeatAt: null,
      }),
    find: async (teamId, id) => tables.jobs.find((job) => job.teamId === teamId && job.id === id) ?? null,
    list: async (teamId, page) =>
      pageOf(
        tables.jobs.filter((job) => job.teamId === teamId),
        page,
      ),
    lock: async (id) => find(id) ?? null,
    update: async (id, epoch, patch) => {
      const job = find(id);
      if (job?.epoch !== epoch) return false;
      Object.assign(job, patch);
      return true;
    },
    appendEvent: async (id, event) => {
      const row = { ...event, seq: tables.events.filter((one) => one.jobId === id).length + 1 };
      tables.events.push({ ...row, jobId: id });
      return row;
    },
    events: async (id, afterSeq, limit) =>
      tables.events.filter((event) => event.jobId === id && event.seq > afterSeq).slice(0, limit),
    putMetrics: async (id, metrics) => {
      for (const metric of metrics) {
        tables.metrics = tables.metrics.filter(
          (one) => !(one.jobId === id && one.step === metric.step && one.kind === metric.kind),
        );
        tables.metrics.push({ ...metric, jobId: id });
      }
    },
    metrics: async (id, { afterStep = -1, limit }) =>
      tables.metrics.filter((metric) => metric.jobId === id && metric.step > afterStep).slice(0, limit),
    truncateMetrics: async (id, step) => {
      tables.metrics = tables.metrics.filter((metric) => metric.jobId !== id || metric.step <= step);
    },
    queued: async (limit) => tables.jobs.filter((job) => job.state === 'queued').slice(0, limit),
    silent: async (before, limit) =>
      tables.jobs.filter((job) => job.heartbeatAt !== null && job.heartbeatAt < before).slice(0, limit),
  };
}

function adapterRepositoryOf(tables: Tables): Repositories['adapters'] {
  const find = (teamId: string, name: string) =>
    tables.adapters.find((adapter) => adapter.teamId === teamId && adapter.name === name);
  return {
    ensure: async (teamId, { id, name, baseModelName, at }) => {
      const existing = find(teamId, name);
      if (existing && existing.baseModel !== baseModelName)
        throw new LowrankError('conflict', `Adapter '${name}' is for base model '${existing.baseModel}'.`);
      if (existing) return existing;
      const adapter = {
        id,
        name,
        baseModel: baseModelName,
        latestVersion: null,
        createdAt: at,
        updatedAt: at,
        teamId,
      };
      tables.adapters.push(adapter);
      return adapter;
    },
    find: async (teamId, name) => find(teamId, name) ?? null,
    list: async (teamId, page) =>
      pageOf(
        tables.adapters.filter((adapter) => adapter.teamId === teamId),
        page,
      ),
    publish: async (teamId, { id, manifest, at }) => {
      const earlier = tables.versions.find((one) => one.jobId === manifest.jobId);
      if (earlier) return earlier;
      const adapter = find(teamId, manifest.adapter);
      if (!adapter) throw new LowrankError('not_found', `There is no adapter '${manifest.adapter}'.`);
      adapter.latestVersion = (adapter.latestVersion ?? 0) + 1;
      const version: AdapterVersion = {
        id,
        adapter: manifest.adapter,
        jobId: manifest.jobId,
        baseModel: manifest.baseModel,
        dataset: manifest.dataset,
        recipe: manifest.recipe,
        templateSha256: manifest.templateSha256,
        metrics: manifest.metrics,
        files: manifest.files,
        number: adapter.latestVersion,
        bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
        createdAt: at,
      };
      tables.versions.push({ ...version, teamId });
      return version;
    },
    versions: async (teamId, name) =>
      tables.versions.filter((one) => one.teamId === teamId && one.adapter === name),
    version: async (teamId, name, number) =>
      tables.versions.find((one) => one.teamId === teamId && one.adapter === name && one.number === number) ??
      null,
  };
}

/** A queue that remembers what it was told, once per job and epoch, and can be told to fail. */
export class MemoryQueue implements JobQueue {
  readonly wakeUps: string[] = [];
  failAfter = Infinity;

  async wake({ jobId, epoch }: { jobId: string; epoch: number }): Promise<void> {
    if (this.wakeUps.length >= this.failAfter)
      throw new LowrankError('store_unavailable', 'The queue is down.');
    const key = `${jobId}#${epoch}`;
    if (!this.wakeUps.includes(key)) this.wakeUps.push(key);
  }

  async close(): Promise<void> {}
}
