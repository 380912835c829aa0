import {
  type JobEvent,
  type JobLogLine,
  type JobMetric,
  type JobSample,
  LowrankError,
  type MetricColumns,
} from '@lowrank/contracts';
import { type JobLogRepository, type TimelineEntry, type TimelineKey } from '@lowrank/domain';
import { Prisma } from '../generated/client';
import { type JobEventModel, type JobLogModel, type JobMetricModel } from '../generated/models';
import { fromJson, iso, storableText, toJson, type Tx } from '../values';

const toEvent = ({ seq, at, epoch, level, type, message, state }: JobEventModel): JobEvent => ({
  seq,
  at: iso(at),
  epoch,
  level: level as JobEvent['level'],
  type: type as JobEvent['type'],
  message,
  state: state as JobEvent['state'],
});

const toMetric = ({ jobId: _jobId, at, kind, ...rest }: JobMetricModel): JobMetric => ({
  ...rest,
  at: iso(at),
  kind: kind as JobMetric['kind'],
});

const toLogLine = ({ jobId: _jobId, at, level, ...rest }: JobLogModel): JobLogLine => ({
  ...rest,
  at: iso(at),
  level: level as JobLogLine['level'],
});

const noColumns: MetricColumns = {
  ...{ step: [], at: [], loss: [], learningRate: null, gradNorm: null },
  ...{ tokensPerSecond: null, accuracy: null, rewardMargin: null },
};

/** A model may say anything. */
const storableSample = ({ prompt, expected, text }: JobSample): JobSample => ({
  prompt: storableText(prompt),
  expected: expected === null ? null : storableText(expected),
  text: storableText(text),
});

/** Where an event or a metric stands among both: by time, and at one time metrics before events. */
interface Place {
  at: Date;
  source: number;
  /** seq or step. */
  number: number;
  kind: string;
}
const eventSource = 1;

async function placeOf(db: Tx, jobId: string, key: TimelineKey): Promise<Place> {
  const row =
    'seq' in key
      ? await db.jobEvent.findUnique({ where: { jobId_seq: { jobId, seq: key.seq } }, select: { at: true } })
      : await db.jobMetric.findUnique({
          where: { jobId_step_kind: { jobId, ...key } },
          select: { at: true },
        });
  if (row === null)
    throw new LowrankError('validation_failed', 'There is no such event to list on from.', [
      { path: 'after', message: 'is not in this list; start again without it' },
    ]);
  return 'seq' in key
    ? { at: row.at, source: eventSource, number: key.seq, kind: '' }
    : { at: row.at, source: 0, number: key.step, kind: key.kind };
}

export const jobLog = (db: Tx): JobLogRepository => ({
  async appendEvent(id, event) {
    // Counting on the job's row locks it, so that racing writers get numbers in the order in which they commit.
    const [job] = await db.job.updateManyAndReturn({
      where: { id },
      data: { eventSeq: { increment: 1 } },
      select: { eventSeq: true },
    });
    if (!job) throw new LowrankError('not_found', `There is no job ${id}.`);
    const row = await db.jobEvent.create({
      data: {
        ...event,
        message: storableText(event.message),
        at: new Date(event.at),
        jobId: id,
        seq: job.eventSeq,
      },
    });
    return toEvent(row);
  },

  async beginHistory(ids, event) {
    await db.job.updateMany({ where: { id: { in: ids } }, data: { eventSeq: 1 } });
    const row = { ...event, message: storableText(event.message), at: new Date(event.at), seq: 1 };
    await db.jobEvent.createMany({ data: ids.map((jobId) => ({ ...row, jobId })) });
  },

  async events(id, afterSeq, limit) {
    const rows = await db.jobEvent.findMany({
      where: { jobId: id, seq: { gt: afterSeq } },
      orderBy: { seq: 'asc' },
      take: limit,
    });
    return rows.map(toEvent);
  },

  async timeline(id, { before, limit }) {
    const last = before === undefined ? null : await placeOf(db, id, before);
    // Which ones first, then their rows: the two tables have few columns in common.
    const keys = await db.$queryRaw<Place[]>`
      SELECT at, source, number, kind FROM (
        SELECT at, 1 AS source, seq AS number, '' AS kind FROM job_events WHERE job_id = ${id}
        UNION ALL
        SELECT at, 0, step, kind FROM job_metrics WHERE job_id = ${id}
      ) entry
      WHERE ${last === null} OR (at, source, number, kind) < (
        ${last?.at ?? null}::timestamptz, ${last?.source ?? 0}, ${last?.number ?? 0}, ${last?.kind ?? ''})
      ORDER BY at DESC, source DESC, number DESC, kind DESC LIMIT ${limit}`;
    const seqs = keys.filter(({ source }) => source === eventSource).map(({ number }) => number);
    const steps = keys.filter(({ source }) => source !== eventSource).map(({ number }) => number);
    const events = await db.jobEvent.findMany({ where: { jobId: id, seq: { in: seqs } } });
    const metrics = await db.jobMetric.findMany({ where: { jobId: id, step: { in: steps } } });
    return keys.flatMap(({ source, number, kind }): TimelineEntry[] =>
      source === eventSource
        ? events.filter(({ seq }) => seq === number).map(toEvent)
        : metrics.filter((metric) => metric.step === number && metric.kind === kind).map(toMetric),
    );
  },

  async putMetrics(id, metrics) {
    // Of rows with the same key the last one counts, as if they had come one after the other.
    const last = new Map(metrics.map((metric) => [`${metric.step} ${metric.kind}`, metric]));
    if (last.size === 0) return;
    const rows = JSON.stringify([...last.values()]);
    await db.$executeRaw`
      INSERT INTO job_metrics
        (job_id, step, kind, at, loss, learning_rate, grad_norm, tokens_per_second, epochs, accuracy,
         reward_margin)
      SELECT ${id}, step, kind, at, loss, "learningRate", "gradNorm", "tokensPerSecond", epochs, accuracy,
        "rewardMargin"
      FROM jsonb_to_recordset(${rows}::jsonb) AS metric
        (step integer, kind text, at timestamptz, loss float8, "learningRate" float8, "gradNorm" float8,
         "tokensPerSecond" float8, epochs float8, accuracy float8, "rewardMargin" float8)
      ORDER BY step, kind
      ON CONFLICT (job_id, step, kind) DO UPDATE SET
        (at, loss, learning_rate, grad_norm, tokens_per_second, epochs, accuracy, reward_margin) =
        (excluded.at, excluded.loss, excluded.learning_rate, excluded.grad_norm, excluded.tokens_per_second,
         excluded.epochs, excluded.accuracy, excluded.reward_margin)`;
  },

  async metrics(id, { afterStep, limit }) {
    const rows = await db.jobMetric.findMany({
      where: { jobId: id, ...(afterStep === undefined ? {} : { step: { gt: afterStep } }) },
      orderBy: [{ step: 'asc' }, { kind: 'asc' }],
      take: limit,
    });
    return rows.map(toMetric);
  },

  async metricColumns(id, afterStep) {
    const column = (name: string) =>
      Prisma.raw(`CASE WHEN count(${name}) > 0 THEN json_agg(${name} ORDER BY step) END`);
    const rows = await db.$queryRaw<(MetricColumns & { kind: string })[]>`
      SELECT kind, json_agg(step ORDER BY step) AS step,
        json_agg(round(extract(epoch FROM at) * 1000)::int8 ORDER BY step) AS at,
        json_agg(loss ORDER BY step) AS loss, ${column('learning_rate')} AS "learningRate",
        ${column('grad_norm')} AS "gradNorm", ${column('tokens_per_second')} AS "tokensPerSecond",
        ${column('accuracy')} AS accuracy, ${column('reward_margin')} AS "rewardMargin"
      FROM job_metrics WHERE job_id = ${id} AND step > ${afterStep} GROUP BY kind`;
    const columnsOf = (wanted: JobMetric['kind']): MetricColumns => {
      const found = rows.find(({ kind }) => kind === wanted);
      if (found === undefined) return noColumns;
      const { step, at, loss, learningRate, gradNorm, tokensPerSecond, accuracy, rewardMargin } = found;
      return { step, at, loss, learningRate, gradNorm, tokensPerSecond, accuracy, rewardMargin };
    };
    return { train: columnsOf('train'), eval: columnsOf('eval') };
  },

  async sampledMetrics(teamId, ids, points) {
    const rows = await db.$queryRaw<JobMetricModel[]>`
      SELECT job_id AS "jobId", step, kind, at, loss, learning_rate AS "learningRate", grad_norm AS "gradNorm",
        tokens_per_second AS "tokensPerSecond", epochs, accuracy, reward_margin AS "rewardMargin"
      FROM (
        SELECT m.*, row_number() OVER one - 1 AS place, count(*) OVER (PARTITION BY m.job_id, m.kind) AS total
        FROM job_metrics m JOIN jobs j ON j.id = m.job_id
        WHERE j.team_id = ${teamId} AND m.job_id = ANY(${[...ids]})
        WINDOW one AS (PARTITION BY m.job_id, m.kind ORDER BY m.step)
      ) AS numbered
      WHERE place % ceil(total::float8 / ${points}::float8)::bigint = 0 OR place = total - 1
      ORDER BY job_id COLLATE "C", step, kind`;
    const curves = new Map<string, JobMetric[]>();
    for (const row of rows) {
      const metrics = curves.get(row.jobId) ?? [];
      metrics.push(toMetric(row));
      curves.set(row.jobId, metrics);
    }
    return [...curves].map(([job, metrics]) => ({ job, metrics }));
  },

  async lossTails(ids, points) {
    const rows = await db.$queryRaw<{ jobId: string; step: number; loss: number }[]>`
      SELECT tail.job_id AS "jobId", tail.step, tail.loss
      FROM unnest(${ids}::text[]) AS named (id) CROSS JOIN LATERAL (
        SELECT job_id, step, loss FROM job_metrics
        WHERE job_id = named.id AND kind = 'train' ORDER BY step DESC LIMIT ${points}
      ) tail ORDER BY tail.job_id, tail.step`;
    const tails = new Map<string, { step: number; loss: number }[]>();
    for (const { jobId, ...point } of rows) tails.set(jobId, [...(tails.get(jobId) ?? []), point]);
    return [...tails].map(([jobId, losses]) => ({ jobId, losses }));
  },

  async putSamples(id, { step, at, samples }) {
    const data = { at: new Date(at), samples: toJson(samples.map(storableSample)) };
    await db.jobSamples.upsert({
      where: { jobId_step: { jobId: id, step } },
      create: { jobId: id, step, ...data },
      update: data,
    });
  },

  async samples(id) {
    const rows = await db.jobSamples.findMany({ where: { jobId: id }, orderBy: { step: 'asc' } });
    return rows.map(({ step, at, samples }) => ({ step, at: iso(at), samples: fromJson(samples) }));
  },

  async truncateMetrics(id, step) {
    await db.jobMetric.deleteMany({ where: { jobId: id, step: { gt: step } } });
    await db.jobSamples.deleteMany({ where: { jobId: id, step: { gt: step } } });
  },

  async appendLog(id, lines, keep) {
    if (lines.length === 0) return;
    const { _max } = await db.jobLog.aggregate({ where: { jobId: id }, _max: { seq: true } });
    const last = _max.seq ?? 0;
    await db.jobLog.createMany({
      data: lines.map((line, i) => ({
        ...line,
        message: storableText(line.message),
        at: new Date(line.at),
        jobId: id,
        seq: last + 1 + i,
      })),
    });
    await db.jobLog.deleteMany({ where: { jobId: id, seq: { lte: last + lines.length - keep } } });
  },

  async log(id, afterSeq, limit) {
    const rows = await db.jobLog.findMany({
      where: { jobId: id, seq: { gt: afterSeq } },
      orderBy: { seq: 'asc' },
      take: limit,
    });
    return rows.map(toLogLine);
  },
});
