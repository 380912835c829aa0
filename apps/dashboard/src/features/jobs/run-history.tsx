import { Text, Timeline } from '@mantine/core';
import { type JobEvent } from '@lowrank/contracts';
import { JobStateBadge } from '../../components/job-state';
import { Section } from '../../components/section';
import { Ago } from '../../components/time';
import { formatDuration } from '../../lib/format';

/** Every move of the job with how long it stayed there, and its messages. */
export function RunHistory({ events }: { events: readonly JobEvent[] }) {
  const told = events.filter(({ type }) => type !== 'checkpoint');
  const moves = told.filter(({ state }) => state !== null);
  /** Seconds until the next move. */
  const stay = (event: JobEvent): number | null => {
    const next = moves[moves.indexOf(event) + 1];
    return event.state === null || next === undefined
      ? null
      : (Date.parse(next.at) - Date.parse(event.at)) / 1000;
  };
  return (
    <Section title="States and messages">
      <Timeline bulletSize={14} lineWidth={2} active={told.length}>
        {told.map((event) => {
          const seconds = stay(event);
          return (
            <Timeline.Item
              key={event.seq}
              color={event.level === 'error' ? 'red' : event.level === 'warn' ? 'yellow' : 'blue'}
              title={event.state === null ? undefined : <JobStateBadge state={event.state} />}
            >
              <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
                {event.message}
              </Text>
              <Text size="xs" c="dimmed">
                <Ago time={event.at} />
                {seconds !== null && ` · for ${formatDuration(seconds)}`}
                {event.epoch > 1 && ` · attempt ${event.epoch}`}
              </Text>
            </Timeline.Item>
          );
        })}
      </Timeline>
    </Section>
  );
}
