import { SimpleGrid, Text } from '@mantine/core';
import { type TeamOverview } from '@lowrank/contracts';
import { LinkPaper } from '../../components/links';
import { formatCount } from '../../lib/format';

/** How many jobs are in which state; each leads to them. */
export function Counts({ jobs }: { jobs: TeamOverview['jobs'] }) {
  return (
    <SimpleGrid cols={{ base: 2, xs: 4, lg: 8 }} spacing="xs">
      {jobs.map(({ state, count }) => (
        <LinkPaper
          key={state}
          to="/jobs"
          search={{ state }}
          withBorder
          p="xs"
          bg="var(--lowrank-surface)"
          style={{ textDecoration: 'none', color: 'inherit' }}
        >
          <Text size="lg" fw={600} className="numbers" c={count === 0 ? 'dimmed' : undefined}>
            {formatCount(count)}
          </Text>
          <Text size="xs" c="dimmed">
            {state}
          </Text>
        </LinkPaper>
      ))}
    </SimpleGrid>
  );
}
