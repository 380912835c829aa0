import { type Job, type JobEvent, type JobMetric, type JobStreamItem } from '@lowrank/contracts';
import { found, isFinal, type UnitOfWork } from '@lowrank/domain';
import { setTimeout as wait } from 'node:timers/promises';

/** Where a reader is: the last event it has, and the last step whose metrics it has. As text: `<seq>.<step>`. */
export interface Cursor {
  seq: number;
  step: number;
}
export const startOfStream: Cursor = { seq: 0, step: -1 };

export function parseCursor(text: string | undefined): Cursor {
  const [, seq, step] = /^(\d{1,9})\.(-1|\d{1,9})$/.exec(text ?? '') ?? [];
  return seq === undefined ? startOfStream : { seq: Number(seq), step: Number(step) };
}

export type StreamPart = { item: JobStreamItem; cursor: Cursor } | 'keep-alive';

export interface StreamOptions {
  signal: AbortSignal;
  from: Cursor;
  pollMs?: number;
  keepAliveMs?: number;
  /** Most events and metrics read per poll. */
  batch?: number;
}

/**
 * A job as it goes: a snapshot whenever it has changed, every event and every metric once, in order. Reads Postgres every half second,
 * the only place that all API processes share. Ends after everything of a final job has been told, or when the signal aborts.
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

  while (!signal.aborted) {
    const state = await unitOfWork.run(async ({ jobs }) => {
      const job = found(await jobs.find(teamId, id), 'job', id);
      if (job.step < cursor.step) {
        cursor.step = job.step;
        toldKinds = new Set(['train', 'eval']);
      }
      return {
        job,
        events: await jobs.events(id, cursor.seq, batch),
        metrics: await jobs.metrics(id, { afterStep: cursor.step - 1, limit: batch }),
      };
    });

    const parts: JobStreamItem[] = [];
    const text = JSON.stringify(state.job);
    if (text !== snapshot) parts.push({ event: 'job', data: state.job });
    snapshot = text;
    parts.push(...state.events.map((data): JobStreamItem => ({ event: 'event', data })));
    parts.push(
      ...state.metrics
        .filter(({ step, kind }) => step > cursor.step || (step === cursor.step && !toldKinds.has(kind)))
        .map((data): JobStreamItem => ({ event: 'metric', data })),
    );
    for (const item of parts) {
      if (item.event === 'event') cursor.seq = (item.data as JobEvent).seq;
      if (item.event === 'metric') {
        if (item.data.step > cursor.step) toldKinds = new Set();
        cursor.step = item.data.step;
        toldKinds.add(item.data.kind);
      }
      yield { item, cursor: { ...cursor } };
    }
    if (parts.length > 0) lastWrite = Date.now();
    else if (Date.now() - lastWrite >= keepAliveMs) {
      lastWrite = Date.now();
      yield 'keep-alive';
    }
    const isWhole = state.events.length < batch && state.metrics.length < batch;
    if (isWhole && isOver(state.job)) return;
    if (isWhole) await wait(pollMs, undefined, { signal }).catch(() => undefined);
  }
}

const isOver = (job: Job): boolean => isFinal(job.state);

/** One server-sent event in the format of the HTML standard's event streams. */
export function toServerSentEvent(part: StreamPart): string {
  if (part === 'keep-alive') return ': keep-alive\n\n';
  const { item, cursor } = part;
  return `event: ${item.event}\nid: ${cursor.seq}.${cursor.step}\ndata: ${JSON.stringify(item.data)}\n\n`;
}
