import { Button, Group, Modal, Stack, TagsInput, Textarea } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { type Adapter } from '@lowrank/contracts';
import { useMutation } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import { ButtonLink } from '../../components/button-link';
import { ConfirmButton } from '../../components/confirm-button';
import { Icon } from '../../components/icon';
import { ErrorState } from '../../components/states';
import { api } from '../../lib/api';
import { notify } from '../../lib/notify';
import { invalidate } from '../../lib/query';
import { useMay } from '../../lib/session';

/** What can be done with an adapter as a whole. */
export function AdapterActions({ adapter, path }: { adapter: Adapter; path: string }) {
  const may = useMay();
  const navigate = useNavigate();
  const [isEditing, { open, close }] = useDisclosure(false);
  const { name, sharedBy, latestVersion, baseModel } = adapter;
  const full = sharedBy === null ? name : `${sharedBy}/${name}`;
  const isOwn = sharedBy === null && may('adapters.write');
  return (
    <>
      {latestVersion !== null && may('completions.generate') && (
        <ButtonLink
          to="/try"
          search={{ left: sharedBy === null ? baseModel : undefined, right: full }}
          size="xs"
          leftSection={<Icon name="chat" size={15} />}
        >
          Try it
        </ButtonLink>
      )}
      {isOwn && (
        <>
          <Button size="xs" variant="default" onClick={open} leftSection={<Icon name="edit" size={15} />}>
            Describe
          </Button>
          <ConfirmButton
            title={`Delete ${name}?`}
            explanation="Nobody finds it any more, here or by other clients. It can be restored from the catalog's deleted adapters. Adapters that have aliases or unfinished jobs stay."
            confirm="Delete it"
            leftSection={<Icon name="trash" size={15} />}
            act={async () => {
              await api.delete(path);
              notify(`${name} is deleted.`);
              await navigate({ to: '/catalog' });
              await invalidate('/api/v1/adapters');
            }}
          >
            Delete
          </ConfirmButton>
          <Modal
            opened={isEditing}
            onClose={close}
            title={`Describe ${name}`}
            closeButtonProps={{ 'aria-label': 'Close' }}
          >
            <DescribeForm adapter={adapter} path={path} close={close} />
          </Modal>
        </>
      )}
    </>
  );
}

function DescribeForm({ adapter, path, close }: { adapter: Adapter; path: string; close: () => void }) {
  const [description, setDescription] = useState(adapter.description);
  const [tags, setTags] = useState(adapter.tags);
  const save = useMutation({
    mutationFn: () => api.patch(path, { description, tags }),
    onSuccess: async () => {
      await invalidate('/api/v1/adapters');
      close();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Textarea
          label="Description"
          description="A sentence or two, for lists."
          maxLength={1000}
          autosize
          minRows={3}
          value={description}
          onChange={({ currentTarget: { value } }) => setDescription(value)}
        />
        <TagsInput
          label="Tags"
          description="Words that it is found by; Enter adds one."
          value={tags}
          onChange={(next) => setTags(next.map((tag) => tag.toLowerCase()))}
          maxTags={32}
        />
        {save.error !== null && <ErrorState error={save.error} />}
        <Group justify="flex-end">
          <Button type="submit" loading={save.isPending}>
            Save
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
