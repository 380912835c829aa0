import { NativeSelect } from '@mantine/core';
import { type Dataset } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { formatCount } from '../../lib/format';
import { apiQuery, type Page } from '../../lib/query';

interface DatasetSelectProps {
  label: string;
  description?: string;
  /** Id; empty: none. */
  value: string;
  onChange: (id: string) => void;
  error?: string;
  /** What choosing none means; absent: one has to be chosen. */
  none?: string;
}

export const datasetTitle = ({ name, version }: Pick<Dataset, 'name' | 'version'>): string =>
  `${name}@${version}`;

/** Chooses a version of a dataset, by name, the newest first. */
export function DatasetSelect({ value, onChange, none, ...others }: DatasetSelectProps) {
  const datasets = useQuery(apiQuery<Page<Dataset>>('/api/v1/files', { limit: 200 })).data?.data;
  const known = datasets ?? [];
  return (
    <NativeSelect
      {...others}
      data={[
        { value: '', label: none ?? (datasets?.length === 0 ? 'None yet: upload one' : 'Choose one') },
        ...known.map((dataset) => ({
          value: dataset.id,
          label: `${datasetTitle(dataset)} (${formatCount(dataset.rows)} rows, ${dataset.format})`,
        })),
        ...(value === '' || known.some(({ id }) => id === value) ? [] : [{ value, label: value }]),
      ]}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      required={none === undefined}
    />
  );
}
