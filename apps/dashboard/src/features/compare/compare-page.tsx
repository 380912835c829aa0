import { Group, Stack, TextInput } from '@mantine/core';
import { type Job, type JobCurve, type Page, type Sweep, type SweepWithTrials } from '@lowrank/contracts';
import { useQueries, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { Chart, type Line } from '../../components/chart/chart';
import { lineColor } from '../../components/chart/colors';
import { Choice } from '../../components/choice';
import { type Column, DataTable } from '../../components/data-table';
import { Differences } from '../../components/differences';
import { JobStateBadge } from '../../components/job-state';
import { PageHeader } from '../../components/page-header';
import { RunPicker } from '../../components/run-picker';
import { Section } from '../../components/section';
import { EmptyState, ErrorState, LoadingState } from '../../components/states';
import { formatNumber, formatPercent } from '../../lib/format';
import { apiQuery } from '../../lib/query';
import { valueText } from '../../lib/recipe';
import { ParallelCoordinates } from './parallel-coordinates';
import { type CompareSearch } from './routes';
import { matching, type Run, runsOfJobs, runsOfSweep } from './runs';

const route = getRouteApi('/shell/compare');
/** Most runs whose curves are drawn at once, and whose recipes stand side by side. */
const most = { curves: 12, differences: 4 };

/** Runs side by side: what they were given, what came of it, how they got there. */
export function ComparePage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const change = (part: Partial<CompareSearch>) =>
    void navigate({ search: (now) => ({ ...now, ...part }), replace: true });
  const sweeps = useQuery(apiQuery<Page<Sweep>>('/api/v1/sweeps', { limit: 100 }));
  return (
    <>
      <PageHeader title="Compare" description="Any runs, or all trials of a sweep." />
      <Group align="flex-end" mb="md">
        <RunPicker
          label="Runs"
          most={50}
          value={search.jobs ?? []}
          onChange={(jobs) => change({ jobs: jobs.length > 0 ? jobs : undefined, sweep: undefined })}
        />
        <Choice
          label="or a sweep"
          none={sweeps.data?.data.length === 0 ? 'None yet' : 'Choose one'}
          data={(sweeps.data?.data ?? []).map(({ id, adapter, trialCount, state }) => ({
            value: id,
            label: `${adapter}, ${trialCount} trials (${state}) …${id.slice(-4)}`,
          }))}
          value={search.sweep}
          onChange={(sweep) => change({ sweep, jobs: undefined })}
          miw={220}
        />
      </Group>
      {search.sweep !== undefined ? (
        <OfSweep id={search.sweep} change={change} />
      ) : search.jobs !== undefined && search.jobs.length > 0 ? (
        <OfJobs ids={search.jobs} change={change} />
      ) : (
        <EmptyState icon="compare" title="Nothing is chosen">
          Choose runs or a sweep above, or mark some in the <Link to="/jobs">list of jobs</Link>.
        </EmptyState>
      )}
    </>
  );
}

interface PartProps {
  change: (part: Partial<CompareSearch>) => void;
}

function OfSweep({ id, change }: PartProps & { id: string }) {
  const sweep = useQuery({ ...apiQuery<SweepWithTrials>(`/api/v1/sweeps/${id}`), refetchInterval: 5_000 });
  if (sweep.data === undefined)
    return sweep.error === null ? <LoadingState rows={6} /> : <ErrorState error={sweep.error} />;
  return <Comparison runs={runsOfSweep(sweep.data)} metric={sweep.data.metric} change={change} />;
}

function OfJobs({ ids, change }: PartProps & { ids: string[] }) {
  const jobs = useQueries({
    queries: ids.map((id) => ({ ...apiQuery<Job>(`/api/v1/jobs/${id}`), staleTime: 10_000 })),
    combine: (all) => ({
      data: all.flatMap(({ data }) => (data === undefined ? [] : [data])),
      isPending: all.some(({ isPending }) => isPending),
      error: all.find(({ error }) => error !== null)?.error ?? null,
    }),
  });
  const curves = useQuery({
    ...apiQuery<{ data: JobCurve[] }>('/api/v1/jobs/curves', { jobs: ids.join(','), points: 500 }),
    refetchInterval: 10_000,
  });
  if (jobs.isPending || curves.isPending) return <LoadingState rows={6} />;
  const found = curves.data?.data ?? [];
  return (
    <Stack>
      {jobs.error !== null && <ErrorState error={jobs.error} />}
      {curves.error !== null && <ErrorState error={curves.error} />}
      <Comparison runs={runsOfJobs(jobs.data, found)} metric="loss" change={change} />
    </Stack>
  );
}

function Comparison({ runs, metric, change }: PartProps & { runs: Run[]; metric: 'loss' | 'accuracy' }) {
  const { state, text } = route.useSearch();
  const [active, setActive] = useState<string | null>(null);
  const shown = matching(runs, { state, text }).sort((a, b) =>
    metric === 'loss'
      ? (a.loss ?? Infinity) - (b.loss ?? Infinity)
      : (b.accuracy ?? -Infinity) - (a.accuracy ?? -Infinity),
  );
  const paths = [...new Set(runs.flatMap(({ parameters }) => Object.keys(parameters)))];
  const columns: Column<Run>[] = [
    {
      key: 'name',
      header: 'Run',
      cell: ({ id, name }) => (
        <Link
          to="/jobs/$id"
          params={{ id }}
          className="row-link"
          onMouseEnter={() => setActive(id)}
          onMouseLeave={() => setActive(null)}
          onFocus={() => setActive(id)}
          onBlur={() => setActive(null)}
        >
          {name}
        </Link>
      ),
    },
    { key: 'state', header: 'State', cell: (run) => <JobStateBadge state={run.state} /> },
    { key: 'loss', header: 'Held-out loss', align: 'right', cell: ({ loss }) => formatNumber(loss) },
    ...(runs.some(({ accuracy }) => accuracy !== null)
      ? [
          {
            ...{ key: 'accuracy', header: 'Accuracy', align: 'right' as const },
            cell: ({ accuracy }: Run) => (accuracy === null ? '–' : `${(100 * accuracy).toFixed(1)}%`),
          },
        ]
      : []),
    ...paths.map((path) => ({
      ...{ key: path, header: path, align: 'right' as const },
      cell: ({ parameters }: Run) => valueText(parameters[path]),
    })),
    {
      ...{ key: 'done', header: 'Done', align: 'right', from: 'sm' },
      cell: ({ step, totalSteps }) => (totalSteps === null ? '–' : formatPercent(step / totalSteps)),
    },
  ];
  const states = [...new Set(runs.map((run) => run.state))];
  return (
    <Stack>
      {runs.length > 1 && paths.length > 0 && (
        <Section title="Parameters and results">
          <ParallelCoordinates runs={shown} metric={metric} active={active} onActive={setActive} />
        </Section>
      )}
      <Section
        title="Runs, the best first"
        aside={
          <Group gap="xs">
            <Choice
              aria-label="State"
              none="any state"
              data={states}
              value={state}
              onChange={(value) => change({ state: value })}
              w={130}
            />
            <TextInput
              aria-label="Text"
              placeholder="Filter by text"
              value={text ?? ''}
              onChange={(event) => change({ text: event.currentTarget.value || undefined })}
              size="xs"
              w={150}
            />
          </Group>
        }
      >
        {shown.length === 0 ? (
          <EmptyState title="No run is like that" />
        ) : (
          <DataTable label="Runs" columns={columns} rows={shown} rowKey={({ id }) => id} />
        )}
      </Section>
      {shown.length > 0 && <Curves runs={shown.slice(0, most.curves)} active={active} />}
      {shown.length > 1 && <Recipes ids={shown.slice(0, most.differences).map(({ id }) => id)} />}
    </Stack>
  );
}

function Curves({ runs, active }: { runs: Run[]; active: string | null }) {
  const curves = useQuery({
    ...apiQuery<{ data: JobCurve[] }>('/api/v1/jobs/curves', {
      jobs: runs.map(({ id }) => id).join(','),
      points: 500,
    }),
    refetchInterval: 10_000,
  });
  const lines = useMemo(
    () => ({
      train: linesOf(runs, curves.data?.data ?? [], 'train'),
      eval: linesOf(runs, curves.data?.data ?? [], 'eval'),
    }),
    [runs, curves.data],
  );
  const emphasize = (list: Line[]) =>
    list.map((line, i) => (runs[i]?.id === active ? { ...line, isDashed: true } : line));
  return (
    <>
      <Section title="Training loss">
        <Chart label="Training loss" lines={emphasize(lines.train)} height={280} smoothing={0.6} />
      </Section>
      {lines.eval.some(({ x }) => x.length > 0) && (
        <Section title="Held-out loss">
          <Chart label="Held-out loss" lines={emphasize(lines.eval)} height={220} />
        </Section>
      )}
    </>
  );
}

const linesOf = (runs: Run[], curves: JobCurve[], kind: 'train' | 'eval'): Line[] =>
  runs.map(({ id, name }, i) => {
    const own = (curves.find(({ job }) => job === id)?.metrics ?? []).filter(
      (metric) => metric.kind === kind,
    );
    return {
      ...{ x: own.map(({ step }) => step), y: own.map(({ loss }) => loss) },
      ...{ label: name, color: lineColor(i), isExact: kind === 'eval' },
    };
  });

function Recipes({ ids }: { ids: string[] }) {
  const jobs = useQueries({
    queries: ids.map((id) => ({ ...apiQuery<Job>(`/api/v1/jobs/${id}`), staleTime: 10_000 })),
    combine: (all) => all.flatMap(({ data }) => (data === undefined ? [] : [data])),
  });
  return (
    <Section
      title={ids.length === 2 ? 'How the recipes differ' : `How the recipes of the best ${ids.length} differ`}
    >
      {jobs.length < ids.length ? <LoadingState rows={3} /> : <Differences jobs={jobs} />}
    </Section>
  );
}
