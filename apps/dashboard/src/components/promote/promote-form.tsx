import { Button, Code, Group, Stack, Text, TextInput } from '@mantine/core';
import { type Alias } from '@lowrank/contracts';
import { useMutation, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type FormEvent, useId, useState } from 'react';
import { api, ApiError } from '../../lib/api';
import { notify } from '../../lib/notify';
import { apiQuery, invalidate } from '../../lib/query';
import { ErrorState } from '../states';

export interface Promotion {
  /** Name of the adapter, of one's own team. */
  adapter: string;
  /** The version, as people say it: `v3`. */
  what: string;
}

/** Which alias is to stand on a version: one that there is, or a new one. */
export default function PromoteForm({ adapter, what, close }: Promotion & { close: () => void }) {
  const path = `/api/v1/adapters/${adapter}/aliases`;
  // An adapter without a version yet has none, and is not there.
  const aliases = useQuery(apiQuery<{ data: Alias[] }>(path)).data?.data ?? [];
  const [chosen, setAlias] = useState<string | null>(null);
  const alias = chosen ?? aliases[0]?.name ?? 'prod';
  const standsOn = aliases.find(({ name }) => name === alias)?.version;
  const promotion = useMutation({
    mutationFn: (name: string) => api.put<Alias>(`${path}/${encodeURIComponent(name)}`, { version: what }),
    onSuccess: async ({ name, version }) => {
      notify(`${adapter}@${name} stands on v${version}.`);
      close();
      await invalidate('/api/v1/adapters', '/api/v1/jobs');
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    promotion.mutate(alias.trim());
  };
  const { error } = promotion;
  const wrong = error instanceof ApiError ? error.at('alias') : undefined;
  const list = useId();
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label="Alias"
          description={
            standsOn === undefined
              ? 'A new name, or one that there is.'
              : `It stands on v${standsOn} now; the move can be taken back.`
          }
          value={alias}
          onChange={({ currentTarget: { value } }) => setAlias(value)}
          error={wrong}
          list={list}
          autoComplete="off"
          required
          data-autofocus
        />
        <datalist id={list}>
          {aliases.map(({ name }) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <Text size="sm">
          Whoever asks for <Code>{`${adapter}@${alias || '…'}`}</Code> gets {what} from the next request on.
        </Text>
        {error !== null && wrong === undefined && <ErrorState error={error} />}
        {error instanceof ApiError && error.code === 'gate_not_passed' && (
          <Text size="sm">
            <Link
              to="/catalog/$name"
              params={{ name: adapter }}
              search={{ view: 'evaluations', version: what }}
              onClick={close}
            >
              Evaluations and gates of {adapter}
            </Link>
            : have {what} measured there, and {alias} move when it passes.
          </Text>
        )}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={promotion.isPending}>
            Promote
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
