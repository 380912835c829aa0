import { Button, Group, Stack, Text } from '@mantine/core';
import { type AdapterCard } from '@lowrank/contracts';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { ConfirmButton } from '../../components/confirm-button';
import { Markdown } from '../../components/markdown';
import { Section } from '../../components/section';
import { ErrorState, QueryState } from '../../components/states';
import { TextArea } from '../../components/text-area';
import { api } from '../../lib/api';
import { notify } from '../../lib/notify';
import { apiQuery, invalidate } from '../../lib/query';
import { useMay } from '../../lib/session';
import { type AdapterProps } from './adapter-page';

/** What there is to read about an adapter; whoever may can write it. */
export default function CardView({ adapter, path, owner }: AdapterProps) {
  const card = useQuery(apiQuery<AdapterCard>(`${path}/card`, owner));
  const may = useMay();
  const [isEditing, setEditing] = useState(false);
  const isOwn = adapter.sharedBy === null && may('adapters.write');
  return (
    <QueryState query={card}>
      {({ text, isGenerated }) =>
        isEditing ? (
          <Section title="Card">
            <CardEditor text={text} path={path} close={() => setEditing(false)} />
          </Section>
        ) : (
          <Section
            title="Card"
            aside={
              <Group gap="xs">
                <Text size="xs" c="dimmed">
                  {isGenerated ? 'Made from versions and lineage' : 'Written by somebody'}
                </Text>
                {isOwn && !isGenerated && (
                  <ConfirmButton
                    title="Go back to the generated card?"
                    explanation="What was written is lost."
                    confirm="Go back"
                    act={async () => {
                      await api.patch(path, { card: null });
                      await invalidate('/api/v1/adapters');
                    }}
                  >
                    Use the generated one
                  </ConfirmButton>
                )}
                {isOwn && (
                  <Button size="xs" variant="default" onClick={() => setEditing(true)}>
                    {isGenerated ? 'Write one' : 'Edit'}
                  </Button>
                )}
              </Group>
            }
          >
            <Markdown label={`Card of ${adapter.name}`} text={text} />
          </Section>
        )
      }
    </QueryState>
  );
}

function CardEditor({ text, path, close }: { text: string; path: string; close: () => void }) {
  const [draft, setDraft] = useState(text);
  const save = useMutation({
    mutationFn: () => api.patch(path, { card: draft }),
    onSuccess: async () => {
      notify('The card is saved.');
      await invalidate('/api/v1/adapters');
      close();
    },
  });
  return (
    <Stack>
      <TextArea
        label="Markdown"
        description="Tables work; HTML is shown as text."
        value={draft}
        onChange={({ currentTarget: { value } }) => setDraft(value)}
        rows={16}
        styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)', fontSize: 13 } }}
      />
      {save.error !== null && <ErrorState error={save.error} />}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={close}>
          Cancel
        </Button>
        <Button loading={save.isPending} onClick={() => save.mutate()}>
          Save
        </Button>
      </Group>
      <Text size="sm" fw={600}>
        Preview
      </Text>
      <Markdown label="Preview" text={draft} />
    </Stack>
  );
}
