import {
  type EvaluateWork,
  type EvaluationManifest,
  type EvaluationMove,
  type EvaluationResult,
  LowrankError,
} from '@lowrank/contracts';
import { type AttemptRef, succeed, withAttempt } from '../attempts/attempt';
import { changeAlias } from '../catalog/aliases';
import { type Ports } from '../ports';
import { type JobRecord, type Repositories, type UnitOfWork } from '../ports/repositories';
import { describeStanding, standingOf } from './standing';

const figure = ({ measure, value }: EvaluationResult): string =>
  `${measure.metric} ${Number(value.toFixed(6))}`;

/**
 * Writes down what a version was measured as and ends the job as succeeded, in one transaction; the move that was to follow is made in it too,
 * with its row in the audit log, if the version passes the gate as it is by now. Resolves to the job as it is then, or to null, writing
 * nothing, when the attempt is fenced. Errors: conflict when the manifest is not of this job.
 */
export async function publishEvaluation(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  attempt: AttemptRef,
  manifest: EvaluationManifest,
): Promise<JobRecord | null> {
  const at = clock.now();
  const behalf = await onBehalf(unitOfWork, attempt.jobId);
  return withAttempt(behalf, attempt, async (repositories, job) => {
    const { work, dataset } = job;
    if (
      work.kind !== 'evaluate' ||
      manifest.jobId !== job.id ||
      manifest.epoch > job.epoch ||
      manifest.versionId !== work.version.id
    )
      throw new LowrankError('conflict', `The manifest is not of job ${job.id}.`);
    const facts = { dataset, limits: work.settings.limits, move: null, at };
    await repositories.evaluations.publish(job.teamId, manifest, facts);
    const move = work.move && (await moveAfter(repositories, job, work, work.move, at));
    if (move !== null) await repositories.evaluations.setMove(job.id, move);
    const { adapter, number } = work.version;
    const figures = manifest.results.map(figure).join(', ');
    return succeed(repositories, job, {
      at,
      message: `Evaluated ${adapter} v${number} on ${manifest.rows} rows: ${figures}.${move === null ? '' : ` ${move.reason}`}`,
    });
  });
}

/** A unit of work whose changes are, to the audit log, those of whoever asked for the move. */
async function onBehalf(unitOfWork: UnitOfWork, jobId: string): Promise<UnitOfWork> {
  const job = await unitOfWork.run(({ jobs }) => jobs.lock(jobId));
  if (job?.work.kind !== 'evaluate' || job.work.move === null) return unitOfWork;
  const { actor, requestId } = job.work.move;
  return unitOfWork.forDeed({ teamId: job.teamId, actor, action: 'adapters.write', requestId }).acrossTeams;
}

/** Moves the alias, unless something has come in between; nothing that has is an error of the evaluation. */
async function moveAfter(
  repositories: Repositories,
  { teamId }: JobRecord,
  { version: { adapter, number } }: EvaluateWork,
  { alias, from, actor }: NonNullable<EvaluateWork['move']>,
  at: string,
): Promise<EvaluationMove> {
  const stays = (why: string) => ({ alias, isDone: false, reason: `Alias '${alias}' stays: ${why}.` });
  const { adapters, aliases, evaluations, gates } = repositories;
  if ((await adapters.lock(teamId, adapter)) === null) return stays('the adapter is deleted');
  if ((await adapters.version(teamId, adapter, number)) === null) return stays('the version is deleted');
  const current = (await aliases.find(teamId, adapter, alias))?.version ?? null;
  if (current === number)
    return { alias, isDone: true, reason: `Alias '${alias}' stands on v${number} already.` };
  if (current !== from)
    return stays(`it has moved ${current === null ? 'away' : `to v${current}`} since that was asked for`);
  const gate = await gates.find(teamId, adapter, alias);
  if (gate !== null) {
    const standing = standingOf(gate, await evaluations.list(teamId, adapter, number));
    const missing = standing.filter(({ passed }) => !passed).map(describeStanding);
    if (missing.length > 0) return stays(missing.join('; '));
  }
  await changeAlias(
    repositories,
    teamId,
    { adapter, alias, actor: actor.id },
    at,
    async (_current, last) => ({
      ...{ action: 'move', to: number, returnsTo: current !== null && last ? last.seq : null },
      gate: gate === null ? null : 'passed',
    }),
  );
  return { alias, isDone: true, reason: `Alias '${alias}' moved to v${number}.` };
}
