import { Button, Group, Stack, TextInput } from '@mantine/core';
import { type Gate, type SetGateInput } from '@lowrank/contracts';
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { DatasetSelect } from '../../components/data/dataset-select';
import { ErrorState } from '../../components/states';
import { api } from '../../lib/api';
import { notify } from '../../lib/notify';
import { invalidate } from '../../lib/query';
import { measureOf, newDraft } from './measures';
import { MeasureFields } from './measure-fields';

/** What versions have to reach before an alias may stand on them. A gate that the alias has is replaced. */
export default function GateForm({ path, close }: { path: string; close: () => void }) {
  const [alias, setAlias] = useState('prod');
  const [dataset, setDataset] = useState('');
  const [drafts, setDrafts] = useState([newDraft()]);
  const set = useMutation({
    mutationFn: async () => {
      const checks = drafts.map((draft) => ({
        measure: measureOf(draft),
        threshold: Number(draft.threshold),
      }));
      const request: SetGateInput = { dataset, checks };
      return api.put<Gate>(`${path}/gates/${encodeURIComponent(alias.trim())}`, request);
    },
    onSuccess: async ({ alias: of }) => {
      notify(`${of} moves only to versions that pass, from now on.`);
      close();
      await invalidate('/api/v1/adapters');
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    set.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label="Alias"
          description="It need not be there yet. Where it stands it stays."
          value={alias}
          onChange={({ currentTarget: { value } }) => setAlias(value)}
          required
          data-autofocus
        />
        <DatasetSelect
          label="Rows of"
          description="It cannot be deleted while the gate is there."
          value={dataset}
          onChange={setDataset}
        />
        <MeasureFields drafts={drafts} onChange={setDrafts} areChecks />
        {set.error !== null && <ErrorState error={set.error} />}
        <Group justify="flex-end">
          <Button type="submit" loading={set.isPending}>
            Set the gate
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
