import { Button, Group, NativeSelect, Stack, Text } from '@mantine/core';
import { type Pin } from '@lowrank/contracts';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { PinList, pinsPath, pinsQuery } from '../../components/pins/pin-list';
import { Section } from '../../components/section';
import { ErrorState, QueryState } from '../../components/states';
import { api } from '../../lib/api';
import { notify } from '../../lib/notify';
import { invalidate } from '../../lib/query';
import { useMay } from '../../lib/session';
import { type AdapterProps } from './adapter-page';

/** What of the adapter servers keep loaded, and pinning more of it. */
export function PinsSection({ adapter: { name }, aliases, version, path }: AdapterProps) {
  const pins = useQuery(pinsQuery);
  const mayPin = useMay()('pins.write');
  return (
    <Section title="Kept loaded">
      <QueryState query={pins}>
        {({ data }) => {
          const own = data.filter(({ adapter }) => adapter === name);
          const free = [...aliases.map((alias) => alias.name), 'latest', `v${version.number}`].filter((ref) =>
            own.every((pin) => pin.ref !== ref),
          );
          return (
            <Stack gap="sm">
              {own.length > 0 && <PinList pins={own} />}
              <Text size="sm" c="dimmed">
                What is pinned stays in the memory of the server that its requests go to, so that they never
                wait for it to be loaded. An alias is pinned wherever it stands.
                {!mayPin && ' Admins of the team can pin.'}
              </Text>
              {mayPin && free[0] !== undefined && <PinForm {...{ path, name }} refs={free} />}
            </Stack>
          );
        }}
      </QueryState>
    </Section>
  );
}

function PinForm({ path, name, refs }: { path: string; name: string; refs: string[] }) {
  const [chosen, setChosen] = useState<string | null>(null);
  // What was chosen may be pinned by now.
  const ref = refs.find((one) => one === chosen) ?? refs[0];
  const pin = useMutation({
    mutationFn: () => api.put<Pin>(`${path}/pins/${ref}`),
    onSuccess: async (pinned) => {
      notify(`${name}@${pinned.ref} is pinned.`);
      await invalidate(pinsPath);
    },
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        pin.mutate();
      }}
    >
      <Stack gap="sm">
        <Group align="end" gap="xs">
          <NativeSelect
            label="Alias or version"
            size="xs"
            value={ref}
            onChange={({ currentTarget: { value } }) => setChosen(value)}
            data={refs.map((value) => ({
              value,
              label: value === 'latest' ? 'latest (the newest version)' : value,
            }))}
          />
          <Button type="submit" size="xs" variant="default" loading={pin.isPending}>
            Pin {ref}
          </Button>
        </Group>
        {pin.error !== null && <ErrorState error={pin.error} />}
      </Stack>
    </form>
  );
}
