import { type JobMetric, LowrankError, type MetricColumns } from '@lowrank/contracts';
import { type JobLogRepository, type TimelineEntry, type TimelineKey } from '../ports/job-log';
import { compare, refuseUnless, storable } from './rows';
import { type Tables } from './tables';

/** Older before newer; at one time metrics before events. */
function byTime(a: TimelineEntry, b: TimelineEntry): number {
  const rank = (entry: TimelineEntry) => ('seq' in entry ? 1 : 0);
  const number = (entry: TimelineEntry) => ('seq' in entry ? entry.seq : entry.step);
  const kind = (entry: TimelineEntry) => ('seq' in entry ? '' : entry.kind);
  return compare(a.at, b.at) || rank(a) - rank(b) || number(a) - number(b) || compare(kind(a), kind(b));
}

const isAt = (entry: TimelineEntry, key: TimelineKey): boolean =>
  'seq' in key
    ? 'seq' in entry && entry.seq === key.seq
    : 'step' in entry && entry.step === key.step && entry.kind === key.kind;

export function jobLogOf(tables: Tables): JobLogRepository {
  const find = (id: string) => tables.jobs.find((job) => job.id === id);
  return {
    appendEvent: async (id, event) => {
      if (!find(id)) throw new LowrankError('not_found', `There is no job ${id}.`);
      const seq = tables.events.filter((one) => one.jobId === id).length + 1;
      const row = { ...event, message: storable(event.message), seq };
      tables.events.push({ ...row, jobId: id });
      return row;
    },
    beginHistory: async (ids, event) =>
      void tables.events.push(...ids.map((jobId) => ({ ...event, jobId, seq: 1 }))),
    events: async (id, afterSeq, limit) =>
      tables.events
        .filter((event) => event.jobId === id && event.seq > afterSeq)
        .slice(0, limit)
        .map(({ jobId: _jobId, ...event }) => event),
    putMetrics: async (id, metrics) => {
      refuseUnless(metrics.length === 0 || find(id) !== undefined, 'job');
      for (const metric of metrics) {
        tables.metrics = tables.metrics.filter(
          (one) => !(one.jobId === id && one.step === metric.step && one.kind === metric.kind),
        );
        tables.metrics.push({ ...metric, jobId: id });
      }
    },
    metrics: async (id, { afterStep = -1, limit }) =>
      tables.metrics
        .filter((metric) => metric.jobId === id && metric.step > afterStep)
        .sort((a, b) => a.step - b.step || compare(a.kind, b.kind))
        .slice(0, limit)
        .map(({ jobId: _jobId, ...metric }) => metric),
    metricColumns: async (id, afterStep) => {
      const columnsOf = (kind: JobMetric['kind']): MetricColumns => {
        const rows = tables.metrics
          .filter((one) => one.jobId === id && one.kind === kind && one.step > afterStep)
          .sort((a, b) => a.step - b.step);
        const column = (
          field: 'learningRate' | 'gradNorm' | 'tokensPerSecond' | 'accuracy' | 'rewardMargin',
        ) => (rows.some((row) => row[field] !== null) ? rows.map((row) => row[field]) : null);
        return {
          step: rows.map(({ step }) => step),
          at: rows.map(({ at }) => Date.parse(at)),
          loss: rows.map(({ loss }) => loss),
          ...{ learningRate: column('learningRate'), gradNorm: column('gradNorm') },
          ...{ tokensPerSecond: column('tokensPerSecond'), accuracy: column('accuracy') },
          rewardMargin: column('rewardMargin'),
        };
      };
      return { train: columnsOf('train'), eval: columnsOf('eval') };
    },
    sampledMetrics: async (teamId, ids, points) =>
      tables.jobs
        .filter((job) => job.teamId === teamId && ids.includes(job.id))
        .map(({ id }) => {
          const all = tables.metrics
            .filter((metric) => metric.jobId === id)
            .sort((a, b) => a.step - b.step || compare(a.kind, b.kind));
          const metrics = all.filter((metric) => {
            const same = all.filter(({ kind }) => kind === metric.kind);
            const place = same.indexOf(metric);
            return place % Math.ceil(same.length / points) === 0 || place === same.length - 1;
          });
          return { job: id, metrics: metrics.map(({ jobId: _jobId, ...metric }) => metric) };
        })
        .filter(({ metrics }) => metrics.length > 0)
        .sort((a, b) => compare(a.job, b.job)),
    lossTails: async (ids, points) =>
      [...ids].sort(compare).flatMap((jobId) => {
        const steps = tables.metrics
          .filter((metric) => metric.jobId === jobId && metric.kind === 'train')
          .sort((a, b) => a.step - b.step);
        const losses = steps.slice(-points).map(({ step, loss }) => ({ step, loss }));
        return losses.length === 0 ? [] : [{ jobId, losses }];
      }),
    putSamples: async (id, samples) => {
      refuseUnless(find(id) !== undefined, 'job');
      tables.samples = tables.samples.filter((one) => one.jobId !== id || one.step !== samples.step);
      tables.samples.push({ ...samples, jobId: id });
    },
    samples: async (id) =>
      tables.samples
        .filter(({ jobId }) => jobId === id)
        .sort((a, b) => a.step - b.step)
        .map(({ jobId: _jobId, ...samples }) => samples),
    truncateMetrics: async (id, step) => {
      tables.metrics = tables.metrics.filter((metric) => metric.jobId !== id || metric.step <= step);
      tables.samples = tables.samples.filter((one) => one.jobId !== id || one.step <= step);
    },
    appendLog: async (id, lines, keep) => {
      refuseUnless(lines.length === 0 || find(id) !== undefined, 'job');
      const rowsOf = () => tables.log.filter((line) => line.jobId === id);
      const last = rowsOf().at(-1)?.seq ?? 0;
      tables.log.push(
        ...lines.map((line, i) => ({
          ...line,
          message: storable(line.message),
          jobId: id,
          seq: last + 1 + i,
        })),
      );
      const kept = rowsOf().slice(-keep);
      tables.log = [...tables.log.filter((line) => line.jobId !== id), ...kept];
    },
    log: async (id, afterSeq, limit) =>
      tables.log
        .filter((line) => line.jobId === id && line.seq > afterSeq)
        .slice(0, limit)
        .map(({ jobId: _jobId, ...line }) => line),
    timeline: async (id, { before, limit }) => {
      const all: TimelineEntry[] = [...tables.events, ...tables.metrics]
        .filter((entry) => entry.jobId === id)
        .map(({ jobId: _jobId, ...entry }) => entry);
      const entries = all.sort((a, b) => byTime(b, a));
      const last = before === undefined ? -1 : entries.findIndex((entry) => isAt(entry, before));
      if (before !== undefined && last < 0)
        throw new LowrankError('validation_failed', 'There is no such event to list on from.');
      return entries.slice(last + 1, last + 1 + limit);
    },
  };
}
