import {
  type Adapter,
  type AdapterCard,
  adapterCardSchema,
  adapterSchema,
  type AdapterVersion,
  adapterVersionSchema,
  type BaseModel,
  baseModelSchema,
  type CloneJob,
  type CreateCombinationInput,
  type CreateJobInput,
  type DescribeAdapter,
  type DrainMode,
  type Estimate,
  type EstimateJobInput,
  estimateSchema,
  finalJobStates,
  type ImportBaseModel,
  type Job,
  type JobDetail,
  jobDetailSchema,
  type JobEvent,
  type JobLogLine,
  jobEventSchema,
  jobLogLineSchema,
  type JobMetric,
  jobMetricSchema,
  jobSchema,
  type JobStreamItem,
  jobStreamSchema,
  LowrankError,
  pageSchema,
  principalSchema,
  type CreateSweepInput,
  type Sweep,
  sweepSchema,
  type SweepWithTrials,
  sweepWithTrialsSchema,
  type Worker,
  workerSchema,
  createdWebhookSchema,
  type createWebhookSchema,
  type Webhook,
  type WebhookDelivery,
  webhookDeliverySchema,
  type WebhookDeliveryState,
  webhookSchema,
} from '@lowrank/contracts';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { CliError, exitCodes } from '../errors';
import { Catalog } from './catalog';
import { DatasetsApi } from './datasets-api';
import { EvaluationsApi } from './evaluations-api';
import { ExportsApi } from './exports-api';
import { Http } from './http';
import { readServerSentEvents } from './sse';
import { RunsApi } from './runs-api';
import { TeamApi } from './team-api';

const part = encodeURIComponent;
/** Whose adapter it is; null: one's own team's. */
const ownedBy = (team: string | null): string => (team === null ? '' : `?team=${part(team)}`);

/** The native API of a Lowrank server, typed and parsed. Errors as in Http. */
export class Api {
  private readonly http: Http;
  /** Teams, members, keys, grants and the audit log. */
  readonly team: TeamApi;
  readonly catalog: Catalog;
  readonly exports: ExportsApi;
  /** What jobs keep while they train. */
  readonly runs: RunsApi;
  readonly data: DatasetsApi;
  readonly evaluating: EvaluationsApi;

  constructor(
    readonly url: string,
    key: string | null,
  ) {
    this.http = new Http(url, key);
    this.team = new TeamApi(this.http);
    this.catalog = new Catalog(this.http);
    this.exports = new ExportsApi(this.http);
    this.runs = new RunsApi(this.http);
    this.data = new DatasetsApi(this.http);
    this.evaluating = new EvaluationsApi(this.http);
  }

  /** Whether a server is up; needs no key. */
  async healthy(): Promise<boolean> {
    try {
      await (await this.http.response('/health', { timeoutMs: 2000 })).arrayBuffer();
      return true;
    } catch {
      return false;
    }
  }

  me() {
    return this.http.json('/api/v1/me', principalSchema);
  }

  baseModels(): AsyncGenerator<BaseModel, void> {
    return this.http.pages('/api/v1/base-models', baseModelSchema);
  }

  baseModel(name: string): Promise<BaseModel> {
    return this.http.json(`/api/v1/base-models/${part(name)}`, baseModelSchema);
  }

  importBaseModel(request: ImportBaseModel): Promise<BaseModel> {
    return this.http.json('/api/v1/base-models', baseModelSchema, {
      method: 'POST',
      json: request,
      timeoutMs: 0,
    });
  }

  submit(job: CreateJobInput): Promise<JobDetail> {
    return this.http.json('/api/v1/jobs', jobDetailSchema, { method: 'POST', json: job });
  }

  combine(json: CreateCombinationInput): Promise<JobDetail> {
    return this.http.json('/api/v1/jobs/combine', jobDetailSchema, { method: 'POST', json });
  }

  /** What a job would take; nothing is submitted. */
  estimate(job: EstimateJobInput): Promise<Estimate> {
    return this.http.json('/api/v1/jobs/estimate', estimateSchema, { method: 'POST', json: job });
  }

  jobs(): AsyncGenerator<Job, void> {
    return this.http.pages('/api/v1/jobs', jobSchema);
  }

  job(id: string): Promise<JobDetail> {
    return this.http.json(`/api/v1/jobs/${part(id)}`, jobDetailSchema);
  }

  /** Asks something of a job; resolves to the job as it is then. */
  control(id: string, action: 'cancel' | 'pause' | 'resume' | 'retry'): Promise<Job> {
    return this.http.json(`/api/v1/jobs/${part(id)}/${action}`, jobSchema, { method: 'POST' });
  }

  clone(id: string, changes: CloneJob): Promise<Job> {
    return this.http.json(`/api/v1/jobs/${part(id)}/clone`, jobSchema, { method: 'POST', json: changes });
  }

  prioritize(id: string, priority: number): Promise<Job> {
    const json = { priority };
    return this.http.json(`/api/v1/jobs/${part(id)}/priority`, jobSchema, { method: 'POST', json });
  }

  submitSweep(json: CreateSweepInput): Promise<SweepWithTrials> {
    return this.http.json('/api/v1/sweeps', sweepWithTrialsSchema, {
      method: 'POST',
      json,
      // Counting tokens once for each length of sequence that is tried.
      timeoutMs: 0,
    });
  }

  sweeps(): AsyncGenerator<Sweep, void> {
    return this.http.pages('/api/v1/sweeps', sweepSchema);
  }

  sweep(id: string, signal?: AbortSignal): Promise<SweepWithTrials> {
    return this.http.json(`/api/v1/sweeps/${part(id)}`, sweepWithTrialsSchema, { signal });
  }

  cancelSweep(id: string): Promise<SweepWithTrials> {
    return this.http.json(`/api/v1/sweeps/${part(id)}/cancel`, sweepWithTrialsSchema, { method: 'POST' });
  }

  promoteTrial(id: string, trial: number): Promise<SweepWithTrials> {
    const json = { trial };
    return this.http.json(`/api/v1/sweeps/${part(id)}/promote`, sweepWithTrialsSchema, {
      method: 'POST',
      json,
    });
  }

  async workers(): Promise<Worker[]> {
    return (await this.http.json('/api/v1/workers', z.object({ data: z.array(workerSchema) }))).data;
  }

  async webhooks(): Promise<Webhook[]> {
    return (await this.http.json('/api/v1/webhooks', z.object({ data: z.array(webhookSchema) }))).data;
  }

  addWebhook(json: z.input<typeof createWebhookSchema>): Promise<Webhook & { secret: string }> {
    return this.http.json('/api/v1/webhooks', createdWebhookSchema, { method: 'POST', json });
  }

  async removeWebhook(id: string): Promise<void> {
    await (await this.http.response(`/api/v1/webhooks/${part(id)}`, { method: 'DELETE' })).arrayBuffer();
  }

  /** The last two hundred deliveries. */
  async deliveries(id: string, state?: WebhookDeliveryState): Promise<WebhookDelivery[]> {
    const path = `/api/v1/webhooks/${part(id)}/deliveries?limit=200${state ? `&state=${state}` : ''}`;
    return (await this.http.json(path, pageSchema(webhookDeliverySchema))).data;
  }

  rotateSecret(id: string): Promise<Webhook & { secret: string }> {
    return this.http.json(`/api/v1/webhooks/${part(id)}/rotate-secret`, createdWebhookSchema, {
      method: 'POST',
    });
  }

  testWebhook(id: string): Promise<WebhookDelivery> {
    return this.http.json(`/api/v1/webhooks/${part(id)}/test`, webhookDeliverySchema, { method: 'POST' });
  }

  replay(id: string, deliveryId: string): Promise<WebhookDelivery> {
    const path = `/api/v1/webhooks/${part(id)}/deliveries/${part(deliveryId)}/replay`;
    return this.http.json(path, webhookDeliverySchema, { method: 'POST' });
  }

  /** `mode` null: let it work again. */
  drain(id: string, mode: DrainMode | null): Promise<Worker> {
    const path = `/api/v1/workers/${part(id)}`;
    return mode === null
      ? this.http.json(`${path}/undrain`, workerSchema, { method: 'POST' })
      : this.http.json(`${path}/drain`, workerSchema, { method: 'POST', json: { mode } });
  }

  /** The first thousand events. */
  async events(id: string): Promise<JobEvent[]> {
    return (await this.http.json(`/api/v1/jobs/${part(id)}/events`, pageSchema(jobEventSchema))).data;
  }

  /** Every line that is kept of a job's log. */
  async *log(id: string): AsyncGenerator<JobLogLine, void> {
    for (let after = 0; ;) {
      const path = `/api/v1/jobs/${part(id)}/logs?after=${after}`;
      const { data, hasMore } = await this.http.json(path, pageSchema(jobLogLineSchema));
      yield* data;
      const last = data.at(-1);
      if (!hasMore || last === undefined) return;
      after = last.seq;
    }
  }

  /** All evaluations, in order of steps. */
  async evaluations(id: string): Promise<JobMetric[]> {
    const evaluations: JobMetric[] = [];
    for (let afterStep = -1; ;) {
      const path = `/api/v1/jobs/${part(id)}/metrics?afterStep=${afterStep}`;
      const { data, hasMore } = await this.http.json(path, pageSchema(jobMetricSchema));
      evaluations.push(...data.filter(({ kind }) => kind === 'eval'));
      const last = data.at(-1);
      if (!hasMore || last === undefined) return evaluations;
      afterStep = last.step;
    }
  }

  /**
   * What happens to a job, as it happens, until all of a final job has been told. A broken stream is taken up where it broke, for as
   * long as a server comes back within a minute.
   */
  async *stream(id: string, signal?: AbortSignal): AsyncGenerator<JobStreamItem, void> {
    let cursor: string | null = null;
    let isFinal = false;
    let brokenAt: number | null = null;
    for (;;) {
      try {
        const headers: Record<string, string> = cursor === null ? {} : { 'last-event-id': cursor };
        const response = await this.http.response(`/api/v1/jobs/${part(id)}/stream`, { signal, headers });
        if (!response.body) throw new Error('an event stream without a body');
        for await (const { event, data, id: position } of readServerSentEvents(response.body)) {
          brokenAt = null;
          cursor = position;
          const item = jobStreamSchema.safeParse({ event, data: parseJson(data) });
          // Kinds of events that are newer than this program are not for it.
          if (!item.success) continue;
          if (item.data.event === 'job') isFinal = finalJobStates.includes(item.data.data.state);
          yield item.data;
        }
        if (isFinal) return;
      } catch (error) {
        if (signal?.aborted || error instanceof LowrankError) throw error;
        brokenAt ??= Date.now();
        if (Date.now() - brokenAt > 60_000) {
          throw new CliError(`lost the connection to ${this.url}`, {
            help: `The job goes on without it. Look again with: lowrank watch ${id}`,
            exitCode: exitCodes.unreachable,
            cause: error,
          });
        }
      }
      await sleep(500, undefined, { signal });
    }
  }

  /** Of these, `team` names the team that shares the adapter. */
  adapter(name: string, team: string | null = null): Promise<Adapter> {
    return this.http.json(`/api/v1/adapters/${part(name)}${ownedBy(team)}`, adapterSchema);
  }

  /** `team` as for adapter; with `deleted`, those that can be restored instead. */
  async versions(
    name: string,
    { team = null, deleted = false }: { team?: string | null; deleted?: boolean } = {},
  ): Promise<AdapterVersion[]> {
    const query = new URLSearchParams({ deleted: String(deleted), ...(team === null ? {} : { team }) });
    const page = await this.http.json(
      `/api/v1/adapters/${part(name)}/versions?${query}`,
      z.object({ data: z.array(adapterVersionSchema) }),
    );
    return page.data;
  }

  /** `ref`: `v3`, `latest` or an alias. */
  version(name: string, ref: string, team: string | null = null): Promise<AdapterVersion> {
    const path = `/api/v1/adapters/${part(name)}/versions/${part(ref)}${ownedBy(team)}`;
    return this.http.json(path, adapterVersionSchema);
  }

  describeAdapter(name: string, json: DescribeAdapter): Promise<Adapter> {
    return this.http.json(`/api/v1/adapters/${part(name)}`, adapterSchema, { method: 'PATCH', json });
  }

  card(name: string, team: string | null = null): Promise<AdapterCard> {
    return this.http.json(`/api/v1/adapters/${part(name)}/card${ownedBy(team)}`, adapterCardSchema);
  }

  /** Bytes of a file of a base model. */
  baseModelFile(name: string, path: string): Promise<Response> {
    return this.http.response(`/api/v1/base-models/${part(name)}/files/${part(path)}`);
  }

  /** Bytes of a file of an adapter version. */
  versionFile(name: string, number: number, path: string, team: string | null = null): Promise<Response> {
    const file = `/api/v1/adapters/${part(name)}/versions/${number}/files/${part(path)}`;
    return this.http.response(file + ownedBy(team));
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
