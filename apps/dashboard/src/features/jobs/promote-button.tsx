import { Button, Code, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { Icon } from '../../components/icon';
import { api, ApiError } from '../../lib/api';
import { notify } from '../../lib/notify';
import { invalidate } from '../../lib/query';

/** Moves an alias, such as prod, onto a version. */
export function PromoteButton({ adapter, version }: { adapter: string; version: number }) {
  const [isOpen, { open, close }] = useDisclosure(false);
  const [alias, setAlias] = useState('prod');
  const move = useMutation({
    mutationFn: () =>
      api.put(`/api/v1/adapters/${adapter}/aliases/${encodeURIComponent(alias)}`, { version: `v${version}` }),
    onSuccess: () => {
      notify(`${adapter}@${alias} is v${version} now.`);
      void invalidate('/api/v1/adapters');
      close();
    },
  });
  return (
    <>
      <Button size="xs" onClick={open} leftSection={<Icon name="tag" size={15} />}>
        Promote
      </Button>
      <Modal opened={isOpen} onClose={close} title={`Promote ${adapter} v${version}`} centered>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            move.mutate();
          }}
        >
          <Stack gap="sm">
            <Text size="sm">
              Whoever asks for <Code>{`${adapter}@${alias || '…'}`}</Code> gets this version from now on. The
              move can be taken back.
            </Text>
            <TextInput
              label="Alias"
              value={alias}
              onChange={(event) => setAlias(event.currentTarget.value)}
              error={move.error instanceof ApiError ? `${move.error.message} ${move.error.help}` : null}
              required
              data-autofocus
            />
            <Group justify="flex-end">
              <Button variant="default" onClick={close}>
                Leave it
              </Button>
              <Button type="submit" loading={move.isPending}>
                Promote
              </Button>
            </Group>
          </Stack>
        </form>
      </Modal>
    </>
  );
}
