import { useEffect, useEffectEvent, useState } from 'react';
import { ApiError } from './api';
import { followEvents, type ServerSentEvent } from './event-stream';

export type StreamState = 'connecting' | 'live' | 'waiting' | 'done' | 'refused';

/**
 * Follows an event stream of the API while the component is there; null: none. Events are handed over at most once a frame, as many as have
 * come. `onEvents` says whether that is all there will be. `from`: the event after which it begins. The stream
 * comes back by itself after interruptions, where it was.
 */
export function useEventStream(
  url: string | null,
  onEvents: (events: ServerSentEvent[]) => boolean,
  from?: string,
): { state: StreamState; error: ApiError | null } {
  const [status, setStatus] = useState<{ url: string | null; state: StreamState; error: ApiError | null }>();
  const take = useEffectEvent(onEvents);
  useEffect(() => {
    if (url === null) return;
    const left = new AbortController();
    let waiting: ServerSentEvent[] = [];
    let frame: ReturnType<typeof setTimeout> | null = null;
    const hand = () => {
      if (frame !== null) clearTimeout(frame);
      frame = null;
      const events = waiting;
      waiting = [];
      if (left.signal.aborted || events.length === 0) return;
      if (take(events)) {
        setStatus({ url, state: 'done', error: null });
        left.abort();
      }
    };
    followEvents(url, {
      signal: left.signal,
      from,
      onEvents: (events) => {
        waiting.push(...events);
        // Not by requestAnimationFrame, which stands still in a tab that nobody looks at, while events go on to come.
        frame ??= setTimeout(hand, 50);
        return false;
      },
      onState: (state) => {
        // What ends with its last event is not interrupted.
        if (state === 'waiting') hand();
        if (!left.signal.aborted) setStatus({ url, state, error: null });
      },
    }).catch((error: unknown) => {
      setStatus({ url, state: 'refused', error: error instanceof ApiError ? error : null });
    });
    return () => {
      left.abort();
      if (frame !== null) clearTimeout(frame);
    };
  }, [url, from]);
  return status?.url === url
    ? { state: status.state, error: status.error }
    : { state: 'connecting', error: null };
}
