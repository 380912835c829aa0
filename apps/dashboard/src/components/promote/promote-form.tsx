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
  /** As people say it: the version `v3`, or what is to become one, such as `step 40`. */
  what: string;
  /** How it becomes a version; absent: it is one. With it, an alias may be left out. */
  publish?: {
    /** What is made of it, and what comes of that. */
    explanation: string;
    /** Makes it a version, and answers with its number; asked again, with the same. */
    act: () => Promise<number>;
  };
}

/** Which alias is to stand on a version: one that there is, or a new one. What is none yet becomes one first, and may stay without. */
export default function PromoteForm({ adapter, what, publish, close }: Promotion & { close: () => void }) {
  const path = `/api/v1/adapters/${adapter}/aliases`;
  // An adapter without a version yet has none, and is not there.
  const aliases = useQuery(apiQuery<{ data: Alias[] }>(path)).data?.data ?? [];
  const [chosen, setAlias] = useState<string | null>(publish === undefined ? null : '');
  const alias = (chosen ?? aliases[0]?.name ?? 'prod').trim();
  const standsOn = aliases.find(({ name }) => name === alias)?.version;
  /** What it has become, though its alias was refused. */
  const [made, setMade] = useState<string | null>(null);
  const version = publish === undefined ? what : made;
  const promotion = useMutation({
    mutationFn: async () => {
      let ref = version;
      if (ref === null && publish !== undefined) setMade((ref = `v${await publish.act()}`));
      if (alias !== '') await api.put<Alias>(`${path}/${encodeURIComponent(alias)}`, { version: ref });
      return ref;
    },
    onSuccess: (ref) => {
      const news = [
        ...(publish === undefined ? [] : [`${adapter} ${ref} is made of ${what}.`]),
        ...(alias === '' ? [] : [`${adapter}@${alias} stands on ${ref}.`]),
      ];
      notify(news.join(' '));
      close();
    },
    // What was refused its alias is a version all the same.
    onSettled: () => invalidate('/api/v1/adapters', '/api/v1/jobs'),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    promotion.mutate();
  };
  const { error } = promotion;
  const wrong = error instanceof ApiError ? error.at('alias') : undefined;
  const list = useId();
  return (
    <form onSubmit={submit}>
      <Stack>
        {publish !== undefined && (
          <Text size="sm">
            {made === null ? publish.explanation : `It is ${made} now; the alias was not moved.`}
          </Text>
        )}
        <TextInput
          label="Alias"
          description={
            standsOn !== undefined
              ? `It stands on v${standsOn} now; the move can be taken back.`
              : publish === undefined
                ? 'A new name, or one that there is.'
                : 'A new name, or one that there is. Left empty, none stands on it.'
          }
          value={chosen ?? alias}
          onChange={({ currentTarget: { value } }) => setAlias(value)}
          error={wrong}
          list={list}
          autoComplete="off"
          required={publish === undefined}
          data-autofocus
        />
        <datalist id={list}>
          {aliases.map(({ name }) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        {(publish === undefined || alias !== '') && (
          <Text size="sm">
            Whoever asks for <Code>{`${adapter}@${alias || '…'}`}</Code> gets {version ?? 'it'} from the next
            request on.
          </Text>
        )}
        {error !== null && wrong === undefined && <ErrorState error={error} />}
        {error instanceof ApiError && error.code === 'gate_not_passed' && version !== null && (
          <Text size="sm">
            <Link
              to="/catalog/$name"
              params={{ name: adapter }}
              search={{ view: 'evaluations', version }}
              onClick={close}
            >
              Evaluations and gates of {adapter}
            </Link>
            : have {version} measured there, and {alias} move when it passes.
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
