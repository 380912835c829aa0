import { Select, SimpleGrid, Stack } from '@mantine/core';
import { type Estimate, type Job } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { Section } from '../../components/section';
import { Snippet } from '../../components/snippet';
import { QueryState } from '../../components/states';
import { apiQuery, type Page } from '../../lib/query';
import { toYaml } from '../../lib/yaml';
import { EstimateView } from '../../components/estimate-view';
import { Differences } from '../../components/differences';
import { runName } from '../../components/run-picker';

const route = getRouteApi('/shell/jobs/$id');

/** Everything that the run is made of, and in what it differs from another. */
export function RunRecipe({ job, estimate }: { job: Job; estimate: Estimate | null }) {
  const { id } = route.useParams();
  const { diff } = route.useSearch();
  const navigate = route.useNavigate();
  const jobs = useQuery(apiQuery<Page<Job>>('/api/v1/jobs', { kind: 'train', limit: 200 }));
  const other = useQuery({ ...apiQuery<Job>(`/api/v1/jobs/${diff}`), enabled: diff !== undefined });
  const made = { baseModel: job.baseModel, dataset: job.dataset, initFrom: job.initFrom, recipe: job.recipe };
  return (
    <SimpleGrid cols={{ base: 1, lg: 2 }}>
      <Section title="Recipe, every default filled in">
        <Snippet
          label="Recipe"
          maxHeight={560}
          tabs={[
            { label: 'YAML', code: toYaml(made) },
            { label: 'JSON', code: JSON.stringify(made, null, 2) },
          ]}
        />
      </Section>
      <Stack>
        <Section title="Beside another run">
          <Select
            label="Run"
            placeholder="Choose a run"
            size="xs"
            searchable
            clearable
            clearButtonProps={{ 'aria-label': 'Choose none' }}
            data={(jobs.data?.data ?? [])
              .filter((one) => one.id !== id)
              .map((one) => ({ value: one.id, label: runName(one) }))}
            value={diff ?? null}
            onChange={(chosen) =>
              void navigate({
                search: (search) => ({ ...search, diff: chosen ?? undefined }),
                replace: true,
              })
            }
            mb="sm"
          />
          {diff !== undefined && (
            <QueryState query={other}>{(second) => <Differences jobs={[job, second]} />}</QueryState>
          )}
        </Section>
        {estimate !== null && (
          <Section title="What was expected">
            <EstimateView estimate={estimate} />
          </Section>
        )}
      </Stack>
    </SimpleGrid>
  );
}
