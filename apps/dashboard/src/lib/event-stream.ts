import { errorOf, type ApiError } from './api';

export interface ServerSentEvent {
  event: string;
  /** Where to go on from after this one; empty: not said. */
  id: string;
  data: string;
}

/** Takes the text of an event stream in pieces and gives its events, by the HTML standard's rules (9.2.6, interpreting an event stream). */
export function eventStreamParser(): (piece: string) => ServerSentEvent[] {
  let rest = '';
  let event = '';
  let id = '';
  let data: string[] = [];
  return (piece) => {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    const events: ServerSentEvent[] = [];
    for (const line of lines.map((one) => one.replace(/\r$/, ''))) {
      if (line === '') {
        if (data.length > 0) events.push({ event: event || 'message', id, data: data.join('\n') });
        event = '';
        data = [];
        continue;
      }
      const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
      if (name === 'event') event = value;
      if (name === 'id') id = value;
      if (name === 'data') data.push(value);
    }
    return events;
  };
}

export interface FollowOptions {
  signal: AbortSignal;
  /** The event after which it begins; left out: at the start. */
  from?: string;
  /** Events that have come together, oldest first. Returns whether that is all: then the stream is not asked again. */
  onEvents(events: ServerSentEvent[]): boolean;
  /** `live` when the server answers, `waiting` while it does not. */
  onState(state: 'live' | 'waiting', error?: ApiError): void;
  /** Milliseconds between tries: the first, and the most. */
  firstPause?: number;
  longestPause?: number;
}

/**
 * Follows an event stream until it is done: an end or an interruption is taken for a server that goes away for a while, and it is asked again
 * for what comes after the last event, later and later. So is a browser that says it is off the network: the connection would stay open for
 * minutes, and bring nothing. What the server refuses (4xx) ends it, by the ApiError.
 */
export async function followEvents(
  url: string,
  { signal, from = '', onEvents, onState, firstPause = 500, longestPause = 10_000 }: FollowOptions,
): Promise<void> {
  let lastId = from;
  let pause = firstPause;
  while (!signal.aborted) {
    const lost = new AbortController();
    const lose = () => lost.abort();
    globalThis.addEventListener?.('offline', lose);
    try {
      const headers = { accept: 'text/event-stream', ...(lastId && { 'last-event-id': lastId }) };
      const either = AbortSignal.any([signal, lost.signal]);
      const response = await fetch(url, { headers, signal: either, cache: 'no-store' });
      if (!response.ok || response.body === null) throw await errorOf(response);
      onState('live');
      const parse = eventStreamParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const events = parse(value);
        if (events.length === 0) continue;
        pause = firstPause;
        lastId = events.at(-1)?.id || lastId;
        if (onEvents(events)) {
          await reader.cancel();
          return;
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      const { status = 0 } = error as Partial<ApiError>;
      if (status >= 400 && status < 500 && status !== 429) throw error;
    } finally {
      globalThis.removeEventListener?.('offline', lose);
    }
    if (signal.aborted) return;
    onState('waiting');
    await untilLater(pause * (0.75 + Math.random() / 2), signal);
    pause = Math.min(pause * 2, longestPause);
  }
}

/** Resolves after a time, or as soon as the browser is back on the network. */
export function untilLater(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      clearTimeout(timer);
      globalThis.removeEventListener?.('online', go);
      signal.removeEventListener('abort', go);
      resolve();
    };
    const timer = setTimeout(go, milliseconds);
    globalThis.addEventListener?.('online', go);
    signal.addEventListener('abort', go);
  });
}
