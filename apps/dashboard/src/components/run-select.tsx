import { MultiSelect } from '@mantine/core';
import { type Job } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { apiQuery, type Page } from '../lib/query';
import { runName } from './run-picker';

export interface RunSelectProps {
  label: string;
  value: string[];
  onChange: (ids: string[]) => void;
  /** A run that cannot be chosen. */
  exclude?: string;
  most?: number;
}

export default function RunSelect({ label, value, onChange, exclude, most = 6 }: RunSelectProps) {
  const jobs = useQuery(apiQuery<Page<Job>>('/api/v1/jobs', { kind: 'train', limit: 200 }));
  const known = (jobs.data?.data ?? []).filter(({ id }) => id !== exclude);
  const unknown = value.filter((id) => !known.some((job) => job.id === id));
  return (
    <MultiSelect
      label={label}
      placeholder={value.length === 0 ? 'Choose runs' : undefined}
      data={[
        ...known.map((job) => ({ value: job.id, label: runName(job) })),
        ...unknown.map((id) => ({ value: id, label: `…${id.slice(-6)}` })),
      ]}
      value={value}
      onChange={onChange}
      maxValues={most}
      searchable
      clearable
      size="xs"
      miw={240}
      maw={520}
      nothingFoundMessage="No such run"
      clearButtonProps={{ 'aria-label': 'Choose none' }}
    />
  );
}
