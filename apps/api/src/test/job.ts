import { type Job, type JobMetric, type Manifest, parentsOf } from '@lowrank/contracts';
import { type AttemptRef, claimAttempt, publishVersion, reportPhase, reportPlan } from '@lowrank/domain';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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

/** What a worker does last, with `files` in the place of a trained adapter. Resolves to what was published. */
export async function publish(
  api: TestApi,
  attempt: AttemptRef,
  files: Record<string, Uint8Array>,
  evalLossAfter = 1,
): Promise<Manifest> {
  const job = await api.call<Job>('GET', `/api/v1/jobs/${attempt.jobId}`, 200);
  const stored: Manifest['files'] = [];
  for (const [path, content] of Object.entries(files)) {
    const source = join(api.folder, path);
    await writeFile(source, content);
    stored.push({ path, ...(await api.blobs.putFile(source)) });
  }
  await reportPhase(api.ports, attempt, 'publishing');
  const manifest: Manifest = {
    format: 1,
    jobId: job.id,
    epoch: job.epoch,
    adapter: job.adapter,
    baseModel: job.baseModel,
    dataset: job.dataset,
    recipe: job.recipe,
    parents: parentsOf(job),
    templateSha256: 'e'.repeat(64),
    metrics: {
      steps: 10,
      skippedSteps: 0,
      rollbacks: 0,
      trainedTokens: 5000,
      trainLoss: 1,
      evalLossBefore: 2,
      evalLossAfter,
      evalAccuracyBefore: 0.2,
      evalAccuracyAfter: 0.6,
      seconds: 3,
      peakMemoryBytes: 100_000_000,
    },
    certificate: null,
    files: stored,
  };
  await publishVersion(api.ports, attempt, manifest);
  return manifest;
}
