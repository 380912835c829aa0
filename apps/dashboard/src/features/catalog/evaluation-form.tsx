import { Button, Checkbox, Group, NativeSelect, Stack, Text, TextInput } from '@mantine/core';
import { type CreateEvaluationInput, type Gate, type Job } from '@lowrank/contracts';
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { DatasetSelect } from '../../components/data/dataset-select';
import { ErrorState } from '../../components/states';
import { api } from '../../lib/api';
import { notify } from '../../lib/notify';
import { invalidate } from '../../lib/query';
import { checkText, measureOf, newDraft } from './measures';
import { MeasureFields } from './measure-fields';

interface EvaluationFormProps {
  /** Of the version, in the API. */
  path: string;
  gates: Gate[];
  /** Whether one may let an alias move afterwards. */
  mayMove: boolean;
  close: () => void;
}

/** Submits a job that measures a version: by an alias's gate, or by measures of one's own. */
export default function EvaluationForm({ path, gates, mayMove, close }: EvaluationFormProps) {
  const [alias, setAlias] = useState(gates[0]?.alias ?? '');
  const [isMoving, setMoving] = useState(mayMove);
  const [dataset, setDataset] = useState('');
  const [drafts, setDrafts] = useState([newDraft()]);
  const [maxRows, setMaxRows] = useState('200');
  const gate = gates.find((one) => one.alias === alias);
  const start = useMutation({
    mutationFn: async () => {
      const request: CreateEvaluationInput =
        gate === undefined
          ? { dataset, measures: drafts.map(measureOf), limits: { maxRows: Number(maxRows) } }
          : { alias, move: isMoving && mayMove };
      return api.post<Job>(`${path}/evaluations`, request);
    },
    onSuccess: async () => {
      notify('The evaluation is queued.');
      close();
      await invalidate('/api/v1/jobs');
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    start.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        {gates.length > 0 && (
          <NativeSelect
            label="Measured by"
            value={alias}
            onChange={({ currentTarget: { value } }) => setAlias(value)}
            data={[
              ...gates.map((one) => ({ value: one.alias, label: `the gate of ${one.alias}` })),
              { value: '', label: 'measures of your own' },
            ]}
          />
        )}
        {gate === undefined ? (
          <>
            <DatasetSelect
              label="Rows of"
              description="Rows that it was not trained on."
              value={dataset}
              onChange={setDataset}
            />
            <MeasureFields drafts={drafts} onChange={setDrafts} />
            <TextInput
              type="number"
              label="Rows at most"
              value={maxRows}
              onChange={({ currentTarget: { value } }) => setMaxRows(value)}
              min={1}
              max={10_000}
              required
              w={170}
            />
          </>
        ) : (
          <>
            <Text size="sm">
              {gate.checks.map(checkText).join(', ')}, on {gate.dataset.filename}.
            </Text>
            {mayMove && (
              <Checkbox
                label={`Let ${alias} stand on it when it passes`}
                checked={isMoving}
                onChange={({ currentTarget: { checked } }) => setMoving(checked)}
              />
            )}
          </>
        )}
        {start.error !== null && <ErrorState error={start.error} />}
        <Group justify="flex-end">
          <Button type="submit" loading={start.isPending}>
            Measure it
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
