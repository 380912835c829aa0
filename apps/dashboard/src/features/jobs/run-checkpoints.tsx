import { Anchor, Code, Group, Stack, Text } from '@mantine/core';
import { type AdapterVersion, type Job, type JobCheckpoint } from '@lowrank/contracts';
import { Link } from '@tanstack/react-router';
import { ConfirmButton } from '../../components/confirm-button';
import { type Column, DataTable } from '../../components/data-table';
import { Section } from '../../components/section';
import { EmptyState, QueryState } from '../../components/states';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { formatBytes, formatCount, formatNumber } from '../../lib/format';
import { notify } from '../../lib/notify';
import { invalidate, useGrowing } from '../../lib/query';
import { useMay } from '../../lib/session';

const measured = (value: number | null) => (value === null ? '–' : formatNumber(value));

/** States of the adapter that are kept, with what was measured there; each can be made a version. */
export function RunCheckpoints({ job, isOver }: { job: Job; isOver: boolean }) {
  const may = useMay();
  const checkpoints = useGrowing<{ data: JobCheckpoint[] }>(`/api/v1/jobs/${job.id}/checkpoints`, isOver);
  const promote = async (step: number) => {
    const path = `/api/v1/jobs/${job.id}/checkpoints/${step}/promote`;
    const { number } = await api.post<AdapterVersion>(path);
    notify(`Step ${formatCount(step)} is ${job.adapter} v${number}.`);
    await invalidate('/api/v1/jobs', '/api/v1/adapters');
  };
  const columns: Column<JobCheckpoint>[] = [
    {
      key: 'step',
      header: 'Step',
      cell: ({ step, isBest }) => (
        <Group gap="xs" wrap="nowrap" className="numbers">
          {formatCount(step)}
          {isBest && (
            <Text size="xs" fw={600}>
              best
            </Text>
          )}
        </Group>
      ),
    },
    { key: 'train', header: 'Loss', align: 'right', cell: ({ trainLoss }) => measured(trainLoss) },
    { key: 'eval', header: 'Held out', align: 'right', cell: ({ evalLoss }) => measured(evalLoss) },
    { key: 'at', header: 'Reached', from: 'sm', cell: ({ at }) => <Ago time={at} /> },
    { key: 'bytes', header: 'Size', align: 'right', from: 'sm', cell: ({ bytes }) => formatBytes(bytes) },
    {
      key: 'version',
      header: 'Version',
      align: 'right',
      cell: ({ step, version }) =>
        version !== null ? (
          <Anchor component={Link} to={`/catalog/${job.adapter}`} size="sm">
            v{version}
          </Anchor>
        ) : (
          may('adapters.write') && (
            <ConfirmButton
              aria-label={`Promote step ${step}`}
              title={`Make step ${formatCount(step)} a version?`}
              explanation={
                <>
                  The state after this step becomes the next version of <Code>{job.adapter}</Code>, with this
                  run in its lineage. The run goes on as before.
                </>
              }
              confirm="Promote"
              act={() => promote(step)}
            >
              Promote
            </ConfirmButton>
          )
        ),
    },
  ];
  return (
    <Section title="Checkpoints">
      <QueryState query={checkpoints}>
        {({ data }) =>
          data.length === 0 ? (
            <EmptyState title="No checkpoint yet">
              {job.recipe.checkpoints.keep === 0
                ? 'The recipe keeps none.'
                : 'The first comes with the first checkpoint or evaluation after the start.'}
            </EmptyState>
          ) : (
            <Stack gap="sm">
              <DataTable
                label="Checkpoints"
                columns={columns}
                rows={data}
                rowKey={({ step }) => String(step)}
              />
              <Text size="xs" c="dimmed">
                The newest {formatCount(job.recipe.checkpoints.keep)} are kept, and the best by the loss on
                the rows held out. What is made a version stays.
              </Text>
            </Stack>
          )
        }
      </QueryState>
    </Section>
  );
}
