import { useInterval } from '@mantine/hooks';
import { useState } from 'react';
import { formatAgo, formatTime } from '../lib/format';

/** The time now, again every so many milliseconds. */
export function useNow(everyMs = 10_000): number {
  const [now, setNow] = useState(() => Date.now());
  useInterval(() => setNow(Date.now()), everyMs, { autoInvoke: true });
  return now;
}

/** How long ago something was, with the time itself on hover and for screen readers. */
export function Ago({ time }: { time: string }) {
  const now = useNow();
  return (
    <time dateTime={time} title={formatTime(time)} style={{ whiteSpace: 'nowrap' }}>
      {formatAgo(time, now)}
    </time>
  );
}
