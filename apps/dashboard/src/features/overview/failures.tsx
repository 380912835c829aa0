import { Button, Group, Stack, Text } from '@mantine/core';
import { type RetriedJobs, type TeamOverview } from '@lowrank/contracts';
import { useMutation } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Icon } from '../../components/icon';
import { Section } from '../../components/section';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { notify, notifyError } from '../../lib/notify';
import { useMay } from '../../lib/session';

/** What has failed lately and was not tried again, with what to do about it. */
export function Failures({ jobs }: { jobs: TeamOverview['failed'] }) {
  const may = useMay();
  const retry = useMutation({
    mutationFn: (ids: string[]) => api.post<RetriedJobs>('/api/v1/jobs/retry', { jobs: ids }),
    onSuccess: ({ retried, refused }) =>
      notify(`${retried.length} queued again${refused.length > 0 ? `, ${refused.length} refused` : ''}.`),
    onError: notifyError,
  });
  return (
    <Section
      title="In need of a look"
      aside={
        may('jobs.control') && (
          <Button
            size="compact-xs"
            variant="default"
            loading={retry.isPending}
            onClick={() => retry.mutate(jobs.map(({ id }) => id))}
            leftSection={<Icon name="retry" size={14} />}
          >
            Retry all
          </Button>
        )
      }
    >
      <Stack gap="sm">
        {jobs.map(({ id, adapter, error, finishedAt }) => (
          <Group key={id} gap="xs" align="flex-start" wrap="nowrap">
            <Text component="span" c="var(--mantine-color-error)">
              <Icon name="alert" />
            </Text>
            <div style={{ minWidth: 0 }}>
              <Link to="/jobs/$id" params={{ id }} search={{ tab: 'logs' }} className="row-link">
                {adapter} …{id.slice(-6)}
              </Link>
              <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
                {error?.message} {error?.help}
              </Text>
              {finishedAt !== null && (
                <Text size="xs" c="dimmed">
                  <Ago time={finishedAt} />
                </Text>
              )}
            </div>
          </Group>
        ))}
      </Stack>
    </Section>
  );
}
