import { Button, Group, SimpleGrid, Stack, Text, Textarea } from '@mantine/core';
import { type ChatCompletionAnswer, type Job } from '@lowrank/contracts';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { Section } from '../../components/section';
import { ErrorState } from '../../components/states';
import { api } from '../../lib/api';

/** Answers to a prompt of one's own, before and after: of the base model, and of the version that the job has made. */
export function RunQuestion({ job }: { job: Job }) {
  const [prompt, setPrompt] = useState('');
  const ask = useMutation({
    mutationFn: (content: string) => {
      const answer = async (model: string) => {
        const body = { model, messages: [{ role: 'user', content }], temperature: 0, max_tokens: 128 };
        const { choices } = await api.post<ChatCompletionAnswer>('/v1/chat/completions', body);
        return choices[0]?.message.content ?? '';
      };
      return Promise.all([answer(job.baseModel.name), answer(`${job.adapter}@v${job.version}`)]);
    },
  });
  return (
    <Stack>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          ask.mutate(prompt);
        }}
      >
        <Textarea
          label="A prompt of your own"
          description="Both answer with their likeliest tokens, at most 128."
          value={prompt}
          onChange={(event) => setPrompt(event.currentTarget.value)}
          autosize
          minRows={2}
          required
        />
        <Group mt="sm">
          <Button type="submit" loading={ask.isPending} disabled={prompt.trim() === ''}>
            Ask both
          </Button>
        </Group>
      </form>
      {ask.error !== null && <ErrorState error={ask.error} />}
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        {['Before: the base model', `After: ${job.adapter} v${job.version}`].map((title, i) => (
          <Section key={title} title={title}>
            <Text
              size="sm"
              c={ask.data ? undefined : 'dimmed'}
              style={{ whiteSpace: 'pre-wrap' }}
              aria-live="polite"
            >
              {ask.data?.[i] ?? (ask.isPending ? 'Answering …' : 'No answer yet.')}
            </Text>
          </Section>
        ))}
      </SimpleGrid>
    </Stack>
  );
}
