import { Badge } from '@mantine/core';
import { type JobState } from '@lowrank/contracts';

const colors: Record<JobState, string> = {
  queued: 'gray',
  preparing: 'indigo',
  running: 'blue',
  publishing: 'violet',
  succeeded: 'green',
  paused: 'yellow',
  cancelled: 'gray',
  failed: 'red',
};

/** A job's state, told by the word; the colour only helps. */
export function JobStateBadge({ state }: { state: JobState }) {
  const color = colors[state];
  return (
    <Badge
      variant="light"
      tt="none"
      radius="sm"
      miw="max-content"
      style={{
        color: `light-dark(var(--mantine-color-${color}-9), var(--mantine-color-${color}-2))`,
        flex: 'none',
      }}
      color={color}
    >
      {state}
    </Badge>
  );
}
