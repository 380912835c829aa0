import { Alert, Anchor, Box, Group, Progress, Stack, Tabs, Text } from '@mantine/core';
import { type JobDetail, type JobMetricColumns } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Suspense, useEffect, useState, useSyncExternalStore } from 'react';
import { Icon } from '../../components/icon';
import { JobStateBadge } from '../../components/job-state';
import { PageHeader } from '../../components/page-header';
import { ErrorState, LoadingState } from '../../components/states';
import { Ago } from '../../components/time';
import { formatCompact, formatCount, formatDuration } from '../../lib/format';
import { api } from '../../lib/api';
import { apiQuery } from '../../lib/query';
import { useEventStream } from '../../lib/use-event-stream';
import { JobFeed, type JobNews, secondsLeft } from './job-feed';
import { type RunTab } from './routes';
import { RunActions } from './run-actions';
import { lazyPart } from '../../lib/lazy-part';

const route = getRouteApi('/shell/jobs/$id');

// The header and the progress are there first; each tab comes when it is opened.
const RunCurves = lazyPart(() => import('./run-curves').then((file) => ({ default: file.RunCurves })));
const RunCheckpoints = lazyPart(() =>
  import('./run-checkpoints').then((file) => ({ default: file.RunCheckpoints })),
);
const RunHistory = lazyPart(() => import('./run-history').then((file) => ({ default: file.RunHistory })));
const RunLogs = lazyPart(() => import('./run-logs').then((file) => ({ default: file.RunLogs })));
const RunRecipe = lazyPart(() => import('./run-recipe').then((file) => ({ default: file.RunRecipe })));
const RunSamples = lazyPart(() => import('./run-samples').then((file) => ({ default: file.RunSamples })));

/** One job as it goes: everything but the estimate comes by its stream. */
export function RunPage() {
  const { id } = route.useParams();
  return <Run key={id} id={id} />;
}

function Run({ id }: { id: string }) {
  const [feed] = useState(() => new JobFeed());
  // A job that is over may be queued again; then there is more to follow.
  const [round, setRound] = useState(0);
  // The metrics so far come at once, and by columns; the stream tells of what follows, and of all the rest.
  const [from, setFrom] = useState<string | null>(null);
  useEffect(() => {
    const left = new AbortController();
    api.get<JobMetricColumns>(`/api/v1/jobs/${id}/metrics/columns`, {}, left.signal).then(
      (columns) => {
        feed.begin(columns);
        setFrom(columns.cursor);
      },
      () => left.signal.aborted || setFrom(''),
    );
    return () => left.abort();
  }, [feed, id]);
  const stream = useEventStream(
    from === null ? null : `/api/v1/jobs/${id}/stream${round > 0 ? `?again=${round}` : ''}`,
    (events) => feed.take(events),
    from ?? undefined,
  );
  const news = useSyncExternalStore(feed.subscribe, feed.read);
  const { tab = 'curves' } = route.useSearch();
  const navigate = route.useNavigate();
  const detail = useQuery({ ...apiQuery<JobDetail>(`/api/v1/jobs/${id}`), staleTime: Infinity });
  const job = news.job ?? detail.data ?? null;
  if (stream.error !== null && job === null) return <ErrorState error={stream.error} />;
  if (job === null)
    return (
      <>
        <PageHeader title="Run" above={[{ label: 'Jobs', to: '/jobs' }]} />
        <LoadingState rows={6} height={60} />
      </>
    );
  const panels: [RunTab, string, React.ReactNode][] = [
    ['curves', 'Curves', <RunCurves key="c" job={job} news={news} />],
    ['checkpoints', 'Checkpoints', <RunCheckpoints key="k" job={job} isOver={stream.state === 'done'} />],
    ['logs', 'Logs', <RunLogs key="l" job={job} log={news.log} />],
    ['history', 'History', <RunHistory key="h" events={news.events} />],
    ['recipe', 'Recipe', <RunRecipe key="r" job={job} estimate={detail.data?.estimate ?? null} />],
    ['samples', 'Samples', <RunSamples key="s" job={job} isOver={stream.state === 'done'} />],
  ];
  return (
    <>
      <PageHeader
        title={job.version === null ? job.adapter : `${job.adapter} v${job.version}`}
        badge={<JobStateBadge state={job.state} />}
        above={[
          { label: 'Jobs', to: '/jobs' },
          ...(job.sweep === null
            ? []
            : [{ label: `Sweep, trial ${job.sweep.trial}`, to: `/compare?sweep=${job.sweep.id}` }]),
        ]}
        actions={<RunActions job={job} onChange={() => setRound((one) => one + 1)} />}
        description={
          <>
            {job.work.kind === 'train' ? '' : `${job.work.kind} · `}
            {job.baseModel.name} · {job.dataset.filename} · submitted <Ago time={job.createdAt} />
            {job.clonedFrom !== null && (
              <>
                {' · clone of '}
                <Anchor component={Link} to={`/jobs/${job.clonedFrom}`} size="sm">
                  another run
                </Anchor>
              </>
            )}
          </>
        }
      />
      <Stack gap="md">
        {stream.state === 'waiting' && (
          <Alert color="yellow" icon={<Icon name="alert" />} role="status">
            The connection is interrupted; what is shown may be out of date. It comes back by itself.
          </Alert>
        )}
        {job.error !== null && job.state === 'failed' && (
          <Alert color="red" icon={<Icon name="alert" />} title={job.error.message}>
            {job.error.help}
          </Alert>
        )}
        {job.state === 'queued' && (
          <Alert color="gray" icon={<Icon name="clock" />}>
            {job.waitingFor === null
              ? 'Waiting for a free slot. Jobs start by priority and fair share.'
              : `Waiting: ${job.waitingFor}`}
          </Alert>
        )}
        <RunProgress job={job} news={news} />
        <Tabs
          value={tab}
          onChange={(chosen) =>
            void navigate({
              search: (search) => ({ ...search, tab: (chosen ?? 'curves') as RunTab }),
              replace: true,
            })
          }
          keepMounted={false}
        >
          <Tabs.List mb="md" aria-label="Parts of the run">
            {panels.map(([value, label]) => (
              <Tabs.Tab key={value} value={value}>
                {label}
              </Tabs.Tab>
            ))}
          </Tabs.List>
          {panels.map(([value, , panel]) => (
            <Tabs.Panel key={value} value={value}>
              <Suspense fallback={<LoadingState rows={4} height={80} />}>{panel}</Suspense>
            </Tabs.Panel>
          ))}
        </Tabs>
      </Stack>
    </>
  );
}

function RunProgress({ job, news }: { job: NonNullable<JobNews['job']>; news: JobNews }) {
  const share = job.totalSteps === null ? 0 : job.step / job.totalSteps;
  const left = secondsLeft(news);
  const facts = [
    job.totalSteps === null
      ? job.state === 'preparing'
        ? 'preparing: fetching, quantizing, tokenizing'
        : 'steps are known when the data are packed'
      : `step ${formatCount(job.step)} of ${formatCount(job.totalSteps)}`,
    left === null ? null : `about ${formatDuration(left)} left`,
    job.trainedTokens > 0 ? `${formatCompact(job.trainedTokens)} tokens` : null,
    job.deviceSeconds > 0 ? `${formatDuration(job.deviceSeconds)} on a device` : null,
    job.epoch > 1 ? `attempt ${job.epoch}` : null,
  ];
  return (
    <Box>
      <Progress value={share * 100} aria-label="Steps done" size="sm" />
      <Group gap="2px var(--mantine-spacing-md)" mt={6}>
        {facts
          .filter((fact) => fact !== null)
          .map((fact) => (
            <Text key={fact} size="sm" c="dimmed" className="numbers">
              {fact}
            </Text>
          ))}
      </Group>
    </Box>
  );
}
