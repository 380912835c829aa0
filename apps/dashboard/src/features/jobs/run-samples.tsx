import { Box, Group, NativeSelect, SimpleGrid, Stack, Text } from '@mantine/core';
import { type Job, type JobSamples } from '@lowrank/contracts';
import { useState } from 'react';
import { Section } from '../../components/section';
import { EmptyState, QueryState } from '../../components/states';
import { formatCount } from '../../lib/format';
import { useGrowing } from '../../lib/query';
import { RunQuestion } from './run-question';

/** What the run has answered before, on its way, and in the end; and below what one asks it oneself. */
export function RunSamples({ job, isOver }: { job: Job; isOver: boolean }) {
  const samples = useGrowing<{ data: JobSamples[] }>(`/api/v1/jobs/${job.id}/samples`, isOver);
  return (
    <Stack>
      <QueryState query={samples}>{({ data }) => <KeptSamples job={job} steps={data} />}</QueryState>
      {job.version !== null && <RunQuestion job={job} />}
    </Stack>
  );
}

function KeptSamples({ job, steps }: { job: Job; steps: JobSamples[] }) {
  // null: the newest, whatever comes.
  const [chosen, setChosen] = useState<number | null>(null);
  const [first] = steps;
  const last = steps.at(-1);
  if (first === undefined || last === undefined)
    return (
      <EmptyState icon="chat" title="No answers are kept">
        {job.state === 'queued' || job.state === 'preparing'
          ? 'The first come before the first step.'
          : "The run has no rows held out, or its recipe's samples are turned off."}
      </EmptyState>
    );
  const isDone = job.totalSteps !== null && last.step === job.totalSteps;
  const between = steps.slice(1, isDone ? -1 : undefined);
  const middle = between.find(({ step }) => step === chosen) ?? between.at(-1);
  const columns = [
    { title: first.step === 0 ? 'Before' : `Step ${formatCount(first.step)}`, of: first },
    ...(middle === undefined ? [] : [{ title: `Step ${formatCount(middle.step)}`, of: middle }]),
    ...(isDone && last !== first ? [{ title: 'After', of: last }] : []),
  ];
  return (
    <Stack gap="sm">
      <Group justify="space-between" align="flex-end">
        <Text size="sm" c="dimmed">
          Answers by the likeliest tokens, at most {formatCount(job.recipe.samples.maxTokens)}.
        </Text>
        {between.length > 1 && (
          <NativeSelect
            label="On the way"
            value={String(middle?.step)}
            onChange={(event) => setChosen(Number(event.currentTarget.value))}
            data={between.map(({ step }) => ({ value: String(step), label: `Step ${formatCount(step)}` }))}
          />
        )}
      </Group>
      {first.samples.map(({ prompt, expected }, i) => (
        <Section key={`${i} ${prompt}`} title={`Prompt ${i + 1}`}>
          <Words text={prompt} isDimmed />
          <SimpleGrid cols={{ base: 1, sm: columns.length + (expected === null ? 0 : 1) }} mt="sm">
            {columns.map(({ title, of }) => (
              <Answer key={title} title={title} text={of.samples[i]?.text ?? ''} />
            ))}
            {expected !== null && <Answer title="In the data" text={expected} />}
          </SimpleGrid>
        </Section>
      ))}
    </Stack>
  );
}

const Answer = ({ title, text }: { title: string; text: string }) => (
  <Box>
    <Text size="xs" fw={600} c="dimmed">
      {title}
    </Text>
    <Words text={text === '' ? '(nothing)' : text} isDimmed={text === ''} />
  </Box>
);

const Words = ({ text, isDimmed = false }: { text: string; isDimmed?: boolean }) => (
  <Text
    size="sm"
    c={isDimmed ? 'dimmed' : undefined}
    style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}
  >
    {text}
  </Text>
);
