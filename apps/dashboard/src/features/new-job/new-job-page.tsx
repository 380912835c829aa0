import {
  Alert,
  Button,
  Grid,
  Group,
  Select,
  SimpleGrid,
  Skeleton,
  Stack,
  Text,
  TextInput,
} from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import {
  type BaseModel,
  type CreateJobInput,
  type Estimate,
  type Job,
  type Recipe,
} from '@lowrank/contracts';
import { keepPreviousData, useMutation, useQuery } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { Suspense, useState } from 'react';
import { Icon } from '../../components/icon';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { EmptyState, ErrorState, LoadingState, QueryState } from '../../components/states';
import { api, ApiError } from '../../lib/api';
import { formatCompact } from '../../lib/format';
import { notify } from '../../lib/notify';
import { apiQuery, invalidate, type Page } from '../../lib/query';
import { changesFrom, fieldAt, withField } from '../../lib/recipe';
import { recipeDefaults } from '../../lib/recipe-defaults';
import { defined } from '../../lib/search';
import { useMay } from '../../lib/session';
import { type Knob, mainKnobs, objectiveKnobs, objectives } from './knobs';
import { type Schedule, scheduleOf } from './schedule';
import { lazyPart } from '../../lib/lazy-part';

const route = getRouteApi('/shell/jobs/new');
const EstimateView = lazyPart(() =>
  import('../../components/estimate-view').then((file) => ({ default: file.EstimateView })),
);
const KnobInput = lazyPart(() => import('./knob-input').then((file) => ({ default: file.KnobInput })));
const MoreKnobs = lazyPart(() => import('./more-knobs').then((file) => ({ default: file.MoreKnobs })));
const ScheduleFields = lazyPart(() =>
  import('./schedule-fields').then((file) => ({ default: file.ScheduleFields })),
);
const DataStep = lazyPart(() => import('./data-step').then((file) => ({ default: file.DataStep })));
const RequestSnippet = lazyPart(() =>
  import('./request-snippet').then((file) => ({ default: file.RequestSnippet })),
);

/** Puts a job together: base model, data, recipe; says at every change what it would take. */
export function NewJobPage() {
  const { from } = route.useSearch();
  const original = useQuery({ ...apiQuery<Job>(`/api/v1/jobs/${from}`), enabled: from !== undefined });
  const header = (
    <PageHeader
      title={from === undefined ? 'New job' : 'Clone and edit'}
      description={
        from === undefined
          ? 'Trains an adapter on a base model with your data. Defaults do for a first try.'
          : 'A new job with the settings of another; change what should differ.'
      }
    />
  );
  if (from === undefined)
    return (
      <>
        {header}
        <Form original={null} />
      </>
    );
  return (
    <>
      {header}
      <QueryState query={original}>{(job) => <Form key={job.id} original={job} />}</QueryState>
    </>
  );
}

function Form({ original }: { original: Job | null }) {
  const search = route.useSearch();
  const navigate = useNavigate();
  const may = useMay();
  const bases = useQuery(apiQuery<Page<BaseModel>>('/api/v1/base-models', { limit: 200 }));
  const ready = (bases.data?.data ?? []).filter(({ status }) => status === 'ready');
  const [chosenBase, setBase] = useState<string | null>(original?.baseModel.name ?? search.base ?? null);
  // The only base model there is needs no choice.
  const base = chosenBase ?? (ready.length === 1 ? (ready[0]?.name ?? null) : null);
  const [dataset, setDataset] = useState<string | null>(original?.dataset.id ?? search.dataset ?? null);
  const [validation, setValidation] = useState<string | null>(original?.validationDataset?.id ?? null);
  const [adapter, setAdapter] = useState(original?.adapter ?? search.initFrom?.split('@')[0] ?? '');
  const [initFrom, setInitFrom] = useState(
    original?.initFrom
      ? `${original.initFrom.adapter}@v${original.initFrom.number}`
      : (search.initFrom ?? ''),
  );
  const [schedule, setSchedule] = useState<Schedule>({
    priority: original?.priority ?? 0,
    deviceClasses: original?.placement.deviceClasses ?? [],
    memoryBytes: original?.placement.memoryBytes ?? null,
    // Times of another job are over.
    ...{ notBefore: '', deadline: '' },
  });
  const [recipe, setRecipe] = useState<Recipe>(original?.recipe ?? recipeDefaults);
  const [isAlphaSet, setAlphaSet] = useState(
    original !== null && original.recipe.lora.alpha !== 2 * original.recipe.lora.rank,
  );

  const change = (path: string, value: unknown) => {
    let next = withField(recipe, path, value);
    if (path === 'lora.alpha') setAlphaSet(true);
    if (path === 'lora.rank' && !isAlphaSet) next = withField(next, 'lora.alpha', 2 * Number(value));
    setRecipe(next);
  };
  const changes = changesFrom(withField(recipeDefaults, 'lora.alpha', 2 * recipe.lora.rank), recipe);
  // The version that training starts from says what its layers are; what is free to choose is left.
  const { lora, ...withoutLora } = changes as { lora?: Partial<Recipe['lora']> };
  const free = freeOf(lora ?? {});
  const asked =
    initFrom === '' ? changes : { ...withoutLora, ...(Object.keys(free).length > 0 ? { lora: free } : {}) };
  const request: CreateJobInput = {
    baseModel: base ?? '',
    dataset: dataset ?? '',
    ...(validation === null ? {} : { validationDataset: validation }),
    adapter,
    ...(Object.keys(asked).length > 0 ? { recipe: asked as CreateJobInput['recipe'] } : {}),
    ...(initFrom === '' ? {} : { initFrom }),
    ...(Object.keys(original?.metadata ?? {}).length > 0 ? { metadata: original?.metadata } : {}),
    ...scheduleOf(schedule),
  };
  const isComplete = base !== null && dataset !== null;
  const [settled] = useDebouncedValue(
    JSON.stringify({ ...request, adapter: undefined, priority: undefined, metadata: undefined }),
    400,
  );
  const estimate = useQuery({
    queryKey: ['/api/v1/jobs/estimate', settled] as const,
    queryFn: ({ signal }) => api.post<Estimate>('/api/v1/jobs/estimate', JSON.parse(settled), signal),
    enabled: isComplete,
    placeholderData: keepPreviousData,
    retry: false,
  });
  const submit = useMutation({
    mutationFn: () =>
      original === null
        ? api.post<Job>('/api/v1/jobs', request)
        : api.post<Job>(`/api/v1/jobs/${original.id}/clone`, {
            // What a clone is not told stays as it was: all is said but its metadata.
            ...{ ...request, metadata: undefined, validationDataset: validation, initFrom: initFrom || null },
            recipe: initFrom === '' ? recipe : { ...recipe, lora: freeOf(recipe.lora) },
            ...{ priority: 0, placement: {}, ...scheduleOf(schedule) },
          }),
    onSuccess: async (job) => {
      notify('Submitted.');
      await invalidate('/api/v1/jobs');
      await navigate({ to: '/jobs/$id', params: { id: job.id } });
    },
  });
  const refusals = [submit.error, estimate.error].filter((error) => error instanceof ApiError);
  const wrong = (path: string) =>
    refusals.map((error) => error.at(path)).find((message) => message !== undefined);
  const knobs = (list: Knob[]) => (
    <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="md" verticalSpacing="sm">
      {list.map((knob) => (
        <Suspense key={knob.path} fallback={<Skeleton height={58} />}>
          <KnobInput
            knob={knob}
            value={fieldAt(recipe, knob.path)}
            error={wrong(`recipe.${knob.path}`) ?? wrong(knob.path)}
            onChange={(value) => change(knob.path, value)}
          />
        </Suspense>
      ))}
    </SimpleGrid>
  );
  if (bases.data !== undefined && ready.length === 0)
    return (
      <EmptyState icon="box" title="No base model yet">
        Import one first: <code>lowrank models import ~/models/my-llama --name my-llama</code>, or
        <code> POST /api/v1/base-models</code>.
      </EmptyState>
    );
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        submit.mutate();
      }}
    >
      <Grid>
        <Grid.Col span={{ base: 12, lg: 7 }}>
          <Stack>
            <Section title="Base model">
              <Select
                label="Base model"
                placeholder="Choose one"
                data={ready.map(({ name, parameters, modelType }) => ({
                  value: name,
                  label: `${name} (${modelType}, ${formatCompact(parameters)} parameters)`,
                }))}
                value={base}
                onChange={setBase}
                searchable
                required
                error={wrong('baseModel')}
              />
            </Section>
            <Section title="Data">
              <Suspense fallback={<LoadingState rows={2} height={56} mih={{ base: 530, sm: 310 }} />}>
                <DataStep
                  base={base}
                  value={dataset}
                  onChange={setDataset}
                  validation={validation}
                  onValidationChange={setValidation}
                  error={wrong('dataset')}
                  validationError={wrong('validationDataset')}
                />
              </Suspense>
            </Section>
            <Section title="Recipe">
              <Stack>
                <Select
                  label="Objective"
                  description="Preferences (a chosen and a rejected answer) are for DPO and ORPO, all other data for next-token loss."
                  data={[
                    { value: 'sft', label: 'Learn the answers (next-token loss)' },
                    { value: 'dpo', label: 'Prefer the chosen answer (DPO)' },
                    { value: 'orpo', label: 'Learn and prefer it in one (ORPO)' },
                  ]}
                  value={recipe.objective.type}
                  allowDeselect={false}
                  onChange={(type) => {
                    const objective = objectives[type as Recipe['objective']['type']];
                    // Smoothing of targets is of `sft` only, and has no field with the others.
                    setRecipe(withField({ ...recipe, objective }, 'training.labelSmoothing', 0));
                  }}
                  error={wrong('recipe.objective.type')}
                />
                {recipe.objective.type !== 'sft' && knobs(objectiveKnobs[recipe.objective.type])}
                {knobs([...mainKnobs, ...(recipe.objective.type === 'sft' ? objectiveKnobs.sft : [])])}
                <Suspense fallback={<LoadingState rows={4} height={46} />}>
                  <MoreKnobs render={knobs} />
                </Suspense>
              </Stack>
            </Section>
            <Section title="Result">
              <SimpleGrid cols={{ base: 1, xs: 2 }}>
                <TextInput
                  label="Adapter"
                  description="The result is its next version; it is made if it is not there."
                  placeholder="support-tone"
                  value={adapter}
                  onChange={(event) => setAdapter(event.currentTarget.value)}
                  required
                  error={wrong('adapter')}
                />
                <TextInput
                  label="Start from a version"
                  description="Such as support@v3; empty: from the base model."
                  value={initFrom}
                  onChange={(event) => setInitFrom(event.currentTarget.value.trim())}
                  error={wrong('initFrom')}
                />
              </SimpleGrid>
            </Section>
            <Section title="When and where">
              <Suspense fallback={<LoadingState rows={2} height={56} mih={{ base: 416, xs: 180 }} />}>
                <ScheduleFields value={schedule} onChange={setSchedule} wrong={wrong} />
              </Suspense>
            </Section>
          </Stack>
        </Grid.Col>
        <Grid.Col span={{ base: 12, lg: 5 }}>
          <Stack style={{ position: 'sticky', top: 72 }}>
            <Section
              title="What it takes"
              aside={
                <Text size="xs" c="dimmed" role="status">
                  {estimate.isFetching ? 'Working it out …' : ''}
                </Text>
              }
            >
              {!isComplete ? (
                <Text size="sm" c="dimmed">
                  Choose a base model and data, and it is worked out here at every change: steps, memory,
                  time, where it fits, and what can load the adapter.
                </Text>
              ) : estimate.error !== null ? (
                <ErrorState error={estimate.error} />
              ) : estimate.data === undefined ? (
                <LoadingState rows={6} />
              ) : (
                <Suspense fallback={<LoadingState rows={6} />}>
                  <EstimateView estimate={estimate.data} />
                </Suspense>
              )}
            </Section>
            {submit.error !== null && <ErrorState error={submit.error} />}
            {!may('jobs.submit') && (
              <Alert color="gray">Your role in this team may look, but not submit jobs.</Alert>
            )}
            <Group>
              <Button
                type="submit"
                loading={submit.isPending}
                disabled={!isComplete || adapter === '' || !may('jobs.submit')}
                leftSection={<Icon name="play" size={16} />}
              >
                Submit
              </Button>
            </Group>
            {isComplete && (
              <Section title="The same from elsewhere">
                <Suspense fallback={<LoadingState rows={3} />}>
                  <RequestSnippet request={{ ...request, adapter: adapter || 'my-adapter' }} />
                </Suspense>
              </Section>
            )}
          </Stack>
        </Grid.Col>
      </Grid>
    </form>
  );
}

/** Fields of `lora` that one may choose where a version to start from says the others. */
const freeOf = ({ dropout, initIterations, dtype }: Partial<Recipe['lora']>) =>
  defined({ dropout, initIterations, dtype });
