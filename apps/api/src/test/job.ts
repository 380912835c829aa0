import { type Job, type JobMetric, type Manifest, parentsOf } from '@lowrank/contracts';
import {
  type AttemptRef,
  claimAttempt,
  publishVersion,
  reportKept,
  reportPhase,
  reportPlan,
} from '@lowrank/domain';
import { type TestApi } from './api';

export const metric = (step: number, kind: JobMetric['kind'] = 'train'): JobMetric => ({
  step,
  at: new Date().toISOString(),
  kind,
  loss: 2 / (step + 1),
  learningRate: kind === 'train' ? 1e-4 : null,
  gradNorm: kind === 'train' ? 1 : null,
  tokensPerSecond: kind === 'train' ? 1000 : null,
  epochs: step / 10,
  accuracy: kind === 'eval' ? 0.5 : null,
  rewardMargin: kind === 'eval' ? 0.25 : null,
});

/** A job over HTTP, on the base model `tiny` and a new dataset. */
export async function submit(api: TestApi, overrides: Record<string, unknown> = {}): Promise<Job> {
  const { id: dataset } = await api.upload();
  const recipe = { training: { sequenceLength: 64 } };
  const json = { baseModel: 'tiny', dataset, adapter: 'captain', recipe, ...overrides };
  return api.call('POST', '/api/v1/jobs', 201, { json });
}

/** What a worker does first: claims the job's attempt and learns the plan. */
export async function startAttempt(api: TestApi, { id, epoch }: Job, totalSteps = 10): Promise<AttemptRef> {
  const attempt = { jobId: id, epoch };
  await claimAttempt(api.ports, attempt, api.ports.ids.make('worker'));
  await reportPhase(api.ports, attempt, 'running');
  await reportPlan(api.ports, attempt, { totalSteps, resumedFromStep: 0 });
  return attempt;
}

/** What would be published of a job with `files` in the place of a trained adapter; they are stored. */
async function manifestOf(
  api: TestApi,
  { jobId }: AttemptRef,
  files: Record<string, Uint8Array>,
  { checkpointStep = null, ...metrics }: Partial<Manifest['metrics'] & Pick<Manifest, 'checkpointStep'>>,
): Promise<Manifest> {
  const job = await api.call<Job>('GET', `/api/v1/jobs/${jobId}`, 200);
  const stored: Manifest['files'] = [];
  for (const [path, content] of Object.entries(files))
    stored.push({ path, ...(await api.blobs.put(content)) });
  return {
    ...{ format: 1, jobId, epoch: job.epoch, adapter: job.adapter, baseModel: job.baseModel },
    ...{ dataset: job.dataset, recipe: job.recipe, parents: parentsOf(job), checkpointStep },
    templateSha256: 'e'.repeat(64),
    metrics: {
      steps: 10,
      skippedSteps: 0,
      rollbacks: 0,
      trainedTokens: 5000,
      trainLoss: 1,
      evalLossBefore: 2,
      evalLossAfter: 1,
      evalAccuracyBefore: 0.2,
      evalAccuracyAfter: 0.6,
      seconds: 3,
      peakMemoryBytes: 100_000_000,
      ...metrics,
    },
    certificate: null,
    files: stored,
  };
}

/** What a worker does with a state of the adapter that its trainer has stored. */
export async function keep(
  api: TestApi,
  attempt: AttemptRef,
  step: number,
  evalLossAfter = 1,
): Promise<Manifest> {
  const files = {
    'adapter_model.safetensors': Buffer.from(`weights of ${attempt.jobId} after step ${step}`),
    'adapter_config.json': Buffer.from('{}'),
  };
  const measured = { checkpointStep: step, steps: step, evalLossAfter };
  const manifest = await manifestOf(api, attempt, files, measured);
  await reportKept(api.ports, attempt, manifest);
  return manifest;
}

/** What a worker does last, with `files` in the place of a trained adapter. Resolves to what was published. */
export async function publish(
  api: TestApi,
  attempt: AttemptRef,
  files: Record<string, Uint8Array>,
  evalLossAfter = 1,
): Promise<Manifest> {
  await reportPhase(api.ports, attempt, 'publishing');
  const manifest = await manifestOf(api, attempt, files, { evalLossAfter });
  await publishVersion(api.ports, attempt, manifest);
  return manifest;
}
