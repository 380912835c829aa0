import { Button, FileButton, Group, Select, Stack, Text } from '@mantine/core';
import { type Dataset } from '@lowrank/contracts';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type DragEvent, useState } from 'react';
import { Icon } from '../../components/icon';
import { ErrorState } from '../../components/states';
import { api } from '../../lib/api';
import { formatBytes, formatCompact, formatCount } from '../../lib/format';
import { apiQuery, invalidate, type Page } from '../../lib/query';
import { useMay } from '../../lib/session';
import { DataPreview } from './data-preview';

interface DataStepProps {
  base: string | null;
  value: string | null;
  onChange: (dataset: string | null) => void;
}

/** Picks a dataset or uploads one, and shows rows of it as the model will see them. What is wrong with a file is told by line. */
export function DataStep({ base, value, onChange }: DataStepProps) {
  const may = useMay();
  const [isOver, setOver] = useState(false);
  const datasets = useQuery(apiQuery<Page<Dataset>>('/api/v1/files', { limit: 200 }));
  const upload = useMutation({
    mutationFn: (file: File) => {
      const form = new FormData();
      if (base !== null) form.set('baseModel', base);
      form.set('file', file);
      return api.post<Dataset>('/api/v1/files', form);
    },
    onSuccess: async ({ id }) => {
      await invalidate('/api/v1/files');
      onChange(id);
    },
  });
  const chosen = datasets.data?.data.find(({ id }) => id === value);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const [file] = event.dataTransfer.files;
    if (file !== undefined) upload.mutate(file);
  };
  return (
    <Stack gap="sm">
      <Group align="flex-end" gap="sm">
        <Select
          label="Dataset"
          placeholder={datasets.data?.data.length === 0 ? 'None yet: upload one' : 'Choose one'}
          data={(datasets.data?.data ?? []).map(({ id, filename, rows, format }) => ({
            value: id,
            label: `${filename} (${formatCount(rows)} rows, ${format}) …${id.slice(-4)}`,
          }))}
          value={value}
          onChange={onChange}
          searchable
          required
          style={{ flex: '1 1 260px' }}
        />
        {may('datasets.upload') && (
          <FileButton
            onChange={(file) => file && upload.mutate(file)}
            accept=".jsonl,.json,.csv,.parquet,.gz"
          >
            {(props) => (
              <Button
                {...props}
                variant="default"
                loading={upload.isPending}
                leftSection={<Icon name="upload" size={16} />}
              >
                Upload a file
              </Button>
            )}
          </FileButton>
        )}
      </Group>
      {may('datasets.upload') && (
        <Text
          size="sm"
          c="dimmed"
          p="sm"
          ta="center"
          onDragOver={(event) => {
            event.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={drop}
          style={{
            border: `1px dashed var(--lowrank-border)`,
            borderRadius: 8,
            background: isOver
              ? 'light-dark(var(--mantine-color-blue-0), var(--mantine-color-dark-5))'
              : undefined,
          }}
        >
          {upload.isPending
            ? 'Uploading, and checking row by row …'
            : 'or drop one here: JSONL, CSV, Parquet or JSON; chats, ShareGPT, prompt and completion, alpaca, preferences'}
        </Text>
      )}
      {upload.error !== null && <ErrorState error={upload.error} />}
      {chosen !== undefined && (
        <Text size="sm" c="dimmed">
          {formatCount(chosen.rows)} rows of format {chosen.format}, {formatBytes(chosen.bytes)}
          {chosen.tokens !== null &&
            `, ${formatCompact(chosen.tokens)} tokens of ${chosen.tokensOf}, ${formatCompact(chosen.lossTokens ?? 0)} of them learnt`}
          .
        </Text>
      )}
      {value !== null && base !== null && (
        <DataPreview key={`${value} ${base}`} dataset={value} base={base} />
      )}
    </Stack>
  );
}
