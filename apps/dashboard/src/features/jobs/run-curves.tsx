import { Group, SimpleGrid, Slider, Stack, Switch, Text } from '@mantine/core';
import { type Job, type JobCurve, type JobMetric } from '@lowrank/contracts';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { useMemo } from 'react';
import { Chart, type Line } from '../../components/chart/chart';
import { lineColor } from '../../components/chart/colors';
import { Section } from '../../components/section';
import { EmptyState } from '../../components/states';
import { apiQuery } from '../../lib/query';
import { type JobNews, type MetricColumns } from './job-feed';
import { RunPicker } from '../../components/run-picker';

const route = getRouteApi('/shell/jobs/$id');
type Field = 'loss' | 'learningRate' | 'gradNorm' | 'tokensPerSecond' | 'accuracy' | 'rewardMargin';

const lineOf = (columns: MetricColumns, field: Field, label: string, color: string): Line => ({
  // Copies, since columns grow in place: a line is drawn again when it is another object.
  ...{ x: columns.step.slice(), y: columns[field].slice() },
  ...{ label, color },
});

function otherLine(
  metrics: JobMetric[],
  kind: JobMetric['kind'],
  field: Field,
  label: string,
  color: string,
): Line {
  const own = metrics.filter((metric) => metric.kind === kind);
  return {
    ...{ x: own.map(({ step }) => step), y: own.map((metric) => metric[field] ?? NaN) },
    ...{ label, color, isDashed: kind === 'eval', isExact: kind === 'eval' },
  };
}

/** Loss, learning rate, norm of gradients and speed as they come, beside those of other runs. */
export function RunCurves({ job, news }: { job: Job; news: JobNews }) {
  const { id } = route.useParams();
  const { smooth = 0, log = false, with: others = [] } = route.useSearch();
  const navigate = route.useNavigate();
  const change = (search: { smooth?: number; log?: boolean; with?: string[] }) =>
    void navigate({ search: (now) => ({ ...now, ...search }), replace: true });
  const overlay = useQuery({
    ...apiQuery<{ data: JobCurve[] }>('/api/v1/jobs/curves', { jobs: others.join(','), points: 1000 }),
    enabled: others.length > 0,
    placeholderData: keepPreviousData,
    refetchInterval: 10_000,
  });
  const curves = useMemo(
    () => (others.length === 0 ? [] : (overlay.data?.data ?? [])),
    [overlay.data, others.length],
  );
  const lines = useMemo(() => {
    const { train, evaluations } = news;
    const of = (field: Field, withEvaluations: boolean): Line[] => [
      lineOf(train, field, 'training', lineColor(0)),
      ...(withEvaluations && evaluations.step.length > 0
        ? [{ ...lineOf(evaluations, field, 'held out', lineColor(1)), isExact: true }]
        : []),
      ...curves.flatMap(({ job: other, metrics }, i) => {
        const [name, color] = [`…${other.slice(-6)}`, lineColor(i + 2)];
        return [
          otherLine(metrics, 'train', field, name, color),
          ...(withEvaluations ? [otherLine(metrics, 'eval', field, `${name} held out`, color)] : []),
        ];
      }),
    ];
    const hasSome = ({ y }: Line) => (y as number[]).some(Number.isFinite);
    return {
      loss: of('loss', true),
      learningRate: of('learningRate', false),
      gradNorm: of('gradNorm', false),
      tokensPerSecond: of('tokensPerSecond', false),
      accuracy: of('accuracy', true).filter(hasSome),
      rewardMargin: of('rewardMargin', true).filter(hasSome),
    };
  }, [news, curves]);
  if (news.train.step.length === 0 && news.evaluations.step.length === 0 && others.length === 0)
    return (
      <EmptyState
        icon="compare"
        title={job.work.kind === 'train' ? 'No steps yet' : 'This job does not train'}
      >
        {job.work.kind === 'train'
          ? 'Curves appear with the first optimizer step, and go on by themselves.'
          : 'Curves are of jobs that train.'}
      </EmptyState>
    );
  const more: [string, Line[]][] = [
    ['Learning rate', lines.learningRate],
    ['Norm of gradients', lines.gradNorm],
    ['Tokens per second', lines.tokensPerSecond],
    ['Accuracy', lines.accuracy],
    ['Reward margin', lines.rewardMargin],
  ];
  return (
    <Stack gap="md">
      <Group gap="lg" align="flex-end">
        <Stack gap={4} w={180}>
          <Text size="sm" id="smoothing">
            Smoothing {smooth.toFixed(2)}
          </Text>
          <Slider
            min={0}
            max={0.99}
            step={0.01}
            value={smooth}
            label={null}
            onChange={(value) => change({ smooth: value || undefined })}
            thumbLabel="Smoothing"
          />
        </Stack>
        <Switch label="Logarithmic" checked={log} onChange={() => change({ log: !log || undefined })} />
        <RunPicker
          label="Beside other runs"
          exclude={id}
          value={others}
          onChange={(chosen) => change({ with: chosen.length > 0 ? chosen : undefined })}
        />
      </Group>
      <Section title="Loss">
        <Chart label="Loss" lines={lines.loss} height={300} smoothing={smooth} isLog={log} />
      </Section>
      <SimpleGrid cols={{ base: 1, lg: 2 }}>
        {more
          .filter(([, own]) => own.some(({ x }) => x.length > 0))
          .map(([label, own]) => (
            <Section key={label} title={label}>
              <Chart
                label={label}
                lines={own}
                height={190}
                smoothing={label === 'Learning rate' ? 0 : smooth}
                isLog={log && label !== 'Reward margin'}
              />
            </Section>
          ))}
      </SimpleGrid>
      <Text size="xs" c="dimmed">
        Drag over a curve to zoom in, double click to see all of it. Held-out loss is never smoothed.
      </Text>
    </Stack>
  );
}
