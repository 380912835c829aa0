import { Group, Progress, Stack, Text } from '@mantine/core';
import { type TeamOverview } from '@lowrank/contracts';
import { Section } from '../../components/section';
import { formatCount } from '../../lib/format';

/** Jobs that wait, by the device class that they ask for. */
export function Queue({ queued }: { queued: TeamOverview['queued'] }) {
  const most = Math.max(1, ...queued.map(({ count }) => count));
  const waiting = queued.filter(({ count }) => count > 0);
  return (
    <Section title="Queue by device class">
      {waiting.length === 0 ? (
        <Text size="sm" c="dimmed">
          Nothing waits.
        </Text>
      ) : (
        <Stack gap="xs">
          {waiting.map(({ deviceClass, count }) => (
            <div key={deviceClass}>
              <Group justify="space-between" mb={2}>
                <Text size="sm">{deviceClass === 'any' ? 'any device' : deviceClass}</Text>
                <Text size="sm" className="numbers">
                  {formatCount(count)}
                </Text>
              </Group>
              <Progress value={(100 * count) / most} aria-label={`Waiting for ${deviceClass}`} />
            </div>
          ))}
        </Stack>
      )}
    </Section>
  );
}
