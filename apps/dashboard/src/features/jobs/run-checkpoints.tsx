import { Anchor, Button, Group, Stack, Text } from '@mantine/core';
import { type AdapterVersion, type Job, type JobCheckpoint } from '@lowrank/contracts';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { type Column, DataTable } from '../../components/data-table';
import { PromoteDialog } from '../../components/promote/promote-dialog';
import { Section } from '../../components/section';
import { EmptyState, QueryState } from '../../components/states';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { formatBytes, formatCount, formatNumber } from '../../lib/format';
import { useGrowing } from '../../lib/query';
import { useMay } from '../../lib/session';

const measured = (value: number | null) => (value === null ? '–' : formatNumber(value));

/** States of the adapter that are kept, with what was measured there; each can be made a version. */
export function RunCheckpoints({ job, isOver }: { job: Job; isOver: boolean }) {
  const may = useMay();
  const checkpoints = useGrowing<{ data: JobCheckpoint[] }>(`/api/v1/jobs/${job.id}/checkpoints`, isOver);
  // Not in its row, which says that it is a version before its alias has moved.
  const [promoted, setPromoted] = useState<number | null>(null);
  const publish = async (step: number): Promise<number> => {
    const path = `/api/v1/jobs/${job.id}/checkpoints/${step}/promote`;
    return (await api.post<AdapterVersion>(path)).number;
  };
  const isMeasured = checkpoints.data?.data.some(({ evalLoss }) => evalLoss !== null);
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
    {
      key: 'train',
      header: 'Loss',
      align: 'right',
      from: isMeasured ? 'xs' : undefined,
      cell: ({ trainLoss }) => measured(trainLoss),
    },
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
            <Button
              size="xs"
              variant="default"
              aria-label={`Promote step ${step}`}
              onClick={() => setPromoted(step)}
            >
              Promote
            </Button>
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
      <PromoteDialog
        close={() => setPromoted(null)}
        promotion={
          promoted === null
            ? null
            : {
                adapter: job.adapter,
                what: `step ${formatCount(promoted)}`,
                publish: {
                  explanation: `The state after this step becomes the next version of ${job.adapter}, with this run in its lineage.${isOver ? '' : ' The run goes on as before.'}`,
                  act: () => publish(promoted),
                },
              }
        }
      />
    </Section>
  );
}
