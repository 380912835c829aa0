import { type JobMetric, type SweepMetric, type SweepTrial } from '@lowrank/contracts';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { type SweepRecord } from '../ports/sweeps';
import { isFinal } from '../state-machine';
import { ofTeam, orNull, pageOf, refuseUnless, withoutTeam } from './rows';
import { type Tables } from './tables';

type TrialRow = Tables['trials'][number];

export function sweepRepositoryOf(tables: Tables): Repositories['sweeps'] {
  const jobsOf = (id: string) => tables.jobs.filter(({ sweep }) => sweep?.id === id);
  const toRecord = (row: Tables['sweeps'][number]): SweepRecord => ({
    ...row,
    trialCount: jobsOf(row.id).length,
    finishedCount: jobsOf(row.id).filter(({ state }) => isFinal(state)).length,
  });
  const trialOf = (id: string, number: number) =>
    tables.trials.find((one) => one.sweepId === id && one.number === number);

  const toTrial = (row: TrialRow, metric: SweepMetric): SweepTrial => {
    const job = tables.jobs.find(({ id }) => id === row.jobId) as JobRecord;
    const rungs = tables.rungs.filter(
      ({ sweepId, trial }) => sweepId === row.sweepId && trial === row.number,
    );
    const evaluations = tables.metrics
      .filter(({ jobId, kind, step }) => jobId === row.jobId && kind === 'eval' && step > 0)
      .sort((a, b) => a.step - b.step);
    const cost = ({ loss, accuracy }: JobMetric) => (metric === 'loss' ? loss : -(accuracy ?? -Infinity));
    const seen = ({ step, loss, accuracy }: JobMetric) => ({ step, loss, accuracy });
    const final = row.result?.manifest.metrics;
    const { number, jobId, parameters } = row;
    const { state, step, totalSteps, stoppedEarly, version } = job;
    return {
      ...{ number, jobId, parameters, state, step, totalSteps, stoppedEarly, version },
      latest: orNull(evaluations.at(-1), seen),
      best: orNull([...evaluations].sort((a, b) => cost(a) - cost(b) || a.step - b.step)[0], seen),
      rung: rungs.length === 0 ? null : Math.max(...rungs.map(({ rung }) => rung)),
      result:
        final === undefined || final.evalLossAfter === null
          ? null
          : { loss: final.evalLossAfter, accuracy: final.evalAccuracyAfter },
    };
  };

  return {
    insert: async (teamId, sweep) => {
      const fresh = { state: 'running', cancelRequested: false, promoted: null, finishedAt: null } as const;
      tables.sweeps.push({ ...sweep, ...fresh, teamId });
    },
    addTrials: async (sweepId, trials) => {
      for (const { number, jobId, parameters } of trials) {
        refuseUnless(
          tables.jobs.some(({ id }) => id === jobId),
          'job',
        );
        tables.trials.push({ number, jobId, parameters, sweepId, result: null });
      }
    },
    find: async (teamId, id) =>
      orNull(
        ofTeam(tables.sweeps, teamId).find((one) => one.id === id),
        (row) => withoutTeam(toRecord(row)),
      ),
    list: async (teamId, { state, ...page }) =>
      pageOf(
        ofTeam(tables.sweeps, teamId),
        page,
        (row) => withoutTeam(toRecord(row)),
        (row) => !state || row.state === state,
      ),
    lock: async (id) =>
      orNull(
        tables.sweeps.find((one) => one.id === id),
        toRecord,
      ),
    update: async (id, patch) => void Object.assign(tables.sweeps.find((one) => one.id === id) ?? {}, patch),
    unsettled: async (limit) =>
      tables.sweeps
        .map(toRecord)
        .filter(
          ({ state, cancelRequested, trialCount, finishedCount }) =>
            state === 'running' && (cancelRequested || trialCount === finishedCount),
        )
        .slice(0, limit)
        .map(({ id }) => id),
    trials: async (id) => {
      const metric = tables.sweeps.find((one) => one.id === id)?.metric ?? 'loss';
      return tables.trials
        .filter(({ sweepId }) => sweepId === id)
        .sort((a, b) => a.number - b.number)
        .map((row) => toTrial(row, metric));
    },
    keepResult: async (id, trial, result) => {
      const row = trialOf(id, trial);
      if (row) row.result ??= result;
    },
    result: async (id, trial) => trialOf(id, trial)?.result ?? null,
    report: async (id, { rung, trial, value }) => {
      if (tables.rungs.some((one) => one.sweepId === id && one.rung === rung && one.trial === trial))
        return false;
      tables.rungs.push({ sweepId: id, rung, trial, value });
      return true;
    },
    reported: async (id, rung) =>
      tables.rungs.filter((one) => one.sweepId === id && one.rung === rung).map(({ value }) => value),
  };
}
