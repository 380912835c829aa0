import {
  type Job,
  type JobEvent,
  type JobLogLine,
  type JobMetric,
  type JobStreamItem,
} from '@lowrank/contracts';
import { found, isFinal, type UnitOfWork } from '@lowrank/domain';
import { setTimeout as wait } from 'node:timers/promises';
import { inOrderOfTime, type TimedList } from './time-order';

/**
 * Where a reader is: the last event that it has, the last step whose metrics it has, and the last line of the log. As text:
 * `<seq>.<step>.<line>`; the release before had no log, and readers of it no third number.
 */
export interface Cursor {
  seq: number;
  step: number;
  line: number;
}
export const startOfStream: Cursor = { seq: 0, step: -1, line: 0 };

export const formatCursor = ({ seq, step, line }: Cursor): string => `${seq}.${step}.${line}`;

export function parseCursor(text: string | undefined): Cursor {
  const [, seq, step, line = 0] = /^(\d{1,9})\.(-1|\d{1,9})(?:\.(\d{1,9}))?$/.exec(text ?? '') ?? [];
  return seq === undefined ? startOfStream : { seq: Number(seq), step: Number(step), line: Number(line) };
}

export type StreamPart = { item: JobStreamItem; cursor: Cursor } | 'keep-alive';

export interface StreamOptions {
  signal: AbortSignal;
  from: Cursor;
  pollMs?: number;
  keepAliveMs?: number;
  /** Most events, metrics and lines read per poll, of each; at least 4. */
  batch?: number;
}

/**
 * A job as it goes: every event, metric and line of its log once, in order of their times, and after what led to it a snapshot of the
 * job whenever it has changed. So nobody sees a state before the event that tells of it. Reads Postgres every half second, the only
 * place that all API processes share. Ends after everything of a final job has been told, or when the signal aborts.
 *
 * A resumed attempt takes steps again; their metrics are then told again too, since they replace the earlier ones. So are those of the
 * step at which a reader comes back.
 */
export async function* followJob(
  unitOfWork: UnitOfWork,
  teamId: string,
  id: string,
  { signal, from, pollMs = 500, keepAliveMs = 15_000, batch = 1000 }: StreamOptions,
): AsyncGenerator<StreamPart> {
  const cursor = { ...from };
  let snapshot = '';
  /** Kinds already told of step `cursor.step`, which may get its evaluation later than its training metric. */
  let toldKinds = new Set<JobMetric['kind']>();
  let lastWrite = Date.now();
  const tell = (item: JobStreamItem): StreamPart => {
    if (item.event === 'event') cursor.seq = item.data.seq;
    if (item.event === 'log') cursor.line = item.data.seq;
    if (item.event === 'metric') {
      if (item.data.step > cursor.step) toldKinds = new Set();
      cursor.step = item.data.step;
      toldKinds.add(item.data.kind);
    }
    lastWrite = Date.now();
    return { item, cursor: { ...cursor } };
  };

  while (!signal.aborted) {
    const news = await readNews(unitOfWork, teamId, id, cursor, batch);
    if (news.job.step < cursor.step) {
      cursor.step = news.job.step;
      toldKinds = new Set(['train', 'eval']);
    }
    const metrics = news.metrics.filter(
      ({ step, kind }) => step > cursor.step || (step === cursor.step && !toldKinds.has(kind)),
    );
    const lists: TimedList<Exclude<JobStreamItem, { event: 'job' }>>[] = [
      { items: news.events.map(eventItem), isWhole: news.events.length < batch },
      { items: metrics.map(metricItem), isWhole: news.metrics.length < batch },
      { items: news.log.map(logItem), isWhole: news.log.length < batch },
    ];
    for (const item of inOrderOfTime(lists)) yield tell(item);
    // There is more of the time before this snapshot.
    if (lists.some(({ isWhole }) => !isWhole)) continue;

    const text = JSON.stringify(news.job);
    if (text !== snapshot) yield tell({ event: 'job', data: news.job });
    snapshot = text;
    if (isFinal(news.job.state)) return;
    if (Date.now() - lastWrite >= keepAliveMs) {
      lastWrite = Date.now();
      yield 'keep-alive';
    }
    await wait(pollMs, undefined, { signal }).catch(() => undefined);
  }
}

interface News {
  job: Job;
  events: JobEvent[];
  /** From the cursor's step on, that step included; of a job that went back to a checkpoint, from its own. */
  metrics: JobMetric[];
  log: JobLogLine[];
}

const readNews = (
  unitOfWork: UnitOfWork,
  teamId: string,
  id: string,
  { seq, step, line }: Cursor,
  limit: number,
) =>
  unitOfWork.read(async ({ jobs }): Promise<News> => {
    const job = found(await jobs.find(teamId, id), 'job', id);
    return {
      job,
      events: await jobs.events(id, seq, limit),
      metrics: await jobs.metrics(id, { afterStep: Math.min(step, job.step) - 1, limit }),
      log: await jobs.log(id, line, limit),
    };
  });

const eventItem = (data: JobEvent) => ({ event: 'event', data }) as const;
const metricItem = (data: JobMetric) => ({ event: 'metric', data }) as const;
const logItem = (data: JobLogLine) => ({ event: 'log', data }) as const;

/** One server-sent event in the format of the HTML standard's event streams. */
export function toServerSentEvent(part: StreamPart): string {
  if (part === 'keep-alive') return ': keep-alive\n\n';
  const { item, cursor } = part;
  return `event: ${item.event}\nid: ${formatCursor(cursor)}\ndata: ${JSON.stringify(item.data)}\n\n`;
}
