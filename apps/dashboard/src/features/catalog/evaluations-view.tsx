import { Button, Group, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { type Evaluation, finalJobStates, type Gate, type Job } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useEffect } from 'react';
import { ConfirmButton } from '../../components/confirm-button';
import { DataTable } from '../../components/data-table';
import { Dialog } from '../../components/dialog';
import { Icon } from '../../components/icon';
import { JobStateBadge } from '../../components/job-state';
import { Section } from '../../components/section';
import { EmptyState, QueryState } from '../../components/states';
import { TagBadge } from '../../components/tag-badge';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { formatCount, formatNumber, formatPercent } from '../../lib/format';
import { notify } from '../../lib/notify';
import { apiQuery, invalidate, type Page } from '../../lib/query';
import { useMay } from '../../lib/session';
import { type AdapterProps } from './adapter-page';
import { checkText, measureText } from './measures';
import { lazyPart } from '../../lib/lazy-part';

const EvaluationForm = lazyPart(() => import('./evaluation-form'));
const GateForm = lazyPart(() => import('./gate-form'));

/** What a version was measured as, and what versions have to reach before aliases move to them. */
export default function EvaluationsView(props: AdapterProps) {
  const { adapter, version, path } = props;
  const gates = useQuery(apiQuery<{ data: Gate[] }>(`${path}/gates`));
  const at = `${path}/versions/v${version.number}`;
  const evaluations = useQuery(apiQuery<{ data: Evaluation[] }>(`${at}/evaluations`));
  const may = useMay();
  const [isAsking, { open, close }] = useDisclosure(false);
  return (
    <>
      <Section
        title={`Evaluations of v${version.number}`}
        aside={
          may('jobs.submit') && (
            <Button size="xs" onClick={open} leftSection={<Icon name="check" size={15} />}>
              Measure v{version.number}
            </Button>
          )
        }
      >
        <UnderWay adapter={adapter.name} number={version.number} />
        <QueryState query={evaluations}>
          {({ data }) =>
            data.length === 0 ? (
              <EmptyState icon="check" title="Not measured yet">
                An evaluation measures a version on rows of a dataset: its loss, or how many of its answers
                are right.
              </EmptyState>
            ) : (
              data.map((one) => <Result key={one.jobId} evaluation={one} />)
            )
          }
        </QueryState>
      </Section>
      <QueryState query={gates}>{({ data }) => <Gates gates={data} path={path} />}</QueryState>
      <Dialog isOpen={isAsking} close={close} title={`Measure v${version.number} of ${adapter.name}`}>
        <EvaluationForm
          path={at}
          gates={gates.data?.data ?? []}
          mayMove={may('adapters.write')}
          close={close}
        />
      </Dialog>
    </>
  );
}

/** Evaluations of the version that have not ended. When one has, what it came to is read. */
function UnderWay({ adapter, number }: { adapter: string; number: number }) {
  const jobs = useQuery({
    ...apiQuery<Page<Job>>('/api/v1/jobs', { kind: 'evaluate', adapter, limit: 20 }),
    refetchInterval: 3000,
  });
  const open = (jobs.data?.data ?? []).filter(
    ({ state, work }) =>
      !finalJobStates.includes(state) && work.kind === 'evaluate' && work.version.number === number,
  );
  useEffect(() => void invalidate('/api/v1/adapters'), [open.length]);
  return open.map(({ id, state }) => (
    <Group key={id} gap="xs" mb="sm">
      <JobStateBadge state={state} />
      <Link to="/jobs/$id" params={{ id }} search={{ tab: 'logs' }} className="row-link">
        An evaluation is under way
      </Link>
    </Group>
  ));
}

function Result({ evaluation }: { evaluation: Evaluation }) {
  const { jobId, dataset, rows, results, move, createdAt } = evaluation;
  return (
    <div style={{ marginBottom: 16 }}>
      <Group gap="xs" mb={4}>
        <Text size="sm" fw={500}>
          {formatCount(rows)} rows of {dataset.filename}
        </Text>
        <Text size="sm" c="dimmed">
          <Ago time={createdAt} /> ·{' '}
          <Link to="/jobs/$id" params={{ id: jobId }} className="row-link">
            job
          </Link>
        </Text>
        {move !== null && (
          <TagBadge color={move.isDone ? 'green' : 'red'}>
            {move.isDone ? `${move.alias} moved` : `${move.alias} stayed`}
          </TagBadge>
        )}
      </Group>
      {move !== null && !move.isDone && (
        <Text size="sm" mb={4}>
          {move.reason}
        </Text>
      )}
      <DataTable
        label={`Results on ${dataset.filename}`}
        rows={results}
        rowKey={({ measure }) => JSON.stringify(measure)}
        columns={[
          { key: 'measure', header: 'Measure', cell: ({ measure }) => measureText(measure) },
          {
            key: 'value',
            header: 'Value',
            align: 'right',
            cell: ({ measure, value }) =>
              measure.metric === 'loss' ? formatNumber(value) : formatPercent(value),
          },
          {
            key: 'of',
            header: 'Over',
            align: 'right',
            from: 'xs',
            cell: ({ measure, count }) =>
              `${formatCount(count)} ${measure.metric === 'loss' ? 'tokens' : 'rows'}`,
          },
          {
            key: 'failures',
            header: 'Rows that did not do',
            from: 'sm',
            cell: ({ failures }) =>
              failures.map(({ row, problem, answer }) => (
                <Text key={row} size="xs" className="wrap-anywhere" title={answer} lineClamp={2} maw={420}>
                  Row {row}: {problem}
                </Text>
              )),
          },
        ]}
      />
    </div>
  );
}

function Gates({ gates, path }: { gates: Gate[]; path: string }) {
  const mayWrite = useMay()('gates.write');
  const [isSetting, { open, close }] = useDisclosure(false);
  return (
    <Section
      title="Gates"
      aside={
        mayWrite && (
          <Button size="xs" variant="default" onClick={open} leftSection={<Icon name="plus" size={15} />}>
            Set a gate
          </Button>
        )
      }
    >
      {gates.length === 0 ? (
        <EmptyState icon="tag" title="No gates">
          A gate lets an alias move only to versions that pass an evaluation.{' '}
          {!mayWrite && 'An admin of your team can set one.'}
        </EmptyState>
      ) : (
        <DataTable
          label="Gates"
          rows={gates}
          rowKey={({ alias }) => alias}
          columns={[
            { key: 'alias', header: 'Alias', cell: ({ alias }) => <TagBadge color="blue">{alias}</TagBadge> },
            {
              key: 'checks',
              header: 'Needed',
              cell: ({ checks }) =>
                checks.map((check) => <div key={checkText(check)}>{checkText(check)}</div>),
            },
            { key: 'dataset', header: 'On', cell: ({ dataset }) => dataset.filename, from: 'sm' },
            { key: 'since', header: 'Since', cell: ({ createdAt }) => <Ago time={createdAt} />, from: 'md' },
            ...(mayWrite
              ? [
                  {
                    key: 'remove',
                    header: 'Remove',
                    cell: ({ alias }: Gate) => (
                      <ConfirmButton
                        aria-label={`Remove the gate of ${alias}`}
                        title={`Remove the gate of ${alias}?`}
                        explanation={`${alias} can be moved to any version then, by whoever may move aliases. The audit log says who removed it.`}
                        confirm="Remove it"
                        act={async () => {
                          await api.delete(`${path}/gates/${alias}`);
                          notify(`${alias} has no gate any more.`);
                          await invalidate('/api/v1/adapters');
                        }}
                      >
                        Remove
                      </ConfirmButton>
                    ),
                  },
                ]
              : []),
          ]}
        />
      )}
      <Dialog isOpen={isSetting} close={close} title="Set a gate">
        <GateForm path={path} close={close} />
      </Dialog>
    </Section>
  );
}
