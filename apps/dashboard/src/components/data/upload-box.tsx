import { Button, FileButton, Group, Progress, Stack, Text, TextInput } from '@mantine/core';
import { type Dataset } from '@lowrank/contracts';
import { useMutation } from '@tanstack/react-query';
import { type DragEvent, useRef, useState } from 'react';
import { api } from '../../lib/api';
import { formatPercent } from '../../lib/format';
import { invalidate } from '../../lib/query';
import { uploadDataset } from '../../lib/upload';
import { Icon } from '../icon';
import { ErrorState } from '../states';

interface UploadBoxProps {
  /** Whose tokenizer counts; null: the oldest's. */
  baseModel: string | null;
  onDone: (dataset: Dataset) => void;
}

/** Makes a dataset of a file, chosen or dropped, or of a URL. What is wrong with its rows is told by line. */
export function UploadBox({ baseModel, onDone }: UploadBoxProps) {
  const [isOver, setOver] = useState(false);
  const [share, setShare] = useState(0);
  const [url, setUrl] = useState('');
  const [name, setName] = useState('');
  const stop = useRef<AbortController>(null);
  const reset = useRef<() => void>(null);
  const fields = () => ({
    ...(baseModel === null ? {} : { baseModel }),
    ...(name.trim() === '' ? {} : { name: name.trim() }),
  });
  const onSuccess = async (dataset: Dataset) => {
    await invalidate('/api/v1/files');
    setUrl('');
    onDone(dataset);
  };
  const upload = useMutation({
    mutationFn: (file: File) => {
      stop.current = new AbortController();
      setShare(0);
      return uploadDataset(file, fields(), setShare, stop.current.signal);
    },
    onSuccess,
  });
  const fetching = useMutation({
    mutationFn: () => api.post<Dataset>('/api/v1/files/import', { url: url.trim(), ...fields() }),
    onSuccess,
  });
  const choose = (file: File | null) => {
    // The same file can be chosen again, to go on.
    reset.current?.();
    if (file !== null) upload.mutate(file);
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const [file] = event.dataTransfer.files;
    if (file !== undefined) upload.mutate(file);
  };
  const error = upload.error ?? fetching.error;
  const isStopped = error instanceof DOMException && error.name === 'AbortError';
  const isBusy = upload.isPending || fetching.isPending;
  return (
    <Stack gap="sm">
      <Group align="flex-end" gap="sm">
        <FileButton resetRef={reset} onChange={choose} accept=".jsonl,.ndjson,.json,.csv,.tsv,.parquet,.gz">
          {(props) => (
            <Button
              {...props}
              variant="default"
              loading={isBusy}
              leftSection={<Icon name="upload" size={16} />}
            >
              Upload a file
            </Button>
          )}
        </FileButton>
        <TextInput
          label="Name"
          placeholder="the file's"
          value={name}
          onChange={({ currentTarget: { value } }) => setName(value)}
          w={140}
        />
        <TextInput
          label="or from a URL"
          type="url"
          placeholder="https://…/chats.jsonl"
          value={url}
          onChange={({ currentTarget: { value } }) => setUrl(value)}
          style={{ flex: '1 1 180px' }}
        />
        <Button
          variant="default"
          disabled={url.trim() === ''}
          loading={isBusy}
          onClick={() => fetching.mutate()}
        >
          Fetch it
        </Button>
      </Group>
      {upload.isPending && share < 1 ? (
        <Group gap="sm" wrap="nowrap">
          <Progress value={share * 100} aria-label="Sent" style={{ flex: 1 }} />
          <Text size="sm" className="numbers">
            {formatPercent(share)}
          </Text>
          <Button size="xs" variant="default" onClick={() => stop.current?.abort()}>
            Stop
          </Button>
        </Group>
      ) : (
        <Text
          size="sm"
          c="dimmed"
          p="sm"
          ta="center"
          role="status"
          onDragOver={(event) => {
            event.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={drop}
          className={isOver ? 'drop-box over' : 'drop-box'}
        >
          {isBusy
            ? fetching.isPending
              ? 'The server fetches it, and checks it row by row …'
              : 'Checking row by row …'
            : 'or drop one here: JSONL, CSV, Parquet or JSON; chats, ShareGPT, prompt and completion, alpaca, preferences'}
        </Text>
      )}
      {isStopped ? (
        <Text size="sm">
          It is stopped. Choose the same file again, and a large one goes on where it was.
        </Text>
      ) : (
        error !== null && <ErrorState error={error} />
      )}
    </Stack>
  );
}
