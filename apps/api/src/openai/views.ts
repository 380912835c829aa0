import {
  checkpointRef,
  type Dataset,
  type FineTuningCheckpoint,
  type FineTuningEvent,
  type FineTuningJob,
  type Job,
  type JobCheckpoint,
  type JobMetric,
  type JobState,
  type OpenAiFile,
} from '@lowrank/contracts';
import { type TimelineEntry, type TimelineKey, type VersionName } from '@lowrank/domain';
import { defaultRecipe, rounded } from './job-request';

/** Unix seconds of an ISO time. */
export const seconds = (time: string): number => Math.floor(Date.parse(time) / 1000);
const secondsOrNull = (time: string | null): number | null => (time === null ? null : seconds(time));

/** `team/adapter@v3`: how OpenAI's clients name a version. */
export const modelNameOf = (team: string, { adapter, number }: Pick<VersionName, 'adapter' | 'number'>) =>
  `${team}/${adapter}@v${number}`;

export const fileView = ({ id, bytes, filename, createdAt, expiresAt }: Dataset): OpenAiFile => ({
  ...{ id, object: 'file', bytes, filename, purpose: 'fine-tune', status: 'processed' },
  ...{ created_at: seconds(createdAt), expires_at: secondsOrNull(expiresAt), status_details: null },
});

const statusOf: Record<JobState, FineTuningJob['status']> = {
  queued: 'queued',
  preparing: 'running',
  running: 'running',
  publishing: 'running',
  succeeded: 'succeeded',
  paused: 'paused',
  cancelled: 'cancelled',
  failed: 'failed',
};

function hyperparametersOf({ objective, training, optimizer }: Job['recipe']) {
  const { learningRate } = defaultRecipe.optimizer;
  return {
    n_epochs: training.epochs,
    batch_size: training.rows * training.accumulation,
    learning_rate_multiplier: rounded(optimizer.learningRate / learningRate),
    ...(objective.type === 'dpo' ? { beta: objective.beta } : {}),
  };
}

function methodOf(recipe: Job['recipe']): FineTuningJob['method'] {
  const hyperparameters = hyperparametersOf(recipe);
  switch (recipe.objective.type) {
    case 'sft':
      return { type: 'supervised', supervised: { hyperparameters } };
    case 'dpo':
      return { type: 'dpo', dpo: { hyperparameters } };
    default:
      return null;
  }
}

/** When a job that trains will be done, by its pace since it started; null: not known yet, or it does not train now. */
function estimatedFinish({ state, step, totalSteps, startedAt }: Job, now: string): number | null {
  if (state !== 'running' || step === 0 || totalSteps === null || startedAt === null) return null;
  const at = Date.parse(now);
  const perStep = Math.max(0, at - Date.parse(startedAt)) / step;
  return Math.round((at + (totalSteps - step) * perStep) / 1000);
}

export function jobView(
  job: Job,
  { id: teamId, name: team }: { id: string; name: string },
  now: string,
): FineTuningJob {
  const { adapter, version, recipe, initFrom, error } = job;
  return {
    id: job.id,
    object: 'fine_tuning.job',
    created_at: seconds(job.createdAt),
    finished_at: secondsOrNull(job.finishedAt),
    model: initFrom === null ? job.baseModel.name : modelNameOf(team, initFrom),
    fine_tuned_model: version === null ? null : modelNameOf(team, { adapter, number: version }),
    organization_id: teamId,
    status: statusOf[job.state],
    hyperparameters: hyperparametersOf(recipe),
    method: methodOf(recipe),
    training_file: job.dataset.id,
    validation_file: job.validationDataset?.id ?? null,
    result_files: [],
    seed: recipe.training.seed,
    trained_tokens: job.finishedAt === null ? null : job.trainedTokens,
    error: error && { code: error.code, message: `${error.message} ${error.help}`, param: null },
    integrations: [],
    metadata: job.metadata,
    estimated_finish: estimatedFinish(job, now),
    qlora: recipe,
  };
}

/** Server-made ids of jobs without their prefix, which those of their parts begin with. */
const bare = (jobId: string): string => jobId.replace(/^job_/, '');

const letterOf = { train: 't', eval: 'v' } as const;
const eventId = /^ftevent-([a-z2-7]{24})-([etv])(\d{1,9})$/;

/** `ftevent-<job>-e12` for an event, `t40` and `v40` for what was measured at step 40 in training and validation. */
function eventIdOf(jobId: string, entry: TimelineEntry): string {
  const key = 'seq' in entry ? `e${entry.seq}` : `${letterOf[entry.kind]}${entry.step}`;
  return `ftevent-${bare(jobId)}-${key}`;
}

/** What an event's id names; null: nothing of that job. */
export function timelineKeyOf(jobId: string, id: string): TimelineKey | null {
  const [, job, letter, digits] = eventId.exec(id) ?? [];
  if (job !== bare(jobId)) return null;
  const number = Number(digits);
  if (letter === 'e') return { seq: number };
  return { step: number, kind: letter === 't' ? 'train' : 'eval' };
}

export function eventView({ id, totalSteps }: Job, entry: TimelineEntry): FineTuningEvent {
  const common = {
    id: eventIdOf(id, entry),
    object: 'fine_tuning.job.event' as const,
    created_at: seconds(entry.at),
  };
  if ('seq' in entry)
    return { ...common, level: entry.level, message: entry.message, type: 'message', data: null };
  const { step, kind, loss, epochs } = entry;
  const name = kind === 'train' ? 'training' : 'validation';
  return {
    ...common,
    level: 'info',
    message: `Step ${step}${totalSteps === null ? '' : `/${totalSteps}`}: ${name} loss=${loss.toFixed(4)}`,
    type: 'metrics',
    data: { ...measuredOf([entry]), total_steps: totalSteps, epochs },
  };
}

/** Metrics of one step by the names that they have in OpenAI's API. */
function measuredOf(metrics: JobMetric[]): FineTuningCheckpoint['metrics'] {
  const named: FineTuningCheckpoint['metrics'] = { step: metrics[0]?.step ?? 0 };
  for (const { kind, loss, accuracy } of metrics) {
    const prefix = kind === 'train' ? 'train' : 'valid';
    named[`${prefix}_loss`] = loss;
    if (accuracy !== null) named[`${prefix}_mean_token_accuracy`] = accuracy;
  }
  return named;
}

/**
 * A state that training went through. It is a model by the name that it has here, or that of the version, once it is a version; what the job
 * has published goes by the version's name alone.
 */
export function checkpointView(
  team: string,
  job: Job,
  { step, at, trainLoss, evalLoss, evalAccuracy, version }: JobCheckpoint,
): FineTuningCheckpoint {
  const isResult = version !== null && version === job.version;
  return {
    id: `ftckpt-${bare(job.id)}-${step}`,
    object: 'fine_tuning.job.checkpoint',
    created_at: seconds(at),
    fine_tuned_model_checkpoint: isResult
      ? modelNameOf(team, { adapter: job.adapter, number: version })
      : `${team}/${job.adapter}@${checkpointRef(job.id, step)}`,
    fine_tuning_job_id: job.id,
    step_number: step,
    metrics: {
      step,
      ...(trainLoss !== null && { train_loss: trainLoss }),
      ...(evalLoss !== null && { valid_loss: evalLoss }),
      ...(evalAccuracy !== null && { valid_mean_token_accuracy: evalAccuracy }),
    },
  };
}
