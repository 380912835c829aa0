import { Autocomplete, Button, Group, NativeSelect, Stack, Text } from '@mantine/core';
import { type Alias } from '@lowrank/contracts';
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { ErrorState } from '../../components/states';
import { api, ApiError } from '../../lib/api';
import { notify } from '../../lib/notify';
import { invalidate } from '../../lib/query';

interface PromoteProps {
  names: string[];
  numbers: number[];
  number: number;
  at: (alias: string) => string;
  close: () => void;
}

/** Moves an alias to a version, or makes one. */
export default function PromoteForm({ names, numbers, number, at, close }: PromoteProps) {
  const [alias, setAlias] = useState(names[0] ?? 'prod');
  const [version, setVersion] = useState(`v${number}`);
  const move = useMutation({
    mutationFn: () => api.put<Alias>(at(encodeURIComponent(alias.trim())), { version }),
    onSuccess: async ({ name, version: to }) => {
      notify(`${name} stands on v${to}.`);
      await invalidate('/api/v1/adapters');
      close();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    move.mutate();
  };
  const { error } = move;
  const wrong = error instanceof ApiError ? error.at('alias') : undefined;
  return (
    <form onSubmit={submit}>
      <Stack>
        <Autocomplete
          label="Alias"
          description="One that there is, or a new name."
          data={names}
          value={alias}
          onChange={setAlias}
          error={wrong}
          required
          data-autofocus
        />
        <NativeSelect
          label="Version"
          value={version}
          onChange={({ currentTarget: { value } }) => setVersion(value)}
          data={numbers.map((one) => `v${one}`)}
        />
        {error !== null && wrong === undefined && <ErrorState error={error} />}
        <Group justify="space-between">
          <Text size="xs" c="dimmed">
            Takes effect with the next request.
          </Text>
          <Button type="submit" loading={move.isPending}>
            Promote
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
