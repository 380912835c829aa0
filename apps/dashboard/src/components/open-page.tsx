import { Center, Paper, Title } from '@mantine/core';
import { type ReactNode } from 'react';

/** A page for whoever has not signed in: one panel with a heading. */
export function OpenPage({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Center mih="100dvh" p="md" component="main">
      <title>{`${title} · Lowrank`}</title>
      <Paper withBorder p="lg" w="100%" maw={420} bg="var(--lowrank-surface)">
        <Title order={1} size="h3" mb="xs">
          {title}
        </Title>
        {children}
      </Paper>
    </Center>
  );
}
