import { Code, SimpleGrid, Text, Timeline } from '@mantine/core';
import { type Job, type JobEvent } from '@lowrank/contracts';
import { DataTable } from '../../components/data-table';
import { JobStateBadge } from '../../components/job-state';
import { Section } from '../../components/section';
import { PromoteButton } from '../../components/promote/promote-button';
import { EmptyState } from '../../components/states';
import { Ago } from '../../components/time';
import { formatDuration } from '../../lib/format';

/** Every move of the job with how long it stayed there, its messages, and its checkpoints. */
export function RunHistory({ job, events }: { job: Job; events: readonly JobEvent[] }) {
  const told = events.filter(({ type }) => type !== 'checkpoint');
  const checkpoints = events.filter(({ type }) => type === 'checkpoint').toReversed();
  const moves = told.filter(({ state }) => state !== null);
  /** Seconds until the next move. */
  const stay = (event: JobEvent): number | null => {
    const next = moves[moves.indexOf(event) + 1];
    return event.state === null || next === undefined
      ? null
      : (Date.parse(next.at) - Date.parse(event.at)) / 1000;
  };
  return (
    <SimpleGrid cols={{ base: 1, lg: 2 }}>
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
      <Section title="Checkpoints">
        {checkpoints.length === 0 ? (
          <EmptyState title="No checkpoint yet">
            One is written every <Code>{String(job.recipe.checkpoints.everySteps)}</Code> steps, and when the
            job is paused or gives its slot up. The run goes on from it bit for bit.
          </EmptyState>
        ) : (
          <DataTable
            label="Checkpoints"
            rows={checkpoints}
            rowKey={({ seq }) => String(seq)}
            columns={[
              { key: 'message', header: 'Checkpoint', cell: ({ message }) => message },
              { key: 'attempt', header: 'Attempt', align: 'right', cell: ({ epoch }) => epoch },
              { key: 'at', header: 'Written', cell: ({ at }) => <Ago time={at} /> },
            ]}
          />
        )}
        {job.version !== null && (
          <>
            <Text size="sm" mt="md" mb="xs">
              The last state of the run is published as {job.adapter} v{job.version}.
            </Text>
            <PromoteButton adapter={job.adapter} what={`v${job.version}`} />
          </>
        )}
      </Section>
    </SimpleGrid>
  );
}
