import { Button, Group, Stack, TagsInput } from '@mantine/core';
import { type Adapter } from '@lowrank/contracts';
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { ErrorState } from '../../components/states';
import { TextArea } from '../../components/text-area';
import { api } from '../../lib/api';
import { invalidate } from '../../lib/query';

/** Changes what is said of an adapter in lists. */
export default function DescribeForm({
  adapter,
  path,
  close,
}: {
  adapter: Adapter;
  path: string;
  close: () => void;
}) {
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
        <TextArea
          label="Description"
          description="A sentence or two, for lists."
          maxLength={1000}
          rows={3}
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
