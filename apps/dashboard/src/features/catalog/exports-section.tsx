import { Anchor, Button, Group, Paper, Progress, Stack, Text } from '@mantine/core';
import { type ExportFormat, type Job, type VersionExport } from '@lowrank/contracts';
import { useMutation, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useEffect } from 'react';
import { JobStateBadge } from '../../components/job-state';
import { Section } from '../../components/section';
import { ErrorState, LoadingState, QueryState } from '../../components/states';
import { api } from '../../lib/api';
import { formatBytes } from '../../lib/format';
import { apiQuery, invalidate, type Page } from '../../lib/query';
import { useMay } from '../../lib/session';
import { type AdapterProps } from './adapter-page';
import { CertificateFacts } from './certificate-facts';

const formats: Record<ExportFormat, { name: string; about: string }> = {
  merged: {
    name: 'Merged safetensors',
    about: 'The base model with the adapter in its weights, for any server.',
  },
  'gguf-adapter': { name: 'GGUF adapter', about: 'For llama.cpp and Ollama, beside a base model in GGUF.' },
  'gguf-f16': { name: 'GGUF in f16', about: 'The merged model in 16 bits, with a Modelfile for Ollama.' },
  'gguf-q8_0': { name: 'GGUF in q8_0', about: 'The same in 8 bits: half the size.' },
};
const names = Object.keys(formats) as ExportFormat[];

const isOver = ({ state }: Job): boolean => ['succeeded', 'failed', 'cancelled'].includes(state);

/** The version in other formats: what there is, what is being made, and buttons for the rest. */
export function ExportsSection({ adapter, version, path }: AdapterProps) {
  const at = `${path}/versions/v${version.number}/exports`;
  const exports = useQuery(apiQuery<{ data: VersionExport[] }>(at));
  const jobs = useQuery({
    ...apiQuery<Page<Job>>('/api/v1/jobs', { kind: 'export', adapter: adapter.name, limit: 50 }),
    refetchInterval: ({ state: { data } }) => (data?.data.every(isOver) ? false : 1500),
  });
  const ofVersion = (jobs.data?.data ?? []).filter(
    ({ work }) => work.kind === 'export' && work.version.id === version.id,
  );
  const newest = (format: ExportFormat) =>
    ofVersion.find(({ work }) => work.kind === 'export' && work.format === format);
  // What a job has published shows as soon as it is over.
  const finished = ofVersion.filter(({ state }) => state === 'succeeded').length;
  useEffect(() => void invalidate(at), [at, finished]);
  return (
    <Section title="In other formats">
      <QueryState query={exports} loading={<LoadingState rows={4} height={72} />}>
        {({ data }) => (
          <Stack gap="sm">
            {names.map((format) => (
              <FormatRow
                key={format}
                format={format}
                made={data.find((one) => one.format === format)}
                job={newest(format)}
                at={at}
              />
            ))}
          </Stack>
        )}
      </QueryState>
    </Section>
  );
}

interface RowProps {
  format: ExportFormat;
  made: VersionExport | undefined;
  /** The newest job that makes it. */
  job: Job | undefined;
  at: string;
}

function FormatRow({ format, made, job, at }: RowProps) {
  const { name, about } = formats[format];
  const may = useMay();
  const start = useMutation({
    mutationFn: () => api.post<Job>(at, { format }),
    onSuccess: () => invalidate('/api/v1/jobs'),
  });
  const isRunning = job !== undefined && !isOver(job);
  return (
    <Paper withBorder p="sm" bg="transparent">
      <Group justify="space-between" align="flex-start" gap="xs">
        <div style={{ flex: '1 1 240px' }}>
          <Text fw={600} size="sm">
            {name}
          </Text>
          <Text size="sm" c="dimmed">
            {about}
          </Text>
        </div>
        <Group gap="xs">
          {made !== undefined && (
            <Anchor href={`${at}/${format}/archive`} size="sm" download>
              Download ({formatBytes(made.bytes)})
            </Anchor>
          )}
          {may('jobs.submit') && !isRunning && (
            <Button
              size="xs"
              variant="default"
              aria-label={`Export as ${name}`}
              loading={start.isPending}
              onClick={() => start.mutate()}
            >
              {made === undefined ? 'Export' : 'Export again'}
            </Button>
          )}
        </Group>
      </Group>
      {start.error !== null && <ErrorState error={start.error} />}
      {isRunning && <Running job={job} name={name} />}
      {job?.state === 'failed' && (
        <Text size="sm" c="var(--mantine-color-error)" mt="xs">
          {job.error?.message} {job.error?.help}
        </Text>
      )}
      {made !== undefined && <CertificateFacts certificate={made.certificate} at={made.createdAt} />}
    </Paper>
  );
}

function Running({ job, name }: { job: Job; name: string }) {
  const { state, step, totalSteps, waitingFor } = job;
  const share = totalSteps === null ? 0 : (100 * step) / totalSteps;
  return (
    <Stack gap={6} mt="xs">
      <Group gap="xs">
        <JobStateBadge state={state} />
        <Text size="xs" c="dimmed" role="status">
          {waitingFor ?? (totalSteps === null ? 'Begins soon' : `${step} of ${totalSteps} steps`)}
        </Text>
        <Link to="/jobs/$id" params={{ id: job.id }} className="row-link">
          <Text size="xs" span>
            Its job
          </Text>
        </Link>
      </Group>
      <Progress value={share} aria-label={`Progress of ${name}`} animated={state !== 'queued'} />
    </Stack>
  );
}
