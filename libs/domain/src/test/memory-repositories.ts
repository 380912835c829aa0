import { finalJobStates, LowrankError } from '@lowrank/contracts';
import { type Deed } from '../ports/audit';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { isFinal, isHeld } from '../state-machine';
import { byAge, compare, ofTeam, orNull, pageOf, refuseUnless, storable, withoutTeam } from './rows';
import { adapterRepositoryOf } from './memory-adapters';
import { jobLogOf } from './memory-job-log';
import { aliasRepositoryOf } from './memory-aliases';
import { apiKeyRepositoryOf } from './memory-api-keys';
import { auditRepositoryOf } from './memory-audit';
import { checkpointRepositoryOf } from './memory-checkpoints';
import { datasetRepositoryOf } from './memory-datasets';
import { grantRepositoryOf } from './memory-grants';
import { memberRepositoriesOf } from './memory-members';
import { outboxOf } from './memory-outbox';
import { statisticsOf } from './memory-statistics';
import { isAlike, suits, toJob, toWaiting } from './memory-job-rows';
import { estimateRepositoryOf } from './memory-estimates';
import { evaluationRepositoryOf, gateRepositoryOf } from './memory-evaluations';
import { pinRepositoryOf } from './memory-pins';
import { exportRepositoryOf } from './memory-exports';
import { retentionRepositoryOf } from './memory-retention';
import { sweepRepositoryOf } from './memory-sweeps';
import { partyRepositoryOf } from './memory-parties';
import { uploadRepositoryOf } from './memory-uploads';
import { usageRepositoryOf } from './memory-usage';
import { webhookRepositoryOf } from './memory-webhooks';
import { freshTeam, type Tables } from './tables';

export function repositoriesOf(tables: Tables, deed: Deed | null): Repositories {
  return {
    apiKeys: apiKeyRepositoryOf(tables),
    audit: auditRepositoryOf(tables, deed),
    ...memberRepositoriesOf(tables),
    grants: grantRepositoryOf(tables),
    uploads: uploadRepositoryOf(tables),
    usage: usageRepositoryOf(tables),
    baseModels: {
      insert: async (teamId, model) => {
        if (ofTeam(tables.baseModels, teamId).some((one) => one.name === model.name))
          throw new LowrankError('name_taken', `There is a base model '${model.name}' already.`);
        tables.baseModels.push({ ...model, teamId });
      },
      find: async (teamId, key) => {
        const models = ofTeam(tables.baseModels, teamId);
        return orNull(
          models.find((one) => one.id === key) ?? models.find((one) => one.name === key),
          withoutTeam,
        );
      },
      bySource: async (teamId, source) =>
        ofTeam(tables.baseModels, teamId)
          .filter((one) => one.source === source && one.status === 'ready')
          .sort((a, b) => byAge(b, a))
          .map(withoutTeam),
      list: async (teamId, page) => pageOf(ofTeam(tables.baseModels, teamId), page, withoutTeam),
      firstReady: async (teamId) =>
        orNull(
          ofTeam(tables.baseModels, teamId)
            .filter((one) => one.status === 'ready')
            .sort(byAge)[0],
          withoutTeam,
        ),
    },
    datasets: datasetRepositoryOf(tables),
    jobs: jobRepositoryOf(tables),
    checkpoints: checkpointRepositoryOf(tables),
    adapters: adapterRepositoryOf(tables, deed),
    aliases: aliasRepositoryOf(tables),
    outbox: outboxOf(tables),
    teams: teamRepositoryOf(tables),
    statistics: statisticsOf(tables),
    webhooks: webhookRepositoryOf(tables),
    exports: exportRepositoryOf(tables),
    estimates: estimateRepositoryOf(tables),
    evaluations: evaluationRepositoryOf(tables),
    retention: retentionRepositoryOf(tables),
    gates: gateRepositoryOf(tables),
    pins: pinRepositoryOf(tables),
    sweeps: sweepRepositoryOf(tables),
    parties: partyRepositoryOf(tables),
    workers: {
      upsert: async (worker) => {
        const { drain = null, failure = null } = tables.workers.find((one) => one.id === worker.id) ?? {};
        const row = { ...worker, drain, failure };
        tables.workers = [...tables.workers.filter((one) => one.id !== worker.id), row];
        return { ...row };
      },
      find: async (id) => tables.workers.find((one) => one.id === id) ?? null,
      seenSince: async (since) =>
        tables.workers
          .filter((one) => one.seenAt >= since)
          .sort((a, b) => compare(a.hostname, b.hostname) || compare(a.id, b.id)),
      setDrain: async (id, drain) => {
        const worker = tables.workers.find((one) => one.id === id);
        if (worker) Object.assign(worker, drain === null ? { drain, failure: null } : { drain });
        return worker !== undefined;
      },
      fail: async (id, failure) => {
        const worker = tables.workers.find((one) => one.id === id);
        if (worker) Object.assign(worker, { drain: 'checkpoint', failure });
        return worker !== undefined;
      },
      remove: async (id) => {
        tables.workers = tables.workers.filter((one) => one.id !== id);
      },
      removeUnseen: async (since) => {
        const gone = tables.workers.filter((one) => one.seenAt < since).map((one) => one.id);
        tables.workers = tables.workers.filter((one) => !gone.includes(one.id));
        return gone.sort();
      },
    },
  };
}

function jobRepositoryOf(tables: Tables): Repositories['jobs'] {
  const find = (id: string) => tables.jobs.find((job) => job.id === id);
  const own = (teamId: string, id: string) => ofTeam(tables.jobs, teamId).find((job) => job.id === id);
  const byRankOf = (a: JobRecord, b: JobRecord) => compare(a.rankAt, b.rankAt) || compare(a.id, b.id);
  /** Whether fewer trials of its sweep than may have a slot have one or come before it. */
  const mayHaveSlot = (job: JobRecord): boolean => {
    const most = tables.sweeps.find(({ id }) => id === job.sweep?.id)?.maxConcurrent ?? Infinity;
    const ahead = tables.jobs.filter(
      (other) =>
        other.sweep?.id === job.sweep?.id &&
        (isHeld(other.state) ||
          (other.state === 'queued' && (other.assignedTo !== null || byRankOf(other, job) < 0))),
    );
    return ahead.length < most;
  };
  const startable = (now: string) =>
    tables.jobs
      .filter(
        ({ state, assignedTo, notBefore }) =>
          state === 'queued' && assignedTo === null && (notBefore === null || notBefore <= now),
      )
      .sort(byRankOf)
      .filter(mayHaveSlot);
  const log = jobLogOf(tables);
  const update: Repositories['jobs']['update'] = async (id, epoch, patch) => {
    const job = find(id);
    if (job?.epoch !== epoch) return false;
    Object.assign(job, patch);
    if (patch.error) job.error = { ...patch.error, message: storable(patch.error.message) };
    return true;
  };
  return {
    ...log,
    insert: async (teamId, ...jobs) => {
      for (const job of jobs) {
        if (!ofTeam(tables.datasets, teamId).some((one) => one.id === job.dataset.id))
          throw new LowrankError('not_found', `There is no dataset ${job.dataset.id}.`);
        refuseUnless(
          tables.baseModels.some((one) => one.id === job.baseModel.id),
          'base model',
        );
        refuseUnless(
          ofTeam(tables.adapters, teamId).some((one) => one.name === job.adapter),
          'adapter',
        );
        tables.jobs.push({
          ...job,
          teamId,
          state: 'queued',
          epoch: 1,
          step: 0,
          totalSteps: null,
          trainedTokens: 0,
          cancelRequested: false,
          pauseRequested: false,
          preemptRequested: false,
          deviceSeconds: 0,
          assignedTo: null,
          assignedAt: null,
          attemptStartedAt: null,
          host: null,
          party: null,
          waitingFor: null,
          deviceClass: null,
          estimatedBytes: job.estimate?.memory?.bytes ?? null,
          sharedBytes: job.estimate?.memory?.sharedBytes ?? null,
          traceparent: null,
          stoppedEarly: null,
          version: null,
          error: null,
          startedAt: null,
          finishedAt: null,
          fruitlessAttempts: 0,
          memoryRetries: 0,
          deviceFailures: 0,
          checkpointStep: 0,
          mirroredStep: 0,
          workerId: null,
          heartbeatAt: null,
        });
      }
    },
    find: async (teamId, id) => orNull(own(teamId, id), toJob),
    detail: async (teamId, id) =>
      orNull(own(teamId, id), (job) => ({ ...toJob(job), estimate: job.estimate })),
    list: async (teamId, { state, kind, adapter, sweep, metadata = {}, ...page }) =>
      pageOf(
        ofTeam(tables.jobs, teamId),
        page,
        toJob,
        (job) =>
          (!state || job.state === state) &&
          (!kind || job.work.kind === kind) &&
          (!adapter || job.adapter === adapter) &&
          (!sweep || job.sweep?.id === sweep) &&
          Object.entries(metadata).every(([name, text]) => job.metadata[name] === text),
      ),
    lock: async (id) => orNull(find(id), ({ estimate: _estimate, ...record }) => record),
    update,
    move: async (id, epoch, to, told, patch = {}) => {
      if (!(await update(id, epoch, patch))) return false;
      Object.assign(find(id) ?? {}, { state: to });
      await log.appendEvent(id, { ...told, epoch, type: 'state', state: to });
      return true;
    },
    countUnfinished: async (teamId, adapter) =>
      ofTeam(tables.jobs, teamId).filter(
        (job) => job.adapter === adapter && !finalJobStates.includes(job.state),
      ).length,
    countQueued: async (teamId) => ofTeam(tables.jobs, teamId).filter((job) => job.state === 'queued').length,
    assign: async (choices, at) =>
      choices.flatMap(({ jobId, epoch, workerId }) => {
        const job = tables.jobs.find((one) => one.id === jobId && one.epoch === epoch);
        if (job?.state !== 'queued' || job.assignedTo !== null) return [];
        Object.assign(job, { assignedTo: workerId, assignedAt: at });
        return [jobId];
      }),
    waiting: async (now, perTeam) => {
      const byRank = startable(now);
      return byRank.filter((job) => ofTeam(byRank, job.teamId).indexOf(job) < perTeam).map(toWaiting);
    },
    suited: async (now, offers) => {
      const byRank = startable(now);
      const chosen = new Set<JobRecord>();
      for (const offer of offers) {
        const suiting = byRank.filter((job) => suits(job, offer));
        for (const job of suiting) if (ofTeam(suiting, job.teamId).indexOf(job) < offer.most) chosen.add(job);
      }
      return byRank.filter((job) => chosen.has(job)).map(toWaiting);
    },
    placed: async () =>
      tables.jobs
        .filter((job) => isHeld(job.state) || (job.state === 'queued' && job.assignedTo !== null))
        .sort((a, b) => compare(a.id, b.id))
        .map(({ id, epoch, teamId, state, priority, placement, workerId, ...job }) => ({
          ...{ id, epoch, teamId, state, priority, placement, workerId },
          ...{ estimatedBytes: job.estimatedBytes, sharedBytes: job.sharedBytes },
          rankAt: job.rankAt,
          assignedTo: job.assignedTo,
          assignedAt: job.assignedAt,
          attemptStartedAt: job.attemptStartedAt,
          cancelRequested: job.cancelRequested,
          pauseRequested: job.pauseRequested,
          preemptRequested: job.preemptRequested,
          party: job.party,
        })),
    lockAlike: async (like, now, limit) =>
      startable(now)
        .filter((job) => isAlike(job, like) && job.fruitlessAttempts === 0)
        .slice(0, limit),
    countAssignedAlike: async (like) =>
      tables.jobs.filter((job) => isAlike(job, like) && job.state === 'queued' && job.assignedTo !== null)
        .length,
    finished: async (ids) =>
      tables.jobs
        .filter((job) => ids.includes(job.id) && isFinal(job.state))
        .sort((a, b) => compare(a.id, b.id))
        .map(({ id, epoch }) => ({ id, epoch })),
    overdue: async (now, limit) =>
      tables.jobs
        .filter((job) => job.deadline !== null && job.deadline <= now && !isFinal(job.state))
        .sort((a, b) => compare(a.deadline ?? '', b.deadline ?? '') || compare(a.id, b.id))
        .slice(0, limit),
    silent: async (before, limit) =>
      tables.jobs
        .filter((job) => isHeld(job.state) && job.heartbeatAt !== null && job.heartbeatAt < before)
        .sort((a, b) => compare(a.heartbeatAt ?? '', b.heartbeatAt ?? ''))
        .slice(0, limit),
  };
}

function teamRepositoryOf(tables: Tables): Repositories['teams'] {
  const find = async (id: string) => tables.teams.find((team) => team.id === id) ?? null;
  return {
    find,
    lock: find,
    findByName: async (name) => tables.teams.find((team) => team.name === name) ?? null,
    insert: async ({ id, name }) => void tables.teams.push(freshTeam(id, name)),
    change: async (id, quotas) => void Object.assign((await find(id)) ?? {}, quotas),
    charge: async (teamId, hours) => {
      refuseUnless(hours.length === 0 || (await find(teamId)) !== null, 'team');
      tables.usage.push(...hours.map((piece) => ({ ...piece, teamId })));
    },
    shares: async ({ now, monthStart, decaySeconds, id }) =>
      tables.teams
        .filter((team) => id === undefined || team.id === id)
        .sort((a, b) => compare(a.id, b.id))
        .map((team) => {
          const hours = ofTeam(tables.usage, team.id);
          const ageOf = (hour: string) => (Date.parse(now) - Date.parse(hour)) / 1000;
          const total = (pieces: { seconds: number }[]) =>
            pieces.reduce((sum, { seconds }) => sum + seconds, 0);
          const recent = hours
            .filter(({ hour }) => ageOf(hour) <= 86_400)
            .map(({ hour, seconds }) => ({
              seconds: seconds * Math.exp(-Math.max(0, ageOf(hour) - 1800) / decaySeconds),
            }));
          const monthSeconds = total(hours.filter(({ hour }) => hour >= monthStart));
          return { ...team, monthSeconds, recentSeconds: total(recent) };
        }),
  };
}
